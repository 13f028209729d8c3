package engine_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func TestRegisterErrors(t *testing.T) {
	long := strings.Repeat("x", 15)
	for _, c := range []struct {
		what string
		name string
		req  abi.Register
		want syscall.Errno
	}{
		{"no name", "", request(8), syscall.ENXIO},
		{"no such interface", "no-such-if", request(8), syscall.ENXIO},
		{"a name of 63 characters", "vale0:" + long + "{" + strings.Repeat("i", 63-7-15), request(8), 0},
		{"a name of 64 characters", "vale0:" + long + "{" + strings.Repeat("i", 64-7-15), request(8),
			syscall.ENAMETOOLONG},

		{"default mode", "vale0:a", request(8, mode(abi.RegDefault)), syscall.EINVAL},
		{"legacy pipe master", "vale0:a", request(8, mode(abi.RegPipeMaster)), syscall.EINVAL},
		{"legacy pipe slave", "vale0:a", request(8, mode(abi.RegPipeSlave)), syscall.EINVAL},
		{"unknown mode", "vale0:a", request(8, mode(9)), syscall.EINVAL},
		{"far unknown mode", "vale0:a", request(8, mode(1<<31)), syscall.EINVAL},
		{"our memory", "vale0:a", request(8, memID(1)), 0},
		{"unknown memory", "vale0:a", request(8, memID(2)), syscall.EINVAL},

		{"host rings of a VALE port", "vale0:a", request(8, mode(abi.RegSW)), syscall.EINVAL},
		{"all rings of a VALE port", "vale0:a", request(8, mode(abi.RegNICSW)), syscall.EINVAL},
		{"one host ring of a VALE port", "vale0:a", request(8, mode(abi.RegOneSW)), syscall.EINVAL},
		{"host rings of a pipe", "x{1", request(8, mode(abi.RegSW)), syscall.EINVAL},
		{"ring 0", "vale0:a", request(8, ring(0)), 0},
		{"a ring that is not there", "vale0:a", request(8, ring(1)), syscall.EINVAL},
		{"a pipe's ring that is not there", "x{1", request(8, ring(1)), syscall.EINVAL},
		{"the largest ring number", "vale0:a", request(8, ring(1<<16-1)), syscall.EINVAL},
		{"a ring that is there in one direction", "vale0:a", request(8, rings(1, 3), ring(2)), 0},

		{"VALE without port", "vale0", request(8), syscall.ENOMEM},
		{"VALE with an empty port", "vale0:", request(8), 0},
		{"VALE with an empty switch", "vale:a", request(8), 0},
		{"VALE with a bad switch", "vale-0:a", request(8), syscall.ENOMEM},
		{"VALE with a switch of 15 characters with colon", "vale0123456789:a", request(8), 0},
		{"VALE with a long switch", "vale0123456789a:a", request(8), syscall.ENOMEM},
		{"VALE with a port of 15 characters", "vale0:" + long, request(8), 0},
		{"VALE with a long port", "vale0:" + long + "x", request(8), syscall.ENOMEM},
		{"VALE with an interface", "vale0:lo", request(8), syscall.EINVAL},

		{"pipe without parent", "{1", request(8), syscall.EINVAL},
		{"pipe without id", "x{", request(8), syscall.EINVAL},
		{"slave without id", "x}", request(8), syscall.EINVAL},
		{"pipe with a name for id", "x{any", request(8), 0},
		{"slave first", "x}1", request(8), 0},
		{"pipe of a pipe", "x{1}2", request(8), 0},

		{"null port without memory", "n", request(8, mode(abi.RegNull)), syscall.EINVAL},
		{"null port in other memory", "n", request(8, null, memID(2)), syscall.EINVAL},
		{"null port", "n", request(8, null), 0},
		{"null port with any name", "vale}0:{", request(8, null, rings(1, 1)), 0},

		{"a monitor of what nobody has open", "vale0:a", request(8, flags(abi.NRMonitorRx)),
			syscall.EINVAL},
		{"a monitor of a pipe that nobody has open", "x{1", request(8, flags(abi.NRZcopyMon)),
			syscall.EINVAL},
		{"a monitor of an interface that is not there", "no-such-if", request(8, flags(abi.NRMonitorTx)),
			syscall.ENXIO},
		{"a monitor of a bad name", "vale0", request(8, flags(abi.NRMonitorTx)), syscall.ENOMEM},
		{"a null port with the flag of a monitor", "n", request(8, null, flags(abi.NRMonitorRx)), 0},

		{"more rings than the region has", "x{1", request(8, rings(256, 256)), syscall.ENOMEM},
		{"more buffers than the region has", "vale0:a", request(4096), syscall.ENOMEM},
		{"a null port of which there is no end", "n", request(8, null, rings(1<<16-1, 1<<16-1)),
			syscall.ENOMEM},
		{"an interface of which there is no end", "n", request(8, null, rings(1<<16-1, 1<<16-1),
			flags(abi.NRTxRingsOnly|abi.NRRxRingsOnly)), syscall.ENOMEM},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := newEngine(t)
			b, err := e.Register(c.name, c.req)
			wantErrno(t, c.name, err, c.want)
			if err == nil {
				b.Close()
			} else if f := (*fault.Error)(nil); !errors.As(err, &f) || f.Hint == "" {
				t.Errorf("error %q does not say what to do", err)
			}
			if u := e.Region().Usage(); !u.Full() {
				t.Errorf("left behind: %+v", u)
			}
		})
	}
}

