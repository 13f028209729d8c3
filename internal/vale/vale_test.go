package vale

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// net is a switch with ports.
type net struct {
	region *mem.Region
	sw     *Switch
	ports  []*station
}

// station is a port with its rings open.
type station struct {
	*Port
	sw     *Switch
	tx, rx []*kringtest.Ring
}

// newNet makes a switch whose ports all leave at the end of the test.
func newNet(t testing.TB) net {
	t.Helper()
	return net{kringtest.NewRegion(t, 20000), NewSwitch("vale0"), nil}
}

// newPort makes a port and joins it to the switch.
func (n *net) newPort(name string, txRings, rxRings uint16, slots uint32) (*Port, error) {
	p, err := NewPort(n.region, name,
		port.Shape{TxRings: txRings, RxRings: rxRings, TxSlots: slots, RxSlots: slots})
	if err == nil {
		err = n.sw.Join(p)
	}
	return p, err
}

func (n *net) join(t testing.TB, txRings, rxRings int, slots uint32) *station {
	t.Helper()
	name := fmt.Sprintf("vale0:%c", 'a'+len(n.ports))
	p, err := n.newPort(name, uint16(txRings), uint16(rxRings), slots)
	if err != nil {
		t.Fatal(err)
	}
	s := &station{Port: p, sw: n.sw}
	for i := range txRings {
		s.tx = append(s.tx, kringtest.Open(t, n.region, p, abi.DirTx, i))
	}
	for i := range rxRings {
		s.rx = append(s.rx, kringtest.Open(t, n.region, p, abi.DirRx, i))
	}
	n.ports = append(n.ports, s)
	t.Cleanup(s.leave)
	return s
}

// leave closes all rings and removes the port from the switch.
func (s *station) leave() {
	if s.tx[0].Shared == nil {
		return
	}
	for _, r := range slices.Concat(s.tx, s.rx) {
		if r.Shared != nil {
			r.Close()
		}
	}
	s.Close()
}

// rejoin opens the rings again, at the same switch. The rx rings stay closed.
func (s *station) rejoin(t testing.TB) {
	if err := s.sw.Join(s.Port); err != nil {
		t.Fatal(err)
	}
	for _, r := range s.tx {
		r.Reopen(t)
	}
}

// ports makes a switch with n ports a, b, …. Each has one ring of 64 slots in each direction.
func ports(t testing.TB, n int) []*station {
	w := newNet(t)
	for range n {
		w.join(t, 1, 1, 64)
	}
	return w.ports
}

// packet makes an Ethernet frame; addresses are single letters.
func packet(dst, src byte, text string) []byte {
	b := append(append(address(dst), address(src)...), 0x88, 0xb5)
	return append(b, text...)
}

func address(who byte) []byte {
	if who == '*' {
		return []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	return []byte{2, 0, 0, 0, 0, who}
}

func (s *station) send(t testing.TB, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if !s.tx[0].Push(f, 0) {
			t.Fatalf("%s has no room", s.Name)
		}
	}
	if s.tx[0].Sync(t); len(s.tx[0].Mine()) != int(s.tx[0].N)-1 {
		t.Errorf("%s has %d free slots after a sync, want all but one", s.Name, len(s.tx[0].Mine()))
	}
}

// texts returns the payloads of all frames that have arrived in a ring, in order.
func texts(t testing.TB, rx *kringtest.Ring) (all []string) {
	t.Helper()
	rx.Sync(t)
	for {
		f, flags, ok := rx.Pull()
		if !ok {
			rx.Sync(t)
			return all
		}
		if flags != 0x100 {
			t.Errorf("flags %#x of a packet in one slot", flags)
		}
		all = append(all, string(f[14:]))
	}
}

func wantTexts(t testing.TB, s *station, want ...string) {
	t.Helper()
	if got := texts(t, s.rx[0]); !slices.Equal(got, want) {
		t.Errorf("%s received %q, want %q", s.Name, got, want)
	}
}

func wantDrops(t testing.TB, r *kringtest.Ring, why kring.Reason, want uint64) {
	t.Helper()
	if got := r.Drops.Counts()[why.String()]; got != want {
		t.Errorf("%s dropped %d frames because of %s, want %d", r.Name, got, why, want)
	}
}

