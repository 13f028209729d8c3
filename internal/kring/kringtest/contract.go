package kringtest

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// contract lists the tests of TestPort.
var contract = []struct {
	name string
	test func(*rig)
}{
	{"rings are numbered and have no memory", testShape},
	{"start and stop give everything back", testStartStop},
	{"out of memory leaves nothing behind", testOutOfMemory},
	{"a ring takes one frame less than it has slots", testCapacity},
	{"frames arrive whole and in order", testTraffic},
	{"who waits is woken", testWakeUps},
	{"rings are closed and opened again", testReopen},
	{"bad slots cost their program alone", testBadSlots},
	{"programs write anything", testHostile},
	{"rings close under load", testCloseUnderLoad},
	{"syncs allocate nothing", testAllocations},
}

// TestPort tests that a kind of port keeps the contract of package port, with rings of each of
// these numbers of slots. newNet makes a new port for each test.
//
// TestPort also fails if a file descriptor or a goroutine is left, and if after a sync HwCur is not
// Head() or HwTail is not the number of a slot.
func TestPort(t *testing.T, slots []uint32, newNet func(t testing.TB, slots uint32) Net) {
	for _, c := range contract {
		t.Run(c.name, func(t *testing.T) {
			for _, n := range slots {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					testutil.CheckLeaks(t)
					c.test(newRig(t, newNet(t, n)))
				})
			}
		})
	}
}

func testShape(g *rig) {
	for _, dir := range kring.Dirs {
		rings := g.Port.Rings(dir)
		if !slices.Equal(rings, g.Port.Rings(dir)) {
			g.Errorf("the %s rings change", dir)
		}
		for i, r := range rings {
			if r.Dir != dir || int(r.ID) != i || r.N != rings[0].N || r.Traffic == nil {
				g.Errorf("%s ring %d is %s, number %d, %d slots", dir, i, r.Name, r.ID, r.N)
			}
			if r.Mapped() || r.FD.Load() != -1 {
				g.Errorf("%s: memory %v, descriptor %d before the start", r.Name, r.Mapped(), r.FD.Load())
			}
		}
	}
}

func testStartStop(g *rig) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		rings := slices.Clone(g.rings)
		shuffle := func() {
			rnd.Shuffle(len(rings), func(i, j int) { rings[i], rings[j] = rings[j], rings[i] })
		}
		shuffle()
		for _, r := range rings {
			g.start(r)
			if fd := r.FD.Load(); !r.Mapped() || (fd >= 0) != (r.News == kring.Readable) {
				g.Errorf("%s: memory %v, descriptor %d after the start", r.Name, r.Mapped(), fd)
			}
			g.wantFresh(r)
		}
		shuffle()
		for _, r := range rings {
			g.stop(r)
			if r.FD.Load() != -1 {
				g.Errorf("%s: descriptor %d after the stop", r.Name, r.FD.Load())
			}
		}
		g.wantNothingLeft()
	}
}

// wantFresh checks a ring that was started after all rings were stopped.
func (g *rig) wantFresh(r *Ring) {
	g.Helper()
	free := uint32(0)
	if r.Dir == abi.DirTx {
		free = r.N - 1
	}
	if r.Shared.Head.Load() != 0 || r.Shared.Cur.Load() != 0 || r.Shared.Tail.Load() != free {
		g.Errorf("%s: a fresh ring has head %d, cur %d, tail %d", r.Name,
			r.Shared.Head.Load(), r.Shared.Cur.Load(), r.Shared.Tail.Load())
	}
	empty := func(s abi.Slot) bool { return !r.Bufs().Valid(s.BufIdx) }
	for _, f := range g.flows {
		if f.tx == r && slices.ContainsFunc(r.Slots(), empty) {
			g.Errorf("%s: a fresh ring has a slot without a buffer", r.Name)
		}
	}
}

// hogs take memory until only some is left. They return a function that frees it.
var hogs = map[string]func(g *rig, left int) (free func()){
	"buffers": func(g *rig, left int) func() {
		bufs, err := g.Region.NewBufs("hog", int(g.Region.Usage().BufFree)-left)
		if err != nil {
			g.Fatal(err)
		}
		return func() {
			for _, b := range bufs {
				g.Region.FreeBuf(b)
			}
		}
	},
	"rings": func(g *rig, left int) func() {
		var frees []func()
		for {
			r, err := g.Region.NewRing("hog", 0, abi.DirTx, 2)
			if err != nil {
				break
			}
			frees = append(frees, func() { g.Region.FreeRing(r) })
		}
		for _, free := range frees[len(frees)-left:] {
			free()
		}
		return func() {
			for _, free := range frees[:len(frees)-left] {
				free()
			}
		}
	},
}

