package engine_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
)

var le = binary.LittleEndian

// roomy is a region with buffers of the size that the first programs have compiled in.
var roomy = mem.Config{If: mem.Pool{Num: 16, Size: 1024}, Ring: mem.Pool{Num: 64, Size: 1024},
	Buf: mem.Pool{Num: 512, Size: 2048}, NoHuge: true}

func newRoomy(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{Region: roomy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if u := e.Region().Usage(); !u.Full() {
			t.Errorf("not everything came back to the pools: %+v", u)
		}
	})
	return e
}

// apiOf is the API with that label.
func apiOf(label string) *abi.API {
	return abi.APIs[slices.IndexFunc(abi.APIs, func(a *abi.API) bool { return a.Label == label })]
}

// withAvail are the APIs whose rings count with avail.
var withAvail = []string{"A0p", "A0", "A1", "A2p", "A2", "A3", "A4a", "A4b", "A5"}

func openAs(t testing.TB, e *engine.Engine, api, name string, req abi.Register) *engine.Binding {
	t.Helper()
	b, err := e.RegisterWith(name, req, engine.Options{API: apiOf(api)})
	if err != nil {
		t.Fatalf("API %s: %v", api, err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// oldProgram is a program of an API with avail. It knows only what netmap's header of that time
// says about rings.
type oldProgram struct {
	*engine.Binding
	api    *abi.API
	mem    []byte // from its interface on
	tx, rx []*oldRing
}

// oldRing is a ring from its first byte on.
type oldRing struct {
	l    *abi.RingLayout
	slot int // size
	mem  []byte
	at   int // in the region
	all  []byte
}

func openOld(t testing.TB, e *engine.Engine, api, name string, req abi.Register) *oldProgram {
	t.Helper()
	return seeOld(openAs(t, e, api, name, req), apiOf(api))
}

// seeOld finds the rings as the macros of the time do: tx rings, a host ring, rx rings, a host
// ring.
func seeOld(b *engine.Binding, api *abi.API) *oldProgram {
	at := int(b.Register().Offset)
	p := &oldProgram{Binding: b, api: api, mem: b.Memory()[at:]}
	number := func(offset int) int { return int(le.Uint32(p.mem[offset:])) }
	tx, rx := number(api.If.NumQueues), number(api.If.NumQueues)
	if api.If.NumQueues == 0 {
		tx, rx = number(api.If.TxRings), number(api.If.RxRings)
	}
	for i := range tx + 1 + rx + 1 {
		ofs := at + int(int64(le.Uint64(p.mem[api.If.Size+8*i:])))
		r := &oldRing{api.Ring, api.SlotSize, b.Memory()[ofs:], ofs, b.Memory()}
		if i <= tx {
			p.tx = append(p.tx, r)
		} else {
			p.rx = append(p.rx, r)
		}
	}
	return p
}

func (r *oldRing) get(offset int) uint32    { return le.Uint32(r.mem[offset:]) }
func (r *oldRing) set(offset int, v uint32) { le.PutUint32(r.mem[offset:], v) }
func (r *oldRing) slots() uint32            { return r.get(8) }
func (r *oldRing) cur() uint32              { return r.get(r.l.Cur) }
func (r *oldRing) avail() uint32            { return r.get(r.l.Avail) }

// slotAt is slot i: index at 0, length at 4, flags at 6.
func (r *oldRing) slotAt(i uint32) []byte { return r.mem[r.l.Size+int(i)*r.slot:][:r.slot] }

// buf is the buffer of slot i.
func (r *oldRing) buf(i uint32) []byte {
	size := int(le.Uint16(r.mem[r.l.BufSize:]))
	return r.all[r.at+int(int64(le.Uint64(r.mem)))+int(le.Uint32(r.slotAt(i)))*size:][:size]
}

// next moves cur by n.
func (r *oldRing) next(n uint32) {
	r.set(r.l.Cur, (r.cur()+n)%r.slots())
	r.set(r.l.Avail, r.avail()-n)
}

func (r *oldRing) put(text string) {
	s := r.slotAt(r.cur())
	le.PutUint16(s[4:], uint16(copy(r.buf(r.cur()), text)))
	le.PutUint16(s[6:], abi.NSReport)
	r.next(1)
}

func (r *oldRing) take() string {
	text := string(r.buf(r.cur())[:le.Uint16(r.slotAt(r.cur())[4:])])
	r.next(1)
	return text
}

// want checks cur and avail.
func (r *oldRing) want(t *testing.T, what string, cur, avail uint32) {
	t.Helper()
	if r.cur() != cur || r.avail() != avail {
		t.Errorf("%s: cur %d, avail %d, want %d and %d", what, r.cur(), r.avail(), cur, avail)
	}
}

func wantOld(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// Frames go around the rings of a pipe, from every old API to every other and to today's.
func TestOldRings(t *testing.T) {
	for i, from := range withAvail {
		to := withAvail[(i+3)%len(withAvail)]
		t.Run(from+" to "+to, func(t *testing.T) {
			e := newRoomy(t)
			a, b := openOld(t, e, from, "x{1", request(8)), openOld(t, e, to, "x}1", request(8))
			tx, rx := a.tx[0], b.rx[0]
			tx.want(t, "a fresh tx ring", 0, 7)
			rx.want(t, "a fresh rx ring", 0, 0)
			a.tx[1].want(t, "a tx ring of the host", 0, 0)
			b.rx[1].want(t, "an rx ring of the host", 0, 0)
			for round := range uint32(20) {
				n := 1 + round%7
				for k := range n {
					tx.put(fmt.Sprint(round, k))
				}
				wantOld(t, "TxSync", a.TxSync())
				if a.Poll(session.PollOut) == 0 != (n == 7) {
					t.Errorf("round %d: %d slots are used; ready or not is wrong", round, n)
				}
				if got := b.Poll(session.PollIn); got != session.PollIn || rx.avail() != n {
					t.Fatalf("round %d: poll says %#x, %d frames, want %d", round, got, rx.avail(), n)
				}
				for k := range n {
					if got := rx.take(); got != fmt.Sprint(round, k) {
						t.Errorf("round %d, frame %d: %q", round, k, got)
					}
				}
				wantOld(t, "RxSync", b.RxSync())
				wantOld(t, "TxSync", a.TxSync())
				tx.want(t, "all sent", tx.cur(), 7)
				rx.want(t, "all read", tx.cur(), 0)
			}
		})
	}
}

func TestOldSyncsDoNotAllocate(t *testing.T) {
	for _, api := range withAvail {
		e := newRoomy(t)
		a, b := openOld(t, e, api, "x{1", request(8)), openOld(t, e, api, "x}1", request(8))
		allocs := testing.AllocsPerRun(200, func() {
			a.tx[0].put("x")
			a.TxSync()
			b.Poll(session.PollIn)
			b.rx[0].take()
			b.RxSync()
			a.Poll(session.PollIn | session.PollOut)
		})
		if allocs != 0 {
			t.Errorf("API %s: %v allocations", api, allocs)
		}
	}
}

// A receiver may reserve slots before cur. The sender does not get these back.
func TestReserved(t *testing.T) {
	for _, api := range withAvail {
		if apiOf(api).Ring.Reserved == 0 {
			continue
		}
		t.Run(api, func(t *testing.T) {
			e := newRoomy(t)
			a, b := openOld(t, e, "A5", "x{1", request(8)), openOld(t, e, api, "x}1", request(8))
			tx, rx := a.tx[0], b.rx[0]
			reserve := func(n uint32) { rx.set(rx.l.Reserved, n) }
			sync := func() {
				t.Helper()
				wantOld(t, "RxSync", b.RxSync())
				wantOld(t, "TxSync", a.TxSync())
			}
			for range 5 {
				tx.put("x")
			}
			wantOld(t, "TxSync", a.TxSync())
			sync()
			rx.next(4)
			reserve(3)
			sync()
			rx.want(t, "3 of 4 held back, 1 unread", 4, 1)
			tx.want(t, "1 came back", 5, 3)
			rx.next(1)
			reserve(2)
			sync()
			rx.want(t, "2 held back", 5, 0)
			tx.want(t, "2 more came back", 5, 5)
			reserve(200)
			sync()
			rx.want(t, "a reserve that cannot be is none", 5, 0)
			tx.want(t, "all came back", 5, 7)
			if rx.get(rx.l.Reserved) != 0 {
				t.Error("reserved is not put right")
			}
			reserve(4) // of slots that were given back long ago
			if got := b.Poll(session.PollIn); got != session.PollErr || rx.get(rx.l.Reserved) != 0 {
				t.Errorf("poll says %#x, reserved %d", got, rx.get(rx.l.Reserved))
			}
		})
	}
}

// Invalid indexes are refused, reported by poll, and corrected.
func TestOldNonsense(t *testing.T) {
	for _, api := range withAvail {
		t.Run(api, func(t *testing.T) {
			e := newRoomy(t)
			a := openOld(t, e, api, "x{1", request(8))
			tx := a.tx[0]
			for range 3 {
				tx.put("x")
			}
			wantOld(t, "TxSync", a.TxSync())
			tx.want(t, "3 are on their way", 3, 4)
			for what, spoil := range map[string]func(){
				"cur past the end":     func() { tx.set(tx.l.Cur, 8) },
				"cur far away":         func() { tx.set(tx.l.Cur, 1<<31) },
				"slots not theirs":     func() { tx.set(tx.l.Cur, (tx.cur()+5)%8) },
				"a buffer that is not": func() { le.PutUint32(tx.slotAt(tx.cur()), 512); tx.next(1) },
				"a reserved buffer":    func() { le.PutUint32(tx.slotAt(tx.cur()), 1); tx.next(1) },
				"a length too large":   func() { le.PutUint16(tx.slotAt(tx.cur())[4:], 2049); tx.next(1) },
			} {
				cur := tx.cur()
				slot := slices.Clone(tx.slotAt(cur))
				spoil()
				wantOld(t, what, a.TxSync())
				if tx.cur() != cur {
					t.Errorf("%s: cur %d, want %d", what, tx.cur(), cur)
				}
				marked := le.Uint16(tx.mem[tx.l.Flags:])&abi.NRReinit != 0
				if marked != apiOf(api).Reinits {
					t.Errorf("%s: NR_REINIT is %v", what, marked)
				}
				if got := a.Poll(0); (got == session.PollErr) != marked {
					t.Errorf("%s: the next poll says %#x", what, got)
				}
				copy(tx.slotAt(cur), slot)
				if got := a.Poll(session.PollOut); got != session.PollOut {
					t.Errorf("%s: afterwards poll says %#x", what, got)
				}
				wantOld(t, "TxSync", a.TxSync())
			}
		})
	}
}

// Buffers that a program has exchanged but not handed over stay where the program put them.
func TestSwappedBuffersOfOldPrograms(t *testing.T) {
	e := newRoomy(t)
	keep := open(t, e, "x{1", request(8)) // the region is not reset when the others go
	a, b := openOld(t, e, "A3", "vale0:a", request(8)), openOld(t, e, "A0", "vale0:b", request(8))
	before := e.Region().Usage()
	s, u := a.tx[0].slotAt(2), b.tx[0].slotAt(5)
	x, y := le.Uint32(s), le.Uint32(u)
	le.PutUint32(s, y)
	le.PutUint32(u, x)
	a.tx[0].put("x")
	wantOld(t, "TxSync", a.TxSync())
	a.Close()
	b.Close()
	after := e.Region().Usage()
	if got := after.BufFree - before.BufFree; got != 4*8 {
		t.Errorf("%d buffers came back, want %d", got, 4*8)
	}
	keep.Close()
}

// A program with the same ring in another layout advances the ring, and the shadow follows.
func TestOldAndNewOnOneRing(t *testing.T) {
	e := newRoomy(t)
	old, today := openOld(t, e, "A4b", "x{1", request(8)), open(t, e, "x{1", request(8))
	peer := open(t, e, "x}1", request(8))
	for round := range 10 {
		old.tx[0].put("old")
		wantOld(t, "TxSync", old.TxSync())
		wantErrno(t, "RxSync", peer.RxSync(), 0)
		wantFrames(t, peer.rx[0], "old")
		today.tx[0].put(t, "new")
		wantErrno(t, "TxSync", today.TxSync(), 0)
		wantErrno(t, "RxSync", peer.RxSync(), 0)
		wantFrames(t, peer.rx[0], "new")
		wantErrno(t, "RxSync", peer.RxSync(), 0)
		wantOld(t, "TxSync", old.TxSync())
		if round == 9 {
			old.tx[0].want(t, "at the end", (2*10)%8, 7)
		}
	}
}

// Bindings of one API share shadows. Each API has its own shadows, which are freed with its last
// binding.
func TestShadowsAreShared(t *testing.T) {
	e := newRoomy(t)
	keep := open(t, e, "y{1", request(8))
	before := e.Region().Usage()
	a := openOld(t, e, "A3", "vale0:a", request(8, rings(2, 2)))
	again := openOld(t, e, "A3", "vale0:a", request(8, ring(1)))
	other := openOld(t, e, "A5", "vale0:a", request(8))
	if a.tx[1].at != again.tx[1].at || a.tx[0].at != again.tx[0].at || a.tx[0].at == other.tx[0].at {
		t.Error("the wrong ones share")
	}
	for _, p := range []*oldProgram{a, again, other} {
		p.Close()
	}
	if after := e.Region().Usage(); after != before {
		t.Errorf("left %+v, were %+v", after, before)
	}
	keep.Close()
}

// To programs that know only pairs of rings, a port with more rings in one direction seems to have
// pairs.
func TestUnevenRings(t *testing.T) {
	e := newRoomy(t)
	for _, api := range []string{"A0", "A1", "A3"} {
		a, b := openOld(t, e, api, "x{1", request(8, rings(1, 3))), open(t, e, "x}1", request(8))
		for i, r := range b.tx {
			r.put(t, fmt.Sprint(i))
		}
		wantErrno(t, "TxSync", b.TxSync(), 0)
		wantOld(t, "RxSync", a.RxSync())
		for i := range 3 {
			if got := a.rx[i].take(); got != fmt.Sprint(i) {
				t.Errorf("API %s, ring %d: %q", api, i, got)
			}
		}
		a.Close()
		b.Close()
	}
}

func TestRebind(t *testing.T) {
	e := newRoomy(t)
	for _, api := range []string{"A0", "A5", "A10"} {
		b := openAs(t, e, api, "vale0:a", request(8, rings(2, 2)))
		offset := b.Register().Offset
		if _, err := b.Rebind(request(8, ring(2))); err == nil {
			t.Error("a ring that there is not")
		}
		wantOld(t, "the old binding", b.TxSync())
		next, err := b.Rebind(request(8, ring(1)))
		if err != nil {
			t.Fatal(err)
		}
		if next.Register().Offset != offset {
			t.Errorf("API %s: the interface has moved from %d to %d", api, offset, next.Register().Offset)
		}
		wantErrno(t, "the old binding", b.TxSync(), syscall.ENXIO)
		if b.Poll(session.PollOut) != session.PollErr {
			t.Error("the old binding's poll")
		}
		wantOld(t, "the new binding", next.TxSync())
		_, err = b.Rebind(request(8))
		wantErrno(t, "rebind of a closed one", err, syscall.ENXIO)
		next.Close()
	}
}

// The first programs have a buffer size of 2048 built in. All programs with avail have a field of
// 16 bits for the size.
func TestBuffersThatOldProgramsCannotHave(t *testing.T) {
	e := newEngine(t) // buffers of 256
	for api, want := range map[string]syscall.Errno{"A0": syscall.EINVAL, "A1": syscall.EINVAL,
		"A2p": 0, "A5": 0, "A10": 0} {
		b, err := e.RegisterWith("vale0:a", request(8), engine.Options{API: apiOf(api)})
		wantErrno(t, "API "+api, err, want)
		if err == nil {
			b.Close()
		} else if !strings.Contains(err.Error(), "built in") {
			t.Errorf("API %s: %v", api, err)
		}
	}
}

// oldTenants are programs of old APIs among those of today, and on the same rings.
func oldTenants() (all []tenant) {
	for i, t := range todays[:4] {
		label := []string{"A3", "A5", "A4a", "A10"}[i]
		all = append(all, t, tenant{apiOf(label), t.name, t.req}, tenant{apiOf("A2p"), t.name, t.req})
	}
	return all
}

// meddle does what the next bytes encode: writes any word of any interface or ring, syncs, polls,
// chooses other rings.
func (a *attacked) meddle(t testing.TB, f *tape) {
	i := int(f.byte()) % len(a.programs)
	b := a.programs[i].Binding
	switch op := f.byte() % 16; {
	case op < 8:
		atomic.StoreUint32(&a.area[(int(f.byte())<<8|int(f.byte()))%len(a.area)], f.word())
	case op < 10:
		b.TxSync()
	case op < 12 || b.API() == nil:
		b.RxSync()
	case op < 15:
		if got := b.Poll(int16(f.byte())); got&^0x14d != 0 {
			t.Errorf("poll = %#x", got)
		}
	default:
		if next, err := b.Rebind(request(8, ring(uint16(f.byte()&1)))); err == nil {
			a.programs[i].Binding = next
		}
	}
}

// FuzzHostileOldPrograms is FuzzHostilePrograms with programs of old APIs.
func FuzzHostileOldPrograms(f *testing.F) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for i := range 100 {
		b := make([]byte, 100+20*i)
		for k := range b {
			b[k] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		a := newAttacked(t, oldTenants())
		for in := tape(input); len(in) > 0; {
			a.meddle(t, &in)
		}
		a.check(t)
	})
}

// Old programs write while the framework works, and close and choose other rings while others sync.
func TestHostileOldProgramsWriteDuringSyncs(t *testing.T) {
	a := newAttacked(t, oldTenants())
	stop := time.Now().Add(300 * time.Millisecond)
	var wg sync.WaitGroup
	for i, p := range a.programs {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 7))
			b := p.Binding
			for time.Now().Before(stop) {
				atomic.StoreUint32(&a.area[rnd.IntN(len(a.area))], rnd.Uint32N(9))
				if b.API() == nil {
					b.TxSync()
					b.RxSync()
					continue
				}
				old := b
				if next, err := b.Rebind(request(8, ring(0))); err == nil {
					b = next
				}
				old.RxSync()
				b.TxSync()
				b.Poll(session.PollIn | session.PollOut)
			}
			p.Binding = b
		})
	}
	wg.Wait()
	a.check(t)
}