func TestAFailedRegistrationHurtsNobody(t *testing.T) {
	e := newEngine(t)
	a, b := open(t, e, "vale0:a", request(8)), open(t, e, "vale0:b", request(8))
	before := e.Region().Usage()
	for _, c := range []struct {
		name string
		req  abi.Register
		want syscall.Errno
	}{
		{"vale0:a", request(8, ring(1)), syscall.EINVAL},
		{"vale0:a", request(8, flags(abi.NRExclusive)), syscall.EBUSY},
		{"vale0:c", request(8, flags(abi.NRMonitorRx)), syscall.EINVAL},
		{"vale0:a", request(8, flags(abi.NRMonitorRx), ring(1)), syscall.EINVAL},
		{"vale0:a", request(8, flags(abi.NRMonitorTx), mode(abi.RegSW)), syscall.EINVAL},
		{"vale0:a", request(4096, flags(abi.NRZcopyMon)), syscall.ENOMEM},
		{"vale0:a", request(8, mode(abi.RegSW)), syscall.EINVAL},
		{"vale0:c", request(4096), syscall.ENOMEM},
		{"vale1:c", request(4096), syscall.ENOMEM},
		{"vale0:a{1", request(4096), syscall.ENOMEM},
	} {
		_, err := e.Register(c.name, c.req)
		wantErrno(t, c.name, err, c.want)
		if u := e.Region().Usage(); u != before {
			t.Errorf("%s: left behind: %+v, before %+v", c.name, u, before)
		}
	}
	a.tx[0].put(t, frame("still here"))
	a.TxSync()
	b.RxSync()
	wantFrames(t, b.rx[0], frame("still here"))
}

