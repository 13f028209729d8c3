package engine_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// tiny is a region in which indexes that a byte can hold are mostly good.
var tiny = mem.Config{If: mem.Pool{Num: 16, Size: 1024}, Ring: mem.Pool{Num: 48, Size: 512},
	Buf: mem.Pool{Num: 192, Size: 256}, NoHuge: true}

// attacked is an engine whose programs write anything, with two victims that must not suffer: a
// port that is only read, and an engine of another tenant.
type attacked struct {
	engine   *engine.Engine
	programs []*program
	area     []uint32 // interfaces and rings of the programs: all that they may write but buffers
	bystand  []byte   // what is behind it: rings of a port that nobody uses
	other    *engine.Engine
	before   [3][]byte // bystand, reserved buffers and the other's memory
}

// tenant is a program of an API (nil for today's), and the ports that it opens.
type tenant struct {
	api  *abi.API
	name string
	req  abi.Register
}

// todays are programs that open every kind of port.
var todays = []tenant{
	{nil, "vale0:a", request(8)},
	{nil, "vale0:b", request(8, rings(2, 2))},
	{nil, "x{1", request(8)},
	{nil, "x}1", request(8)},
	{nil, "n", request(8, null, rings(1, 1), extra(10))},
	{nil, "vale0:b", request(8, flags(monRx))},
	{nil, "x{1", request(8, flags(monZ))},
	{nil, "x{1", request(8, flags(monZ))},
}

func newAttacked(t testing.TB, tenants []tenant) *attacked {
	t.Helper()
	var a attacked
	for _, e := range []**engine.Engine{&a.engine, &a.other} {
		made, err := engine.New(engine.Config{Region: tiny})
		if err != nil {
			t.Fatal(err)
		}
		*e = made
		t.Cleanup(func() { made.Close() })
	}
	for _, c := range tenants {
		if c.api == nil {
			a.programs = append(a.programs, open(t, a.engine, c.name, c.req))
		} else {
			a.programs = append(a.programs,
				&program{Binding: openAs(t, a.engine, c.api.Label, c.name, c.req)})
		}
	}
	by := open(t, a.engine, "bystander", request(8, null, rings(1, 1)))
	open(t, a.other, "vale0:a", request(8))

	m, info := a.engine.Region().Bytes(), a.engine.Region().Info()
	ofs := shm.Slice[int64](m, uintptr(by.Register().Offset)+abi.IfSize, 1)[0]
	behind := int64(by.Register().Offset) + ofs
	a.bystand = m[behind:info.Buf.Offset]
	a.area = shm.Slice[uint32](m, 0, int(behind)/4)
	for i, b := range a.watched() {
		a.before[i] = bytes.Clone(b)
	}
	return &a
}

func (a *attacked) watched() [3][]byte {
	m, buf := a.engine.Region().Bytes(), a.engine.Region().Info().Buf
	return [3][]byte{a.bystand, m[buf.Offset : buf.Offset+abi.ReservedBufs*uint64(buf.ObjSize)],
		a.other.Region().Bytes()}
}

// check tests that no victim suffered, and closes everything except the other engine.
func (a *attacked) check(t testing.TB) {
	t.Helper()
	for i, b := range a.watched() {
		if !bytes.Equal(b, a.before[i]) {
			t.Errorf("%s changed", []string{"a bystander's ring", "a reserved buffer",
				"another engine's memory"}[i])
		}
	}
	for _, p := range a.programs {
		p.Close()
	}
	if u := a.engine.Region().Usage(); u.IfTotal-u.IfFree != 1 || u.RingTotal-u.RingFree != 2 ||
		u.BufFree > u.BufTotal {
		t.Errorf("interfaces or rings left behind: %+v", u)
	}

	// A program that opens a port now finds everything in order.
	tx, rx := open(t, a.engine, "vale0:a", request(4)), open(t, a.engine, "vale0:b", request(4))
	for range 10 {
		tx.tx[0].put(t, frame("x"))
		wantErrno(t, "TxSync", tx.TxSync(), 0)
		wantErrno(t, "RxSync", rx.RxSync(), 0)
		wantFrames(t, rx.rx[0], frame("x"))
	}
	a.engine.Close()
	if u := a.engine.Region().Usage(); !u.Full() {
		t.Errorf("not everything came back to the pools: %+v", u)
	}
}

// tape is the fuzzer's input, read from the front.
type tape []byte

func (f *tape) byte() byte {
	if len(*f) == 0 {
		return 0
	}
	b := (*f)[0]
	*f = (*f)[1:]
	return b
}

// word returns a word that is usually small.
func (f *tape) word() uint32 {
	switch k := f.byte(); {
	case k < 160:
		return uint32(k % 10)
	case k < 200:
		return uint32(f.byte())
	case k < 220:
		return uint32(f.byte()) | uint32(f.byte())<<16 // an index, a length and no flags
	case k < 240:
		return -uint32(k & 7)
	}
	return uint32(f.byte()) | uint32(f.byte())<<8 | uint32(f.byte())<<16 | uint32(f.byte())<<24
}