func TestLearning(t *testing.T) {
	p := ports(t, 3)
	a, b, c := p[0], p[1], p[2]
	a.send(t, packet('b', 'a', "nobody knows b"))
	wantTexts(t, a)
	wantTexts(t, b, "nobody knows b")
	wantTexts(t, c, "nobody knows b")

	b.send(t, packet('a', 'b', "a is known"))
	wantTexts(t, a, "a is known")
	wantTexts(t, c)

	a.send(t, packet('b', 'a', "now b is known"), packet('*', 'a', "to all"),
		packet('b', 'a', "b again"))
	wantTexts(t, b, "now b is known", "to all", "b again")
	wantTexts(t, c, "to all")

	// b's address is seen at c: the switch now forwards frames for it to c.
	c.send(t, packet('a', 'b', "b has moved"))
	wantTexts(t, a, "b has moved")
	a.send(t, packet('b', 'a', "to the new place"))
	wantTexts(t, b)
	wantTexts(t, c, "to the new place")
}

func TestMulticastSendersAreNotLearned(t *testing.T) {
	p := ports(t, 3)
	from := packet('c', 'x', "from a group")
	from[6] |= 1
	p[0].send(t, from)
	wantTexts(t, p[1], "from a group")
	to := bytes.Clone(from)
	copy(to, from[6:12])
	to[0] &^= 1
	copy(to[6:], address('b'))
	p[1].send(t, to)
	wantTexts(t, p[0], "from a group")
	wantTexts(t, p[2], "from a group", "from a group")
	for _, l := range p[0].Switch().Learned() {
		if l.MAC[0]&1 != 0 {
			t.Errorf("learned %x", l.MAC)
		}
	}
}

func TestFramesToTheSendersOwnPortAreDropped(t *testing.T) {
	p := ports(t, 2)
	p[0].send(t, packet('z', 'a', "learn a"))
	wantTexts(t, p[1], "learn a")
	p[0].send(t, packet('a', 'a', "to itself"), packet('a', 'x', "to itself"))
	wantTexts(t, p[0])
	wantTexts(t, p[1])
	wantDrops(t, p[0].tx[0], kring.NoReceiver, 2)
}

func TestFramesOnAnEmptySwitchAreDropped(t *testing.T) {
	p := ports(t, 1)
	p[0].send(t, packet('b', 'a', "1"), packet('*', 'a', "2"), packet('b', 'a', "3"))
	wantTexts(t, p[0])
	wantDrops(t, p[0].tx[0], kring.NoReceiver, 3)
}

func TestAPortThatLeftIsForgotten(t *testing.T) {
	w := newNet(t)
	a, b, c := w.join(t, 1, 1, 8), w.join(t, 1, 1, 8), w.join(t, 1, 1, 8)
	b.send(t, packet('*', 'b', "here is b"))
	texts(t, a.rx[0])
	texts(t, c.rx[0])
	index := b.Index()
	b.leave()
	if slices.ContainsFunc(w.sw.Learned(), func(l Learned) bool { return l.Port == index }) {
		t.Error("the address is still known")
	}
	d := w.join(t, 1, 1, 8) // at b's index
	if d.Index() != index {
		t.Errorf("a new port has index %d, want the free one, %d", d.Index(), index)
	}
	a.send(t, packet('b', 'a', "where is b"))
	wantTexts(t, c, "where is b")
	wantTexts(t, d, "where is b")
}

func TestOrderOfUnicastAndBroadcast(t *testing.T) {
	p := ports(t, 3)
	a, b, c := p[0], p[1], p[2]
	b.send(t, packet('*', 'b', ""))
	c.send(t, packet('*', 'c', ""))
	for _, s := range p {
		texts(t, s.rx[0])
	}
	a.send(t, packet('b', 'a', "1"), packet('*', 'a', "2"), packet('c', 'a', "3"),
		packet('c', 'a', "4"), packet('b', 'a', "5"),
		packet('*', 'a', "6"), packet('*', 'a', "7"), packet('b', 'a', "8"), packet('c', 'a', "9"))
	wantTexts(t, b, "1", "2", "5", "6", "7", "8")
	wantTexts(t, c, "2", "3", "4", "6", "7", "9")
}