func TestExclusive(t *testing.T) {
	alone := flags(abi.NRExclusive)
	for _, c := range []struct {
		what          string
		first, second abi.Register
		firstName     string
		name          string
		want          syscall.Errno
	}{
		{"two who share", request(8), request(8), "vale0:a", "vale0:a", 0},
		{"exclusive after shared", request(8), request(8, alone), "vale0:a", "vale0:a", syscall.EBUSY},
		{"shared after exclusive", request(8, alone), request(8), "vale0:a", "vale0:a", syscall.EBUSY},
		{"two exclusive", request(8, alone), request(8, alone), "vale0:a", "vale0:a", syscall.EBUSY},
		{"other rings", request(8, alone, rings(2, 2), ring(0)), request(8, alone, rings(2, 2), ring(1)),
			"vale0:a", "vale0:a", 0},
		{"all rings after one of them", request(8, alone, rings(2, 2), ring(1)), request(8), "vale0:a",
			"vale0:a", syscall.EBUSY},
		{"other directions", request(8, alone, flags(abi.NRTxRingsOnly)),
			request(8, alone, flags(abi.NRRxRingsOnly)), "vale0:a", "vale0:a", 0},
		{"other ports", request(8, alone), request(8, alone), "vale0:a", "vale0:b", 0},
		{"two ends of a pipe", request(8, alone), request(8, alone), "x{1", "x}1", 0},
		{"one end of a pipe", request(8, alone), request(8), "x}1", "x}1", syscall.EBUSY},
		{"two null ports of one name", request(8, alone, null, rings(1, 1)),
			request(8, alone, null, rings(1, 1)), "n", "n", 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := newEngine(t)
			first := open(t, e, c.firstName, c.first)
			b, err := e.Register(c.name, c.second)
			wantErrno(t, "second", err, c.want)
			if err == nil {
				b.Close()
			}
			first.Close()
			// All rings are free again.
			open(t, e, c.name, c.second)
		})
	}
}

func TestRingOffsetsAreThoseOfBoundRings(t *testing.T) {
	for _, c := range []struct {
		what   string
		req    abi.Register
		tx, rx []int // bound
	}{
		{"all", request(8), []int{0, 1, 2}, []int{0, 1}},
		{"one", request(8, ring(1)), []int{1}, []int{1}},
		{"one that is there in one direction only", request(8, ring(2)), []int{2}, []int{0}},
		{"tx only", request(8, flags(abi.NRTxRingsOnly)), []int{0, 1, 2}, nil},
		{"rx only", request(8, flags(abi.NRRxRingsOnly)), nil, []int{0, 1}},
		{"one, rx only", request(8, ring(1), flags(abi.NRRxRingsOnly)), nil, []int{1}},
		{"none", request(8, flags(abi.NRRxRingsOnly|abi.NRTxRingsOnly)), nil, nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := newEngine(t)
			open(t, e, "vale0:a", request(8, rings(3, 2))) // which makes the port
			p := open(t, e, "vale0:a", c.req)
			if f := p.nifp; f.TxRings != 3 || f.RxRings != 2 || f.HostTxRings != 1 || f.HostRxRings != 1 ||
				f.Version != 0 || f.Flags != 0 {
				t.Errorf("interface %+v", f)
			}
			a := p.Register()
			if a.TxRings != 3 || a.RxRings != 2 || a.TxSlots != 8 || a.RxSlots != 8 || a.MemID != 1 ||
				a.MemSize != uint64(len(p.Memory())) {
				t.Errorf("answer %+v", a)
			}
			ofs := shm.Slice[int64](p.Memory(), uintptr(a.Offset)+abi.IfSize, 3+1+2+1)
			var got [2][]int
			for i, o := range ofs {
				if o == 0 {
					continue
				}
				r := ringAt(p.Memory(), uintptr(int64(a.Offset)+o))
				dir, id := abi.DirTx, i
				if i >= int(p.nifp.TxRings+p.nifp.HostTxRings) {
					dir, id = abi.DirRx, i-int(p.nifp.TxRings+p.nifp.HostTxRings)
				}
				if int(r.Dir) != 1-dir || int(r.RingID) != id || r.NumSlots != 8 || r.BufSize != 256 {
					t.Errorf("offset %d leads to ring %d, direction %d, %d slots", i, r.RingID, r.Dir, r.NumSlots)
				}
				got[dir] = append(got[dir], id)
			}
			if !slices.Equal(got[0], c.tx) || !slices.Equal(got[1], c.rx) {
				t.Errorf("rings %v and %v are listed, want %v and %v", got[0], got[1], c.tx, c.rx)
			}
		})
	}
}