// step lets one of the programs do what the next bytes encode.
func (a *attacked) step(t testing.TB, f *tape) {
	p := a.programs[int(f.byte())%len(a.programs)]
	r := append(p.tx[:len(p.tx):len(p.tx)], p.rx...)[int(f.byte())%(len(p.tx)+len(p.rx))]
	slot := &r.slots[int(f.byte())%len(r.slots)]
	switch f.byte() % 16 {
	case 0, 1:
		// monitors cannot send
		if err := p.TxSync(); p.Register().Flags&(monTx|monRx) == 0 || !errors.Is(err, syscall.EIO) {
			wantErrno(t, "TxSync", err, 0)
		}
	case 2, 3:
		wantErrno(t, "RxSync", p.RxSync(), 0)
	case 4:
		if got := p.Poll(int16(f.byte())); got&^0x14d != 0 {
			t.Errorf("poll = %#x", got)
		}
	case 5:
		r.Head.Store(f.word())
	case 6:
		r.Cur.Store(f.word())
	case 7:
		r.move(f.word())
	case 8:
		r.Tail.Store(f.word())
	case 9:
		r.Flags.Store(f.word())
	case 10:
		slot.BufIdx = f.word()
	case 11:
		slot.Len, slot.Flags = uint16(f.word()), uint16(f.byte())
	case 12:
		p.nifp.BufsHead.Store(f.word())
	case 13: // a link in an extra buffer, or anything else in a buffer that is not reserved
		binary.LittleEndian.PutUint32(a.buffer(2 + f.word()%190)[f.byte()%64:], f.word())
	case 14: // any word of any ring or interface
		atomic.StoreUint32(&a.area[(int(f.byte())<<8|int(f.byte()))%len(a.area)], f.word())
	case 15: // a good frame, as if nothing had happened
		if i := r.Head.Load(); i < 8 {
			r.slots[i].Len, r.slots[i].Flags = uint16(copy(a.buffer(2+r.slots[i].BufIdx%190),
				frame("good"))), 0
			r.move((i + 1) % 8)
		}
	}
}

func (a *attacked) buffer(i uint32) []byte {
	m, buf := a.engine.Region().Bytes(), a.engine.Region().Info().Buf
	at := buf.Offset + uint64(i)*uint64(buf.ObjSize)
	return m[at : at+uint64(buf.ObjSize)]
}

// FuzzHostilePrograms lets programs write anything to memory that they share with the framework,
// between their calls: no call panics or fails, no other program suffers, and everything returns to
// the pools.
func FuzzHostilePrograms(f *testing.F) {
	f.Add([]byte{})
	for _, dir := range []byte{0, 1} {
		for prog := range byte(8) {
			var b []byte
			for _, op := range []byte{5, 6, 7, 8} { // each index past the end, then syncs
				b = append(b, prog, dir, 0, op, 0xff, 0xff, 0xff, 0xff, 0xff, prog, dir, 0, 0, prog, dir, 0, 2,
					prog, dir, 0, 4, 0xff)
			}
			f.Add(b)
		}
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 200 {
		b := make([]byte, 200+10*i)
		for k := range b {
			b[k] = byte(rnd.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		a := newAttacked(t, todays)
		for in := tape(input); len(in) > 0; {
			a.step(t, &in)
		}
		a.check(t)
	})
}

// Programs write while the framework works. The framework uses only the values that it checked.
func TestHostileProgramsWriteDuringSyncs(t *testing.T) {
	a := newAttacked(t, todays)
	stop := time.Now().Add(400 * time.Millisecond)
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(w), 3))
			for time.Now().Before(stop) {
				for range 200 {
					a.scribble(rnd)
				}
			}
		})
	}
	for i, p := range a.programs {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 4))
			for time.Now().Before(stop) {
				for range 100 {
					p.syncSomehow(rnd)
				}
			}
		})
	}
	wg.Wait()
	a.check(t)
}

// syncSomehow syncs or polls, or releases all slots, so that frames can move.
func (p *program) syncSomehow(rnd *rand.Rand) {
	switch rnd.IntN(4) {
	case 0:
		p.TxSync()
	case 1:
		p.RxSync()
	case 2:
		p.Poll(int16(rnd.IntN(16)))
	case 3:
		for _, r := range append(p.tx[:len(p.tx):len(p.tx)], p.rx...) {
			r.move(r.Tail.Load())
		}
	}
}

// scribble writes a random word somewhere.
func (a *attacked) scribble(rnd *rand.Rand) {
	p := a.programs[rnd.IntN(len(a.programs))]
	rings := append(p.tx[:len(p.tx):len(p.tx)], p.rx...)
	r := rings[rnd.IntN(len(rings))]
	value := rnd.Uint32N(9)
	if rnd.IntN(4) == 0 {
		value = rnd.Uint32()
	}
	switch rnd.IntN(8) {
	case 0:
		r.Head.Store(value)
	case 1:
		r.Cur.Store(value)
	case 2:
		r.Tail.Store(value)
	case 3:
		p.nifp.BufsHead.Store(value)
	case 4:
		r.slots[rnd.IntN(8)].SetWord(abi.MakeSlotWord(2+rnd.Uint32N(190), uint16(rnd.IntN(300)), 0))
	case 5:
		r.slots[rnd.IntN(8)].SetWord(abi.SlotWord(rnd.Uint64()))
	case 6:
		atomic.StoreUint32(shm.At[uint32](a.buffer(2+rnd.Uint32N(190)), uintptr(4*rnd.IntN(16))),
			rnd.Uint32())
	case 7:
		atomic.StoreUint32(&a.area[rnd.IntN(len(a.area))], value)
	}
}