func TestRingsOfTheReceiver(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 5, 1, 16), w.join(t, 1, 3, 16)
	b.send(t, packet('*', 'b', ""))
	for ring, tx := range a.tx {
		tx.Push(packet('b', 'a', fmt.Sprint("unicast ", ring)), 0)
		tx.Push(packet('*', 'a', fmt.Sprint("broadcast ", ring)), 0)
		tx.Sync(t)
	}
	for i, want := range [][]string{
		{"unicast 0", "broadcast 0", "broadcast 1", "broadcast 2", "unicast 3", "broadcast 3",
			"broadcast 4"},
		{"unicast 1", "unicast 4"},
		{"unicast 2"},
	} {
		if got := texts(t, b.rx[i]); !slices.Equal(got, want) {
			t.Errorf("ring %d received %q, want %q", i, got, want)
		}
	}
}

func TestPacketsOfSeveralSlots(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 256)
	for _, c := range []struct {
		name      string
		lens      []int
		truncated bool // MOREFRAG also in the last slot
		flags     []uint16
	}{
		{"one slot", []int{60}, false, []uint16{0x100}},
		{"two slots", []int{256, 256}, false, []uint16{0x220, 0x200}},
		{"three slots", []int{256, 256, 17}, false, []uint16{0x320, 0x320, 0x300}},
		{"an empty fragment", []int{14, 0, 1}, false, []uint16{0x320, 0x320, 0x300}},
		{"one slot that promises more", []int{60}, true, []uint16{0x100}},
		{"two slots that promise more", []int{60, 60}, true, []uint16{0x220, 0x200}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newNet(t)
			a, b := w.join(t, 1, 1, 8), w.join(t, 1, 1, 8)
			for range 5 { // across the end of the ring
				for i, n := range c.lens {
					flags := uint16(abi.NSMoreFrag)
					if i == len(c.lens)-1 && !c.truncated {
						flags = 0
					}
					a.tx[0].Push(append(packet('*', 'a', ""), long...)[:n], flags)
				}
				a.tx[0].Sync(t)
				b.rx[0].Sync(t)
				for i, want := range c.flags {
					f, flags, ok := b.rx[0].Pull()
					if !ok || flags != want || len(f) != c.lens[i] {
						t.Errorf("slot %d: %d bytes, flags %#x; want %d bytes, flags %#x", i, len(f), flags,
							c.lens[i], want)
					}
				}
				if _, _, ok := b.rx[0].Pull(); ok {
					t.Error("there is another slot")
				}
				b.rx[0].Sync(t)
			}
		})
	}
}

func TestNumberOfFragments(t *testing.T) {
	for _, c := range []struct {
		frags  int
		passes bool
	}{{63, true}, {64, true}, {65, false}, {1023, false}, {1024, false}, {1025, false}, {1030, false},
		{2048, false}, {2060, false}, {4000, false}} {
		t.Run(fmt.Sprint(c.frags), func(t *testing.T) {
			w := newNet(t)
			a, b := w.join(t, 1, 1, 4096), w.join(t, 1, 1, 2048)
			for i := range c.frags {
				flags := uint16(abi.NSMoreFrag)
				if i == c.frags-1 {
					flags = 0
				}
				a.tx[0].Push(packet('*', 'a', "too many fragments"), flags)
			}
			a.send(t, packet('*', 'a', "and a good one"))
			b.rx[0].Sync(t)
			want := 1
			if c.passes {
				want += c.frags
			}
			mine := b.rx[0].Mine()
			if len(mine) != want {
				t.Fatalf("%d slots arrived, want %d", len(mine), want)
			}
			if s := b.rx[0].Slot(mine[len(mine)-1]); s.Flags != 0x100 || s.Len != 14+14 {
				t.Errorf("the packet behind it is %+v", *s)
			}
			if !c.passes {
				wantDrops(t, a.tx[0], kring.TooManyFrags, 1)
			}
		})
	}
}