func TestSizesAreClamped(t *testing.T) {
	for _, c := range []struct {
		what, name string
		req        abi.Register
		want       [4]int // tx and rx rings, tx and rx slots
	}{
		{"VALE defaults", "vale0:a", abi.Register{Mode: abi.RegAllNIC}, [4]int{1, 1, 1024, 1024}},
		{"VALE wish", "vale0:a", abi.Register{Mode: abi.RegAllNIC, TxRings: 2, RxRings: 3, TxSlots: 100,
			RxSlots: 33}, [4]int{2, 3, 100, 33}},
		{"VALE minimum", "vale0:a", abi.Register{Mode: abi.RegAllNIC, TxSlots: 1, RxSlots: 1},
			[4]int{1, 1, 1, 1}},
		{"VALE maximum", "vale0:a", abi.Register{Mode: abi.RegOneNIC, Flags: abi.NRTxRingsOnly,
			TxRings: 99, RxRings: 99, TxSlots: 9999, RxSlots: 1 << 31}, [4]int{16, 16, 4096, 4096}},
		{"pipe defaults", "x{1", abi.Register{Mode: abi.RegAllNIC}, [4]int{1, 1, 1024, 1024}},
		{"pipe wish", "x{1", abi.Register{Mode: abi.RegAllNIC, TxRings: 2, RxRings: 3, TxSlots: 100,
			RxSlots: 33}, [4]int{2, 3, 100, 33}},
		{"pipe minimum", "x{1", abi.Register{Mode: abi.RegAllNIC, TxSlots: 1, RxSlots: 1},
			[4]int{1, 1, 1, 1}},
		{"pipe maximum", "x{1", abi.Register{Mode: abi.RegAllNIC, TxSlots: 4097, RxSlots: 1, TxRings: 1,
			RxRings: 65535}, [4]int{1, 256, 4096, 1}},
		{"slave's wish", "x}1", abi.Register{Mode: abi.RegAllNIC, TxRings: 2, RxRings: 3, TxSlots: 100,
			RxSlots: 33}, [4]int{3, 2, 33, 100}},
		{"null defaults", "n", abi.Register{Mode: abi.RegNull, MemID: 1}, [4]int{0, 0, 0, 0}},
		{"null wish", "n", abi.Register{Mode: abi.RegNull, MemID: 1, TxRings: 20, RxRings: 1, TxSlots: 1,
			RxSlots: 5000}, [4]int{20, 1, 1, 5000}},
	} {
		t.Run(c.what, func(t *testing.T) {
			cfg := small
			cfg.Buf.Num, cfg.Ring.Num = 16384, 1024
			e, err := engine.New(engine.Config{Region: cfg})
			if err != nil {
				t.Fatal(err)
			}
			defer e.Close()
			b, err := e.Register(c.name, c.req)
			if err != nil {
				t.Fatal(err)
			}
			a := b.Register()
			if got := [4]int{int(a.TxRings), int(a.RxRings), int(a.TxSlots), int(a.RxSlots)}; got != c.want {
				t.Errorf("rings and slots %v, want %v", got, c.want)
			}
		})
	}
}