func testOutOfMemory(g *rig) {
	before := g.Region.Usage()
	g.startAll(g.mine)
	u := g.Region.Usage()
	need := map[string]int{
		"buffers": int(before.BufFree - u.BufFree), "rings": int(before.RingFree - u.RingFree),
	}
	g.stopAll()
	for what, hog := range hogs {
		for _, left := range []int{0, 1, need[what] / 2, need[what] - 1} {
			if left < 0 || left >= need[what] {
				continue
			}
			free := hog(g, left)
			g.wantNoMemory(fmt.Sprintf("%d of %d %s", left, need[what], what))
			g.stopAll()
			free()
			g.wantNothingLeft()
		}
	}
	g.startAll(g.rings)
	g.exchangeAll(3)
}

// wantNoMemory starts rings until one fails for lack of memory, and tries that ring again.
func (g *rig) wantNoMemory(when string) {
	for _, r := range g.mine {
		before := g.Region.Usage()
		err := g.tryStart(r)
		if err == nil {
			continue
		}
		for range 2 {
			after := g.Region.Usage()
			if !errors.Is(err, syscall.ENOMEM) || after != before || r.Mapped() || r.FD.Load() != -1 {
				g.Errorf("%s: %s: error %v, want ENOMEM; memory %v, in use before and after: %+v, %+v",
					when, r.Name, err, r.Mapped(), before, after)
			}
			err = g.tryStart(r)
		}
		return
	}
	g.Errorf("%s: all rings have started", when)
}

func testCapacity(g *rig) {
	g.startAll(g.rings)
	for _, f := range g.flows {
		most := int(f.rx.N) - 1
		for range 3 {
			f.exchange(most)
		}
		sent := f.fill()
		f.await("as many frames as there is room for", func() bool { return len(f.rx.Mine()) == most })
		for range 3 {
			if f.step(); len(f.rx.Mine()) != most {
				g.Fatalf("%s: %d frames in a ring of %d slots", f.rx.Name, len(f.rx.Mine()), f.rx.N)
			}
		}
		for i := range most {
			f.wantFrame(i)
		}
		if !g.Lossy {
			for i := most; i < sent; i++ {
				f.await("what found no room at first", f.hasFrames)
				f.wantFrame(i)
			}
		}
		f.drain()
	}
}

func testTraffic(g *rig) {
	g.startAll(g.rings)
	for _, f := range g.flows {
		if f.run(min(50*int(f.rx.N), 3000)); g.Failed() {
			return
		}
	}
}

// run lets a sender and a receiver work at the same time, and sleep when there is nothing to do.
// There are never more frames in flight than the receiver has room for, so none may be lost.
func (f *flow) run(frames int) {
	var received atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	wg.Go(func() {
		for seq := 0; seq < frames; {
			if f.rig.Lossy && seq-int(received.Load()) >= int(f.rx.N)-1 {
				f.tx.Sync(f.rig)
				time.Sleep(10 * time.Microsecond)
			} else if f.tryPush(seq) {
				if seq++; seq%7 == 0 {
					f.tx.Sync(f.rig)
				}
			} else if !f.rig.sleep(f.tx) {
				break
			}
			if f.rig.Failed() {
				break
			}
		}
		f.awaitFor(limit, func() bool {
			f.tx.Sync(f.rig) // what is to come back may have to be looked for
			return int(received.Load()) >= frames || f.rig.Failed()
		})
	})
	for _, r := range f.rig.beside {
		wg.Go(func() { f.rig.readUntil(r, done) })
	}
	for seq := range frames {
		if !f.rig.sleep(f.rx) {
			f.explain(seq)
			break
		}
		f.wantFrame(seq)
		f.rx.Sync(f.rig)
		received.Store(int64(seq) + 1)
		if f.rig.Failed() {
			break
		}
	}
	close(done)
	wg.Wait()
}

// explain says where a missing frame may be.
func (f *flow) explain(n int) {
	f.rx.Sync(f.rig)
	lost := []any{f.tx.Drops.Counts(), f.rx.Drops.Counts()}
	for _, r := range []*Ring{f.tx, f.rx} {
		if d, ok := r.port.(port.Describer); ok {
			_, drops := d.Describe()
			lost = append(lost, drops)
		}
	}
	f.rig.Errorf("frame %d does not come; after another sync %s has %d frames; lost were %v",
		n, f.rx.Name, len(f.rx.Mine()), lost)
}

func testWakeUps(g *rig) {
	g.startAll(g.rings)
	for _, f := range g.flows {
		for n := range 5 {
			b := g.watch(f.rx)
			f.push(n)
			g.wantNews(b, "a frame has come", f.stepTx)
			b.leave()
			f.await("the frame", func() bool { f.rx.Sync(g); return len(f.rx.Mine()) > 0 })
			f.wantFrame(n)
			f.rx.Sync(g)
		}
		f.fill()
		if len(f.tx.Mine()) > 0 { // the port loses frames before its sender has to wait
			f.drain()
			continue
		}
		b := g.watch(f.tx)
		g.wantNews(b, "there is room", func() { g.read(f.rx) })
		b.leave()
		f.await("room", func() bool { f.step(); return len(f.tx.Mine()) > 0 })
		f.drain()
	}
}