// A packet may lie across the boundary between two batches that the switch looks up.
func TestMoreThanABatch(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 4096), w.join(t, 1, 1, 4096)
	for lap := range 3 {
		for i := range 4095 {
			flags := uint16(abi.NSMoreFrag)
			if i%7 == 6 {
				flags = 0
			}
			a.tx[0].Push(packet('*', 'a', fmt.Sprint(lap, " ", i)), flags)
		}
		a.tx[0].Sync(t)
		b.rx[0].Sync(t)
		for i := range 4095 {
			f, flags, ok := b.rx[0].Pull()
			want := uint16(0x720)
			if i%7 == 6 {
				want = 0x700
			}
			if !ok || flags != want || string(f[14:]) != fmt.Sprint(lap, " ", i) {
				t.Fatalf("slot %d is %q, flags %#x, want flags %#x", i, f, flags, want)
			}
		}
		b.rx[0].Sync(t)
	}
}

func TestBadSlotsAreDroppedWithAReason(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*abi.Slot, uint32)
		why   kring.Reason
		drops uint64
	}{
		{"13 bytes", func(s *abi.Slot, _ uint32) { s.Len = 13 }, kring.TooShort, 1},
		{"no bytes", func(s *abi.Slot, _ uint32) { s.Len = 0 }, kring.TooShort, 1},
		{"14 bytes", func(s *abi.Slot, _ uint32) { s.Len = 14 }, kring.TooShort, 0},
		{"a whole buffer", func(s *abi.Slot, _ uint32) { s.Len = 256 }, kring.BadLength, 0},
		{"longer than a buffer", func(s *abi.Slot, _ uint32) { s.Len = 257 }, kring.BadLength, 1},
		{"65535 bytes", func(s *abi.Slot, _ uint32) { s.Len = 0xffff }, kring.BadLength, 1},
		{"buffer 0", func(s *abi.Slot, _ uint32) { s.BufIdx = 0 }, kring.BadBuffer, 1},
		{"buffer 1", func(s *abi.Slot, _ uint32) { s.BufIdx = 1 }, kring.BadBuffer, 1},
		{"a buffer behind the pool", func(s *abi.Slot, n uint32) { s.BufIdx = n }, kring.BadBuffer, 1},
		{"a buffer far behind", func(s *abi.Slot, _ uint32) { s.BufIdx = 1<<32 - 1 }, kring.BadBuffer, 1},
		{"bad fragment", func(s *abi.Slot, _ uint32) { s.Flags, s.Len = abi.NSMoreFrag, 300 },
			kring.BadLength, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := ports(t, 2)
			tx := p[0].tx[0]
			for range 3 {
				tx.Push(packet('*', 'a', "a good one"), 0)
			}
			good := *tx.Slot(1)
			c.spoil(tx.Slot(1), tx.Bufs().Total())
			if !tx.Sync(t) {
				t.Error("the sync was refused because of a slot")
			}
			want := 3 - c.drops
			if tx.Slot(1).Flags&abi.NSMoreFrag != 0 {
				want-- // the next frame is lost with it
			}
			p[1].rx[0].Sync(t)
			if got := len(p[1].rx[0].Mine()); got != int(want) {
				t.Errorf("%d frames arrived, want %d", got, want)
			}
			wantDrops(t, tx, c.why, c.drops)
			*tx.Slot(1) = good
		})
	}
}

func TestAFullReceiverLosesFrames(t *testing.T) {
	w := newNet(t)
	a, b, c := w.join(t, 1, 1, 64), w.join(t, 1, 1, 8), w.join(t, 1, 1, 64)
	var frames [][]byte
	for i := range 20 {
		frames = append(frames, packet('*', 'a', fmt.Sprint(i)))
	}
	a.send(t, frames...)
	wantTexts(t, b, "0", "1", "2", "3", "4", "5", "6")
	wantDrops(t, b.rx[0], kring.NoRoom, 13)
	if got := len(texts(t, c.rx[0])); got != 20 {
		t.Errorf("the other receiver got %d of 20", got)
	}
	if len(a.tx[0].Drops.Counts()) != 0 {
		t.Errorf("the sender counted %v", a.tx[0].Drops.Counts())
	}
}