// The largest wish is granted where the memory holds it: 16 rings of 4096 slots each way.
func TestALargeWishIsGranted(t *testing.T) {
	cfg := small
	cfg.Buf, cfg.Ring = mem.Pool{Num: 600000, Size: 64}, mem.Pool{Num: 32, Size: 65792}
	e, err := engine.New(engine.Config{Region: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b, err := e.Register("vale0:a",
		abi.Register{Mode: abi.RegAllNIC, TxRings: 100, RxRings: 100, TxSlots: 100000, RxSlots: 100000})
	if err != nil {
		t.Fatal(err)
	}
	if a := b.Register(); a.TxRings != 16 || a.RxRings != 16 || a.TxSlots != 4096 ||
		a.RxSlots != 4096 {
		t.Errorf("%+v", a)
	}
	b.Close()
	if b, err = e.Register("vale0:a",
		abi.Register{Mode: abi.RegAllNIC, ExtraBufs: 1<<32 - 1}); err != nil {
		t.Fatal(err)
	}
	if a := b.Register(); a.ExtraBufs != 128*4096 {
		t.Errorf("%d extra buffers, want 524288", a.ExtraBufs)
	}
}

// A pipe's slots are by default those of its parent.
func TestPipesAreLikeTheirParents(t *testing.T) {
	e := newEngine(t)
	open(t, e, "vale0:a", abi.Register{Mode: abi.RegAllNIC, TxSlots: 10, RxSlots: 20})
	p := open(t, e, "vale0:a}1", abi.Register{Mode: abi.RegAllNIC, TxSlots: 5})
	if r := p.Register(); r.TxSlots != 20 || r.RxSlots != 5 {
		t.Errorf("the slave has %d and %d slots, want the parent's 20 and its master's 5", r.TxSlots,
			r.RxSlots)
	}
}

// Null ports have the requested shape. A shape that is too large gets ENOMEM at once, without work
// in proportion to it.
func TestNullPortsThatCannotBe(t *testing.T) {
	e := newEngine(t)
	for what, req := range map[string]abi.Register{
		"rings": {TxRings: 65535, RxRings: 65535, TxSlots: 1, RxSlots: 1},
		"slots": {TxRings: 1, TxSlots: 1 << 31},
	} {
		req.Mode, req.MemID = abi.RegNull, 1
		_, err := e.Register("n", req)
		wantErrno(t, what, err, syscall.ENOMEM)
	}
}

// A ring of one slot can be opened, and never has a frame.
func TestRingsOfOneSlot(t *testing.T) {
	for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}, {"vale0:a", "x{1"}} {
		e := newEngine(t)
		a := open(t, e, names[0], request(1))
		m := open(t, e, names[0], request(1, flags(abi.NRMonitorTx|abi.NRMonitorRx)))
		b := open(t, e, names[1], request(1))
		for _, p := range []*program{a, b, m} {
			if got := p.rx[0].NumSlots; got != 1 {
				t.Errorf("%v: %d slots", names, got)
			}
			for _, head := range []uint32{0, 1, 7, 1<<32 - 1} {
				if p != m {
					p.tx[0].Head.Store(head)
					p.tx[0].Cur.Store(head)
				}
				p.TxSync()
				p.RxSync()
				events := int16(session.PollIn | session.PollOut)
				if p == m {
					events = session.PollIn
				}
				if ready := p.Poll(events); head == 0 && ready != 0 {
					t.Errorf("%v: poll says %#x", names, ready)
				}
			}
		}
	}
}

func TestPipeEndsMirrorEachOther(t *testing.T) {
	for _, names := range [][2]string{{"x{1", "x}1"}, {"x}1", "x{1"}, {"vale0:p}any", "vale0:p{any"},
		{"x{1{2", "x{1}2"}} {
		e := newEngine(t)
		wish := abi.Register{Mode: abi.RegAllNIC, TxRings: 2, RxRings: 1, TxSlots: 8, RxSlots: 16}
		// the numbers are the master's
		if strings.LastIndex(names[0], "}") > strings.LastIndex(names[0], "{") {
			wish = abi.Register{Mode: abi.RegAllNIC, TxRings: 1, RxRings: 2, TxSlots: 16, RxSlots: 8}
		}
		a := open(t, e, names[0], wish)
		b := open(t, e, names[1], request(99)) // too late for a wish
		if r := b.Register(); r.TxRings != 1 || r.RxRings != 2 || r.TxSlots != 16 || r.RxSlots != 8 {
			t.Errorf("%v: the second end is %+v", names, r)
		}
		a.tx[1].put(t, "there")
		a.TxSync()
		b.RxSync()
		wantFrames(t, b.rx[1], "there")
		b.tx[0].put(t, "and back")
		b.TxSync()
		a.RxSync()
		wantFrames(t, a.rx[0], "and back")
	}
}