func testReopen(g *rig) {
	for range 4 {
		g.startAll(g.rings)
		for _, r := range g.rings {
			g.wantFresh(r)
		}
		g.exchangeAll(5)
		for _, f := range g.flows { // frames are left in all states
			f.tryPush(1000)
			f.stepTx()
			f.tryPush(1001)
		}
		g.stopAll()
		g.wantNothingLeft()
	}
	g.startAll(g.rings)
	g.exchangeAll(5)
	for _, r := range g.mine {
		g.stop(r)
		for _, f := range g.flows {
			if f.tx != r && f.tryPush(1000) {
				f.stepTx()
			}
		}
		g.start(r)
		for _, f := range g.flows {
			f.drain()
		}
		g.exchangeAll(5)
	}
}

func testBadSlots(g *rig) {
	g.startAll(g.rings)
	guard := g.guard()
	for _, f := range g.flows {
		if f.tx.N < 8 {
			continue
		}
		for _, idx := range []uint32{0, 1, f.tx.Bufs().Total(), 1<<31 | 5, 1<<32 - 1} {
			f.spoil(abi.Slot{BufIdx: idx, Len: 60})
		}
		own := abi.Slot{BufIdx: keep}
		for _, length := range []uint16{0, 1, 13, uint16(f.tx.Bufs().Size()) + 1, 1<<16 - 1} {
			own.Len = length
			f.spoil(own)
		}
		own.Len = 60
		for bit := range 16 {
			own.Flags = 1 << bit
			f.spoil(own)
		}
		own.Flags = 1<<16 - 1
		f.spoil(own)
	}
	guard.check()
}

// keep is the buffer index in a bad slot that keeps its buffer.
const keep = 1<<32 - 2

// spoil sends a bad slot and then good frames, which must arrive. Then the receiver releases a slot
// that is as bad, and more good frames must arrive.
func (f *flow) spoil(bad abi.Slot) {
	f.push(0)
	f.push(1)
	f.rig.spoilSlot(f.tx, (f.tx.Shared.Head.Load()+f.tx.N-1)%f.tx.N, bad)
	f.step()
	f.recovers(fmt.Sprintf("after %+v was sent", bad))
	f.push(2)
	f.await("a frame", f.hasFrames)
	i := f.rx.Shared.Head.Load()
	f.rig.spoilSlot(f.rx, i, bad)
	f.rx.SetHead(f.rx.Next(i))
	f.step()
	f.recovers(fmt.Sprintf("after %+v was released", bad))
}

// recovers tests that frames arrive unchanged, whatever became of those before.
func (f *flow) recovers(when string) {
	f.rig.Helper()
	seen := false
	for n := 10; !seen && n < 30; n++ {
		f.push(n)
		f.step()
		f.awaitFor(limit/50, f.hasFrames)
		for {
			frame, _, ok := f.rig.pull(f.rx)
			if !ok {
				break
			}
			seen = seen || bytes.Equal(frame, f.frame(n))
		}
	}
	if !seen {
		f.rig.Fatalf("%s to %s: no frame arrives %s", f.tx.Name, f.rx.Name, when)
	}
	f.step()
}

func testHostile(g *rig) {
	for seed := range uint64(4) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		guard := g.guard()
		g.startAll(g.rings)
		for range 2000 {
			g.scribble(rnd)
		}
		g.stopAll()
		guard.check()
		if u := g.Region.Usage(); u.RingFree != u.RingTotal || u.IfFree != u.IfTotal {
			g.Fatalf("seed %d: left behind: %+v", seed, u)
		}
		// Buffers whose indexes programs destroyed come back when the region has no users.
		g.Region.Reset()
		g.startAll(g.rings)
		g.exchangeAll(5)
		g.stopAll()
		g.wantNothingLeft()
	}
}

// scribble writes a random value to a word of a ring that a program can write, or syncs a ring.
func (g *rig) scribble(rnd *rand.Rand) {
	r := g.rings[rnd.IntN(len(g.rings))]
	value := func() uint32 {
		if rnd.IntN(10) == 0 {
			return rnd.Uint32()
		}
		return rnd.Uint32N(r.N + 1)
	}
	switch rnd.IntN(8) {
	case 0:
		r.Shared.Head.Store(value())
	case 1:
		r.Shared.Cur.Store(value())
	case 2:
		r.SetHead(value())
	case 3:
		r.Shared.Tail.Store(value())
	case 4:
		words := rnd.Uint32()
		slot := abi.Slot{BufIdx: value(), Len: uint16(words), Flags: uint16(words >> 16)}
		*r.Slot(rnd.Uint32N(r.N)) = slot
	case 5:
		r.SetHead(r.Shared.Tail.Load())
	default:
		r.Sync(g)
	}
}

