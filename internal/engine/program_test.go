package engine_test

import (
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// small has room for a dozen ports of a few slots.
var small = mem.Config{If: mem.Pool{Num: 16, Size: 1024}, Ring: mem.Pool{Num: 64, Size: 1024},
	Buf: mem.Pool{Num: 1024, Size: 256}, NoHuge: true}

// newEngine makes an engine. At the end of the test, bindings that are still open are closed, and
// everything has to be back in the pools.
func newEngine(t testing.TB) *engine.Engine {
	t.Helper()
	e, err := engine.New(engine.Config{Region: small, MaxSwitches: 3})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if u := e.Region().Usage(); !u.Full() {
			t.Errorf("not everything came back to the pools: %+v", u)
		}
	})
	return e
}

// request returns a request for all rings, with that many slots, after changes by the functions.
func request(slots uint32, change ...func(*abi.Register)) abi.Register {
	r := abi.Register{Mode: abi.RegAllNIC, TxSlots: slots, RxSlots: slots}
	for _, f := range change {
		f(&r)
	}
	return r
}

func mode(m uint32) func(*abi.Register)   { return func(r *abi.Register) { r.Mode = m } }
func flags(f uint64) func(*abi.Register)  { return func(r *abi.Register) { r.Flags |= f } }
func memID(id uint16) func(*abi.Register) { return func(r *abi.Register) { r.MemID = id } }
func extra(n uint32) func(*abi.Register)  { return func(r *abi.Register) { r.ExtraBufs = n } }
func rings(tx, rx uint16) func(*abi.Register) {
	return func(r *abi.Register) { r.TxRings, r.RxRings = tx, rx }
}
func ring(i uint16) func(*abi.Register) {
	return func(r *abi.Register) { r.Mode, r.RingID = abi.RegOneNIC, i }
}

// null returns a request for a null port.
func null(r *abi.Register) { r.Mode, r.MemID = abi.RegNull, 1 }

// program is a binding, and the memory as a program sees it.
type program struct {
	*engine.Binding
	nifp   *abi.If
	tx, rx []*programRing // the bound ones
}

type programRing struct {
	*abi.Ring
	slots []abi.Slot
	buf   func(i uint32) []byte
}

func open(t testing.TB, e *engine.Engine, name string, req abi.Register) *program {
	t.Helper()
	b, err := e.Register(name, req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return see(b)
}

// see finds interface and rings the way C programs do.
func see(b *engine.Binding) *program {
	m, at := b.Memory(), uintptr(b.Register().Offset)
	p := &program{Binding: b, nifp: shm.At[abi.If](m, at)}
	tx := int(p.nifp.TxRings + p.nifp.HostTxRings)
	rx := int(p.nifp.RxRings + p.nifp.HostRxRings)
	for i, ofs := range shm.Slice[int64](m, at+abi.IfSize, tx+rx) {
		if ofs == 0 {
			continue
		}
		r := ringAt(m, uintptr(int64(at)+ofs))
		if i < tx {
			p.tx = append(p.tx, r)
		} else {
			p.rx = append(p.rx, r)
		}
	}
	return p
}

func ringAt(m []byte, at uintptr) *programRing {
	g := shm.At[abi.Ring](m, at)
	pool := int64(at) + g.BufOfs
	return &programRing{g, shm.Slice[abi.Slot](m, at+abi.RingSize, int(g.NumSlots)),
		func(i uint32) []byte {
			o := pool + int64(i)*int64(g.BufSize)
			return m[o : o+int64(g.BufSize)]
		}}
}

func (r *programRing) move(head uint32) {
	r.Cur.Store(head)
	r.Head.Store(head)
}

// mine returns the number of slots that the program has.
func (r *programRing) mine() int {
	return int((r.Tail.Load() + r.NumSlots - r.Head.Load()) % r.NumSlots)
}

// put fills the next slots with frames.
func (r *programRing) put(t testing.TB, frames ...string) {
	t.Helper()
	for _, f := range frames {
		if r.mine() == 0 {
			t.Fatalf("no room for %q", f)
		}
		i := r.Head.Load()
		r.slots[i].Len, r.slots[i].Flags = uint16(copy(r.buf(r.slots[i].BufIdx), f)), 0
		r.move((i + 1) % r.NumSlots)
	}
}

// take returns the frames that are there.
func (r *programRing) take() (all []string) {
	for r.mine() > 0 {
		i := r.Head.Load()
		all = append(all, string(r.buf(r.slots[i].BufIdx)[:r.slots[i].Len]))
		r.move((i + 1) % r.NumSlots)
	}
	return all
}

func wantErrno(t testing.TB, what string, err error, want syscall.Errno) {
	t.Helper()
	if want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func wantFrames(t testing.TB, r *programRing, want ...string) {
	t.Helper()
	if got := r.take(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("received %q, want %q", got, want)
	}
}

// frame is one that a VALE switch sends to everybody.
func frame(text string) string {
	return "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5" + text
}