func TestSeveralBindingsShareTheRings(t *testing.T) {
	e := newEngine(t)
	a := open(t, e, "vale0:a", request(8))
	one, two := open(t, e, "vale0:b", request(8)), open(t, e, "vale0:b", request(8))
	if one.Register().Offset == two.Register().Offset {
		t.Error("two bindings have one interface")
	}
	a.tx[0].put(t, frame("1"), frame("2"))
	a.TxSync()
	one.RxSync()
	two.RxSync()
	if got := two.rx[0].mine(); got != 2 {
		t.Errorf("the second binding sees %d frames", got)
	}
	wantFrames(t, one.rx[0], frame("1"), frame("2"))
	if got := two.rx[0].mine(); got != 0 {
		t.Errorf("the second binding sees %d frames that the first has read", got)
	}
	one.Close()
	a.tx[0].put(t, frame("3"))
	a.TxSync()
	two.RxSync()
	wantFrames(t, two.rx[0], frame("3"))
	wantErrno(t, "the closed one", one.RxSync(), syscall.ENXIO)
}

func TestAPortLivesAsLongAsABindingDoes(t *testing.T) {
	e := newEngine(t)
	a := open(t, e, "vale0:a", request(8, rings(2, 2)))
	b := open(t, e, "vale0:a", request(8))
	a.Close()
	if got := open(t, e, "vale0:a", request(16)).Register(); got.TxRings != 2 || got.TxSlots != 8 {
		t.Errorf("another port: %+v", got)
	}
	b.Close()
}

// A null port belongs to the program that opened it, whatever its name is.
func TestNullPortsStandAlone(t *testing.T) {
	e := newEngine(t)
	open(t, e, "x{1", request(8, null, rings(1, 1)))
	p := open(t, e, "x}1", request(8))
	if got := len(p.tx); got != 1 {
		t.Errorf("the pipe's end has %d rings", got)
	}
	open(t, e, "vale0:a", request(8))
	n := open(t, e, "vale0:a", request(8, null, rings(2, 0)))
	m := open(t, e, "vale0:a", request(8, null, rings(0, 3)))
	if len(n.tx) != 2 || len(n.rx) != 0 || len(m.tx) != 0 || len(m.rx) != 3 {
		t.Errorf("null ports with %d, %d, %d and %d rings; want 2, 0, 0 and 3", len(n.tx), len(n.rx),
			len(m.tx), len(m.rx))
	}
	if got := string(n.nifp.Name[:12]); got != "null:vale0:a" {
		t.Errorf("name %q", got)
	}
	_, err := e.Register("null:vale0:a", request(8))
	wantErrno(t, "a null port by its name", err, syscall.ENXIO)
}

func TestSwitchesAreBounded(t *testing.T) {
	e := newEngine(t) // of three
	var ports []*program
	for i := range 3 {
		ports = append(ports, open(t, e, fmt.Sprintf("vale%d:a", i), request(4)))
	}
	_, err := e.Register("vale3:a", request(4))
	wantErrno(t, "a fourth switch", err, syscall.ENOMEM)
	b := open(t, e, "vale0:b", request(4))
	ports[0].Close()
	_, err = e.Register("vale3:a", request(4))
	wantErrno(t, "a fourth switch while the first has a port", err, syscall.ENOMEM)
	b.Close()
	open(t, e, "vale3:a", request(4))
}