func testCloseUnderLoad(g *rig) {
	g.startAll(g.rings)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var moved atomic.Int64
	for _, r := range g.rings {
		wg.Go(func() {
			for rnd := rand.New(rand.NewPCG(uint64(r.ID), 6)); ; {
				select {
				case <-stop:
					return
				default:
					moved.Add(int64(g.use(r, rnd)))
					time.Sleep(20 * time.Microsecond)
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(1, 7))
	busy := func() bool { return moved.Load() > 0 || len(g.flows) == 0 }
	begin := time.Now()
	more := func(n int) bool {
		took := time.Since(begin)
		return n <= 20 || n <= 100 && took < 200*time.Millisecond || !busy() && took < limit
	}
	for n := 1; more(n); n++ {
		r := g.rings[rnd.IntN(len(g.rings))]
		g.stop(r)
		runtime.Gosched()
		g.start(r)
		if n%20 == 0 {
			g.stopAll()
			g.startAll(g.rings)
		}
	}
	close(stop)
	wg.Wait()
	g.stopAll()
	if !busy() {
		g.Error("not a frame arrived")
	}
}

// use makes the ring's program send or receive, and syncs, unless the ring has no memory. It
// returns the number of received frames. The program holds the ring, so that its memory is not
// freed meanwhile.
func (g *rig) use(r *Ring, rnd *rand.Rand) (received int) {
	if !r.TryHold() {
		return 0
	}
	defer r.Drop()
	if !r.Mapped() {
		return 0
	}
	r.find()
	for range rnd.IntN(8) {
		if r.Dir == abi.DirTx {
			r.Push(frame(r.ID, rnd.IntN(1000)), 0)
		} else if b, _, ok := r.Pull(); ok {
			received++
			if !isFrame(b) {
				g.Errorf("%s: received %x", r.Name, b)
			}
		}
	}
	r.sync(g)
	return received
}

func testAllocations(g *rig) {
	g.startAll(g.rings)
	for _, f := range g.flows {
		n := testing.AllocsPerRun(100, func() {
			if i := f.tx.Shared.Head.Load(); i != f.tx.Shared.Tail.Load() {
				f.tx.Slot(i).Len = 60
				f.tx.SetHead(f.tx.Next(i))
			}
			f.step()
			f.rx.SetHead(f.rx.Shared.Tail.Load())
			f.rx.Sync(g)
		})
		if n != 0 {
			g.Errorf("%s to %s: %v allocations", f.tx.Name, f.rx.Name, n)
		}
	}
}

// readUntil makes a program read all frames of a ring until done is closed.
func (g *rig) readUntil(r *Ring, done chan struct{}) {
	for {
		select {
		case <-done:
			return
		default:
			g.read(r)
			time.Sleep(20 * time.Microsecond)
		}
	}
}

// bell waits for news of a ring.
type bell struct {
	ring *Ring
	rung chan struct{}
}

// Wake implements kring.Waiter.
func (b bell) Wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

func (g *rig) watch(r *Ring) bell {
	b := bell{r, make(chan struct{}, 1)}
	r.Waiters.Join(b)
	return b
}

func (b bell) leave() { b.ring.Waiters.Leave(b) }

// wait waits for news, at most so long, in the way that the ring declares.
func (b bell) wait(most time.Duration) (woken bool) {
	switch b.ring.News {
	case kring.Readable:
		fds := []unix.PollFd{{Fd: b.ring.FD.Load(), Events: unix.POLLIN}}
		return wake.Poll(fds, most) > 0
	case kring.Silent:
		time.Sleep(min(most, 50*time.Microsecond))
		return true
	}
	select {
	case <-b.rung:
		return true
	case <-time.After(most):
		return false
	}
}

// wantNews requires news of a ring after do. It repeats do if necessary, because slots of sent
// frames may come back only when the port looks for them.
func (g *rig) wantNews(b bell, why string, do func()) {
	g.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); {
		if do(); b.wait(10 * time.Millisecond) {
			return
		}
	}
	g.Fatalf("%s: no waiter was woken: %s", b.ring.Name, why)
}

// sleep sleeps until the ring's program has slots.
func (g *rig) sleep(r *Ring) bool {
	if len(r.Mine()) > 0 {
		return true
	}
	b := g.watch(r)
	defer b.leave()
	end := time.Now().Add(limit)
	for r.Sync(g); len(r.Mine()) == 0; r.Sync(g) {
		b.wait(time.Until(end)) // a signal may end it
		if time.Now().After(end) {
			g.Errorf("%s was not woken", r.Name)
			return false
		}
	}
	return true
}