// A receiver's slots come back at its rxsync; moving head alone frees nothing.
func TestSlotsComeBackAtRxsync(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 64), w.join(t, 1, 1, 4)
	a.send(t, packet('*', 'a', "1"), packet('*', 'a', "2"), packet('*', 'a', "3"))
	b.rx[0].Sync(t)
	b.rx[0].SetHead(2)
	a.send(t, packet('*', 'a', "4"))
	wantDrops(t, b.rx[0], kring.NoRoom, 1)
	b.rx[0].Sync(t)
	a.send(t, packet('*', 'a', "5"))
	wantTexts(t, b, "3", "5")
	wantDrops(t, b.rx[0], kring.NoRoom, 1)
}

// A packet that does not fit is lost, but a shorter one behind it may fit.
func TestAPacketIsLostAsAWhole(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 64), w.join(t, 1, 1, 4)
	tx := a.tx[0]
	tx.Push(packet('*', 'a', "1"), 0)
	for _, f := range []uint16{abi.NSMoreFrag, abi.NSMoreFrag, 0} {
		tx.Push(packet('*', 'a', "three slots"), f)
	}
	tx.Push(packet('*', 'a', "2"), 0)
	tx.Sync(t)
	wantTexts(t, b, "1", "2")
	wantDrops(t, b.rx[0], kring.NoRoom, 1)
}

func TestReceiversThatAreNotOpen(t *testing.T) {
	w := newNet(t)
	a, b, c := w.join(t, 1, 1, 8), w.join(t, 1, 1, 8), w.join(t, 1, 1, 8)
	b.rx[0].Close()
	a.send(t, packet('*', 'a', "1"))
	wantTexts(t, c, "1")
	wantDrops(t, b.rx[0], kring.NotOpen, 1)
	b.rx[0].Reopen(t)
	a.send(t, packet('*', 'a', "2"))
	wantTexts(t, b, "2")
}

func TestAReceiverWithoutBuffersGetsEmptySlots(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 8), w.join(t, 1, 1, 8)
	for i, idx := range []uint32{0, 1, 1 << 20} {
		mine := b.rx[0].Slot(uint32(i)).BufIdx
		b.rx[0].Slot(uint32(i)).BufIdx = idx
		a.send(t, packet('*', 'a', "lost"))
		b.rx[0].Sync(t)
		if got := *b.rx[0].Slot(uint32(i)); got != (abi.Slot{Flags: 0x100}) {
			t.Errorf("buffer %d: received %+v", idx, got)
		}
		wantDrops(t, b.rx[0], kring.BadBuffer, uint64(i)+1)
		b.rx[0].Slot(uint32(i)).BufIdx = mine
	}
	a.send(t, packet('*', 'a', "and good again"))
	b.rx[0].SetHead(3)
	wantTexts(t, b, "and good again")
}

func TestNumberOfPorts(t *testing.T) {
	w := newNet(t)
	var all []*Port
	for i := range MaxPorts {
		p, err := w.newPort(fmt.Sprint("vale0:", i), 1, 1, 2)
		if err != nil {
			t.Fatalf("port %d: %v", i, err)
		}
		if p.Index() != i {
			t.Errorf("port %d has index %d", i, p.Index())
		}
		all = append(all, p)
	}
	if _, err := w.newPort("vale0:x", 1, 1, 2); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("port %d: error %v, want ENOMEM", MaxPorts+1, err)
	}
	if got := len(w.sw.Ports()); got != MaxPorts {
		t.Errorf("%d ports", got)
	}

	// A full switch works, also for its last port.
	a, z := all[0], all[MaxPorts-1]
	tx, rx := kringtest.Open(t, w.region, a, abi.DirTx, 0),
		kringtest.Open(t, w.region, z, abi.DirRx, 0)
	tx2, rx2 := kringtest.Open(t, w.region, z, abi.DirTx, 0),
		kringtest.Open(t, w.region, a, abi.DirRx, 0)
	tx.Push(packet('z', 'a', "to all"), 0)
	tx.Sync(t)
	if got := texts(t, rx); !slices.Equal(got, []string{"to all"}) {
		t.Errorf("the last port received %q", got)
	}
	tx2.Push(packet('a', 'z', "back"), 0)
	tx2.Sync(t)
	tx.Push(packet('z', 'a', "to z"), 0)
	tx.Sync(t)
	if got := append(texts(t, rx2), texts(t, rx)...); !slices.Equal(got, []string{"back", "to z"}) {
		t.Errorf("the ports received %q", got)
	}
	for _, r := range []*kringtest.Ring{tx, rx, tx2, rx2} {
		r.Close()
	}

	all[100].Close()
	p, err := w.newPort("vale0:x", 1, 1, 2)
	if err != nil || p.Index() != 100 {
		t.Errorf("a new port: %v; want the free index", err)
	}
	all[100] = p
	for _, p := range all {
		p.Close()
	}
	if len(w.sw.Ports()) != 0 || len(w.sw.Learned()) != 0 {
		t.Error("the switch is not empty")
	}
}