func TestExtraBuffers(t *testing.T) {
	e := newEngine(t)
	total := e.Region().Usage().BufTotal
	p := open(t, e, "vale0:a", request(8, extra(20)))
	q := open(t, e, "n", request(8, null, extra(1<<32-1)))
	for _, c := range []struct {
		p    *program
		want uint32
	}{{p, 20}, {q, total - 16 - 20}} {
		n := uint32(0)
		for i := c.p.nifp.BufsHead.Load(); i != 0; i = *shm.At[uint32](p.tx[0].buf(i), 0) {
			n++
		}
		if n != c.want || c.p.Register().ExtraBufs != c.want {
			t.Errorf("%v: %d buffers in the list, %d granted, want %d", c.p, n, c.p.Register().ExtraBufs,
				c.want)
		}
	}
	q.Close()
	if u := e.Region().Usage(); u.BufFree != total-16-20 {
		t.Errorf("%d buffers are free", u.BufFree)
	}
	p.nifp.BufsHead.Store(0) // hidden: they come back when nobody is left
	p.Close()
	if u := e.Region().Usage(); !u.Full() {
		t.Errorf("usage %+v", u)
	}
}

func TestAClosedEngine(t *testing.T) {
	testutil.CheckLeaks(t)
	e, err := engine.New(engine.Config{Region: small})
	if err != nil {
		t.Fatal(err)
	}
	var all []*engine.Binding
	for _, name := range []string{"vale0:a", "vale0:a", "vale0:b", "x{1", "x}1", "y}2"} {
		b, err := e.Register(name, request(8))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	wantErrno(t, "Close", e.Close(), 0)
	wantErrno(t, "Close again", e.Close(), 0)
	_, err = e.Register("vale0:a", request(8))
	wantErrno(t, "Register", err, syscall.ENXIO)
	for _, b := range all {
		wantErrno(t, "TxSync", b.TxSync(), syscall.ENXIO)
		wantErrno(t, "RxSync", b.RxSync(), syscall.ENXIO)
		if got := b.Poll(session.PollIn | session.PollOut); got != session.PollErr {
			t.Errorf("Poll = %#x", got)
		}
		wantErrno(t, "Close", b.Close(), 0)
	}
	if u := e.Region().Usage(); !u.Full() {
		t.Errorf("left behind: %+v", u)
	}
}

func TestRegionThatCannotBe(t *testing.T) {
	cfg := small
	cfg.Buf.Size = 1 << 20
	_, err := engine.New(engine.Config{Region: cfg})
	wantErrno(t, "buffers of 1 MiB", err, syscall.EINVAL)
}

// Many goroutines open and close ports at once, and use them, even after they were closed.
func TestOpenUseAndCloseAtTheSameTime(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	names := []string{"vale0:a", "vale0:b", "x{1", "x}1", "n"}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for range 300 {
				name, req := names[rnd.IntN(len(names))], request(8, extra(rnd.Uint32N(4)))
				if name == "n" {
					null(&req)
					rings(1, 1)(&req)
				}
				if rnd.IntN(8) == 0 {
					flags(abi.NRExclusive)(&req)
				}
				watches := name != "n" && rnd.IntN(3) == 0
				if watches {
					flags([]uint64{abi.NRMonitorTx, abi.NRMonitorRx, abi.NRZcopyMon}[rnd.IntN(3)])(&req)
				}
				b, err := e.Register(name, req)
				if err != nil {
					if !errors.Is(err, syscall.EBUSY) && !errors.Is(err, syscall.ENOMEM) &&
						!(watches && errors.Is(err, syscall.EINVAL)) {
						t.Error(err)
					}
					continue
				}
				wg.Go(func() { // somebody who does not notice that the port is closed
					for range 20 {
						b.TxSync()
						b.RxSync()
						b.Poll(session.PollIn | session.PollOut)
					}
				})
				for range rnd.IntN(10) {
					b.TxSync()
					b.RxSync()
				}
				b.Close()
			}
		})
	}
	wg.Wait()
	if u := e.Region().Usage(); !u.Full() {
		t.Errorf("left behind: %+v", u)
	}
}