func TestNumberOfRings(t *testing.T) {
	w := newNet(t)
	for _, c := range []struct{ tx, rx uint16 }{{0, 1}, {1, 0}, {17, 1}, {1, 17}, {1 << 15, 1 << 15}} {
		if _, err := w.newPort("vale0:x", c.tx, c.rx, 2); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("%d tx and %d rx rings: error %v, want EINVAL", c.tx, c.rx, err)
		}
	}
	if len(w.sw.Ports()) != 0 {
		t.Error("a port that was refused has joined")
	}
	w.join(t, MaxRings, MaxRings, 2)
}

func TestTableRemembersWhatWasLearnedLast(t *testing.T) {
	var tab table
	rnd := rand.New(rand.NewPCG(1, 7))
	m := map[uint32]struct {
		mac  uint64
		port int
	}{}
	for range 20000 {
		mac := rnd.Uint64N(1<<11)<<37 | rnd.Uint64N(2)
		switch rnd.IntN(50) {
		case 0:
			gone := rnd.IntN(MaxPorts)
			tab.forget(gone)
			for h, e := range m {
				if e.port == gone {
					delete(m, h)
				}
			}
		default:
			port := rnd.IntN(MaxPorts)
			tab.learn(mac, port)
			m[hash(mac)] = struct {
				mac  uint64
				port int
			}{mac, port}
		}
		mac = rnd.Uint64N(1<<11)<<37 | rnd.Uint64N(2)
		port, ok := tab.find(mac)
		if e, known := m[hash(mac)]; ok != (known && e.mac == mac) || ok && port != e.port {
			t.Fatalf("find(%x) = %d, %v; want %+v", mac, port, ok, e)
		}
	}
	if got := len(tab.list()); got != len(m) {
		t.Errorf("%d entries listed, want %d", got, len(m))
	}
}

func TestHashSpreadsNeighbours(t *testing.T) {
	used := map[uint32]bool{}
	for i := range uint64(512) {
		used[hash(0x0002<<0|i<<40)] = true // addresses that differ in the last byte or two
	}
	if len(used) < 300 {
		t.Errorf("512 addresses use %d of %d entries", len(used), tableSize)
	}
}

// TestManySendersToOneReceiver floods one port from several: every frame is received once, intact
// and in its sender's order, or counted as lost.
func TestManySendersToOneReceiver(t *testing.T) {
	const senders, perSender = 4, 20000
	w := newNet(t)
	rx := w.join(t, 1, 1, 256)
	rx.send(t, packet('*', 'r', ""))
	rx.tx[0].Drops = kring.Drops{}
	var from []*station
	for range senders {
		from = append(from, w.join(t, 1, 1, 128))
	}
	var running atomic.Int32
	running.Store(senders)
	var wg sync.WaitGroup
	for i, s := range from {
		wg.Go(func() {
			defer running.Add(-1)
			rnd := rand.New(rand.NewPCG(uint64(i), 8))
			for seq := uint32(0); seq < perSender; {
				for range 1 + rnd.IntN(100) {
					if seq < perSender && s.tx[0].Push(payload(byte(i), seq, rnd.IntN(200)), 0) {
						seq++
					}
				}
				s.tx[0].Sync(t)
			}
		})
	}
	next := [senders]uint32{}
	received := uint64(0)
	for done := false; ; {
		rx.rx[0].Sync(t)
		n := len(rx.rx[0].Mine())
		for range n {
			f, flags, _ := rx.rx[0].Pull()
			who, seq := f[14], binary.LittleEndian.Uint32(f[15:])
			if flags != 0x100 || who >= senders || seq < next[who] ||
				!bytes.Equal(f, payload(who, seq, len(f)-19)) {
				t.Fatalf("received %d bytes, flags %#x, sender %d, number %d; expected %v or later", len(f),
					flags, who, seq, next)
			}
			next[who] = seq + 1
			received++
		}
		if n == 0 {
			if done {
				break
			}
			done = running.Load() == 0
		}
	}
	wg.Wait()
	lost := rx.rx[0].Drops.Counts()[kring.NoRoom.String()]
	if received+lost != senders*perSender {
		t.Errorf("%d received and %d lost of %d", received, lost, senders*perSender)
	}
	for _, s := range from {
		if c := s.tx[0].Drops.Counts(); len(c) != 0 {
			t.Errorf("%s counted %v", s.Name, c)
		}
	}
}

// payload makes a frame of a sender whose bytes all depend on who and seq.
func payload(who byte, seq uint32, extra int) []byte {
	f := append(packet('r', 's'+who, ""), who)
	f = binary.LittleEndian.AppendUint32(f, seq)
	for i := range extra {
		f = append(f, who^byte(seq)+byte(i))
	}
	return f
}

// Ports join and leave while others send: nobody writes to a ring that is closed, and all memory is
// freed.
func TestPortsComeAndGoUnderTraffic(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 64), w.join(t, 1, 1, 64)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i, s := range []*station{a, b} {
		wg.Go(func() {
			for n := uint32(0); ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				for range 40 {
					s.tx[0].Push(packet("*rst"[n%4], 's'+byte(i), "traffic"), 0)
				}
				s.tx[0].Sync(t)
				texts(t, s.rx[0])
			}
		})
	}
	for i := range 300 {
		p, err := w.newPort(fmt.Sprint("vale0:", i), 1, 1, 32)
		if err != nil {
			t.Fatal(err)
		}
		tx, rx := kringtest.Open(t, w.region, p, abi.DirTx, 0),
			kringtest.Open(t, w.region, p, abi.DirRx, 0)
		tx.Push(packet('s', 'r', "hello"), 0)
		tx.Sync(t)
		texts(t, rx)
		rx.Close()
		tx.Close()
		p.Close()
	}
	close(stop)
	wg.Wait()
}

// drain reads all frames, and returns the last one.
func drain(t *testing.T, rx *kringtest.Ring) (last []byte) {
	rx.Sync(t)
	for f, _, ok := rx.Pull(); ok; f, _, ok = rx.Pull() {
		last = f
	}
	rx.Sync(t)
	return last
}

// Programs that write random values into their rings do not affect others: two honest ports go on.
func TestHostilePrograms(t *testing.T) {
	for seed := range uint64(20) {
		w := newNet(t)
		rnd := rand.New(rand.NewPCG(seed, 9))
		a, b, bad := w.join(t, 1, 1, 16), w.join(t, 1, 1, 16), w.join(t, 2, 2, 16)
		b.send(t, packet('a', 'b', ""))
		texts(t, a.rx[0])
		rings := slices.Concat(bad.tx, bad.rx)
		own := map[*kringtest.Ring]uint32{}
		for _, r := range rings {
			own[r] = r.Slot(0).BufIdx // buffers are side by side
		}
		for i := range 500 {
			r := rings[rnd.IntN(len(rings))]
			switch rnd.IntN(5) {
			case 0:
				r.Shared.Head.Store(rnd.Uint32N(18))
			case 1:
				r.Shared.Cur.Store(rnd.Uint32N(18))
			case 2:
				r.Shared.Tail.Store(rnd.Uint32N(18))
			case 3: // its own buffers or invalid ones; it could write to others' buffers directly
				*r.Slot(rnd.Uint32N(16)) = abi.Slot{BufIdx: []uint32{own[r] + rnd.Uint32N(16), 0,
					1 << 30}[rnd.IntN(3)], Len: uint16(rnd.IntN(300)), Flags: uint16(rnd.Uint32())}
			case 4:
				r.Sync(t)
			}
			want := packet('b', 'a', fmt.Sprint(i))
			a.send(t, want)
			if got := drain(t, b.rx[0]); !bytes.Equal(got, want) {
				t.Fatalf("seed %d: b received %q last, want %q", seed, got, want)
			}
			drain(t, a.rx[0])
		}
		for _, s := range w.ports {
			s.leave()
		}
		w.region.Reset()
	}
}
