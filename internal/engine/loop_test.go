package engine_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// looped is a program in CSB mode. As upstream's programs do, it keeps head and tail in the rings'
// own words.
type looped struct {
	*program
	t    testing.TB
	csb  session.CSB
	loop *session.Loop
	done chan error
	cfg  session.LoopConfig
	irqs []*counter
}

// counter counts wake-ups.
type counter struct {
	n     atomic.Int64
	token chan struct{}
}

func (c *counter) Wake() {
	c.n.Add(1)
	select {
	case c.token <- struct{}{}:
	default:
	}
}

var exclusive = flags(abi.NRExclusive)

func openLooped(t testing.TB, e *engine.Engine, name string, req abi.Register,
	change ...func(*session.LoopConfig)) *looped {
	t.Helper()
	req.Flags |= abi.NRExclusive
	p := &looped{program: open(t, e, name, req), t: t, done: make(chan error, 1)}
	p.enable()
	n := len(p.csb.Atok)
	p.cfg = session.LoopConfig{CSB: p.csb, IRQs: make([]session.Waiter, n)}
	for i := range n {
		p.irqs = append(p.irqs, &counter{token: make(chan struct{}, 1)})
		p.cfg.IRQs[i] = p.irqs[i]
	}
	for _, f := range change {
		f(&p.cfg)
	}
	return p
}

func (p *looped) enable() {
	p.t.Helper()
	n := len(p.tx) + len(p.rx)
	p.csb = session.CSB{Atok: make([]abi.CSBAtok, n), Ktoa: make([]abi.CSBKtoa, n)}
	err := p.EnableCSB(func(states []session.RingState) error {
		if len(states) != n {
			p.t.Fatalf("%d rings, want %d", len(states), n)
		}
		for i, s := range states {
			s.Write(&p.csb.Atok[i], &p.csb.Ktoa[i])
		}
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// start starts the loop, which ends with the test.
func (p *looped) start() *looped {
	p.t.Helper()
	l, err := p.StartLoop()
	if err != nil {
		p.t.Fatal(err)
	}
	p.loop = l
	go func() { p.done <- l.Run(p.cfg) }()
	p.t.Cleanup(func() {
		p.Close()
		select {
		case <-p.done:
		case <-time.After(soon):
			p.t.Error("the loop runs on")
		}
	})
	return p
}

// ring is a ring with its entries, and how to kick for it.
type loopedRing struct {
	*programRing
	atok *abi.CSBAtok
	ktoa *abi.CSBKtoa
	kick func()
}

func (p *looped) txRing(i int) loopedRing {
	return loopedRing{p.tx[i], &p.csb.Atok[i], &p.csb.Ktoa[i], p.kicker(i)}
}

func (p *looped) rxRing(i int) loopedRing {
	i += len(p.tx)
	return loopedRing{p.rx[i-len(p.tx)], &p.csb.Atok[i], &p.csb.Ktoa[i], p.kicker(i)}
}

func (p *looped) kicker(i int) func() {
	if p.cfg.Kicks == nil {
		return func() { p.loop.Wake() }
	}
	one := []byte{1, 0, 0, 0, 0, 0, 0, 0}
	return func() { unix.Write(p.cfg.Kicks[i], one) }
}

// sync passes head on and takes tail in.
func (r loopedRing) sync() {
	if head := r.Head.Load(); head != r.atok.Head.Load() {
		r.atok.Cur.Store(head)
		r.atok.Head.Store(head)
		if r.ktoa.KernNeedKick.Load() != 0 {
			r.kick()
		}
	}
	r.Tail.Store(r.ktoa.HwTail.Load())
}

// until syncs until the condition holds.
func (r loopedRing) until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); ; runtime.Gosched() {
		if r.sync(); holds() {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("never: %s (head %d, tail %d)", what, r.Head.Load(), r.Tail.Load())
		}
	}
}

func eventfds(t testing.TB, n int) []int {
	t.Helper()
	var all []int
	for range n {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Close(fd) })
		all = append(all, fd)
	}
	return all
}

// copies makes a CSB of copies, as for a program whose memory cannot be shared.
func copies(c session.CSB) session.CSB {
	n := len(c.Atok)
	mine := session.CSB{Atok: make([]abi.CSBAtok, n), Ktoa: make([]abi.CSBKtoa, n)}
	mine.Pull = func() error {
		for i := range n {
			from, to := &c.Atok[i], &mine.Atok[i]
			to.Head.Store(from.Head.Load())
			to.Cur.Store(from.Cur.Load())
			to.ApplNeedKick.Store(from.ApplNeedKick.Load())
		}
		return nil
	}
	mine.Push = func() error {
		for i := range n {
			from, to := &mine.Ktoa[i], &c.Ktoa[i]
			to.HwCur.Store(from.HwCur.Load())
			to.HwTail.Store(from.HwTail.Load())
			to.KernNeedKick.Store(from.KernNeedKick.Load())
		}
		return nil
	}
	return mine
}

// loopModes are all ways to run a loop.
var loopModes = []string{"woken", "kicked", "sleeping", "spinning", "direct", "direct tx",
	"direct rx", "copies"}

// loopMode changes a configuration to one of the modes.
func loopMode(t testing.TB, name string) func(*session.LoopConfig) {
	return func(c *session.LoopConfig) {
		switch name {
		case "sleeping", "spinning":
			c.Sleeps = true
			if name == "sleeping" {
				c.Nap = 50 * time.Microsecond
			}
		case "kicked", "direct", "direct tx", "direct rx":
			c.Kicks = eventfds(t, len(c.IRQs))
			c.DirectTx, c.DirectRx = name == "direct" || name == "direct tx", name == "direct" ||
				name == "direct rx"
		case "copies":
			c.Kicks, c.CSB = eventfds(t, len(c.IRQs)), copies(c.CSB)
		}
	}
}

// numbered puts the next numbered frames into a tx ring.
func (r loopedRing) numbered(seq, end uint64) uint64 {
	for ; seq < end && r.mine() > 0; seq++ {
		i := r.Head.Load()
		b := r.buf(r.slots[i].BufIdx)
		copy(b, frame(""))
		binary.LittleEndian.PutUint64(b[16:], seq)
		r.slots[i].Len, r.slots[i].Flags = 24, 0
		r.move((i + 1) % r.NumSlots)
	}
	return seq
}

// check takes all frames of an rx ring, which have to be the next ones.
func (r loopedRing) check(t testing.TB, seq uint64) uint64 {
	for ; r.mine() > 0; seq++ {
		i := r.Head.Load()
		if got := binary.LittleEndian.Uint64(r.buf(r.slots[i].BufIdx)[16:]); r.slots[i].Len != 24 ||
			got != seq {
			t.Errorf("frame %d has %d bytes and number %d", seq, r.slots[i].Len, got)
		}
		r.move((i + 1) % r.NumSlots)
	}
	return seq
}

func TestLoopMovesFrames(t *testing.T) {
	for _, name := range loopModes {
		for _, names := range [][2]string{{"p{1", "p}1"}, {"vale0:a", "vale0:b"}} {
			t.Run(name+"/"+names[0], func(t *testing.T) {
				testutil.CheckLeaks(t)
				e := newEngine(t)
				rx := openLooped(t, e, names[1], request(32), loopMode(t, name)).start().rxRing(0)
				tx := openLooped(t, e, names[0], request(32), loopMode(t, name)).start().txRing(0)
				const frames = 300
				// A direct ring is synced only when it is kicked.
				look := func() {
					if tx.sync(); strings.HasPrefix(name, "direct") {
						tx.kick()
						rx.kick()
					}
				}
				for got := uint64(0); got < frames; {
					// A switch drops what finds no room: a ring of them is on its way, and the last ones' slots
					// are back.
					tx.until(t, "room", func() bool { look(); return tx.mine() >= 20 })
					sent := tx.numbered(got, min(frames, got+20))
					rx.until(t, fmt.Sprintf("frame %d", got), func() bool { look(); return rx.mine() > 0 })
					for end := time.Now().Add(soon); got < sent && time.Now().Before(end); look() {
						rx.sync()
						got = rx.check(t, got)
					}
					rx.until(t, "slots go back",
						func() bool { look(); return rx.ktoa.HwCur.Load() == rx.Head.Load() })
				}
			})
		}
	}
}

// A loop that has nothing to do asks to be kicked, and sleeps. It wakes the program if the program
// asks for that.
func TestLoopKicks(t *testing.T) {
	for _, name := range []string{"woken", "kicked", "copies"} {
		t.Run(name, func(t *testing.T) {
			testutil.CheckLeaks(t)
			e := newEngine(t)
			a := openLooped(t, e, "p{1", request(8), loopMode(t, name))
			b := openLooped(t, e, "p}1", request(8), loopMode(t, name))
			a.start()
			b.start()
			tx, rx := a.txRing(0), b.rxRing(0)
			asleep := func() bool {
				return tx.ktoa.KernNeedKick.Load() == 1 &&
					rx.ktoa.KernNeedKick.Load() == 1
			}
			tx.until(t, "asleep", asleep)
			irq := b.irqs[1]

			rx.atok.ApplNeedKick.Store(1)
			tx.put(t, "one")
			tx.sync()
			select {
			case <-irq.token:
			case <-time.After(soon):
				t.Fatal("the program was not woken")
			}
			rx.sync()
			wantFrames(t, rx.programRing, "one")
			rx.sync()
			tx.until(t, "asleep again", asleep)

			rx.atok.ApplNeedKick.Store(0)
			before := irq.n.Load()
			tx.put(t, "two")
			rx.until(t, "a frame", func() bool { tx.sync(); return rx.mine() > 0 })
			if irq.n.Load() != before {
				t.Error("the program was woken although it did not want to")
			}
		})
	}
}

// A sleeping loop never asks to be kicked.
func TestSleepingLoopWantsNoKicks(t *testing.T) {
	e := newEngine(t)
	p := openLooped(t, e, "p{1", request(8), loopMode(t, "sleeping")).start()
	r := p.txRing(0)
	r.until(t, "started", func() bool { return r.ktoa.KernNeedKick.Load() == 0 })
	for range 50 {
		time.Sleep(100 * time.Microsecond)
		if r.ktoa.KernNeedKick.Load() != 0 {
			t.Fatal("it asked to be kicked")
		}
	}
}

// In a direct mode a ring always asks for kicks, is synced only when it is kicked, and news of the
// port wakes the program.
func TestDirectLoop(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	p := openLooped(t, e, "p{1", request(8), loopMode(t, "direct")).start()
	peer := open(t, e, "p}1", request(8))
	tx, rx := p.txRing(0), p.rxRing(0)
	tx.put(t, "zero")
	tx.until(t, "the loop listens", func() bool { return tx.ktoa.HwCur.Load() == 1 })
	peer.tx[0].put(t, "one")
	peer.TxSync()
	select {
	case <-p.irqs[1].token:
	case <-time.After(soon):
		t.Fatal("the program did not hear of the frame")
	}
	time.Sleep(5 * time.Millisecond)
	if rx.sync(); rx.mine() != 0 {
		t.Error("the ring was synced")
	}
	if rx.ktoa.KernNeedKick.Load() != 1 {
		t.Error("no kick is wanted")
	}
	rx.kick()
	rx.until(t, "a frame", func() bool { return rx.mine() > 0 })
	wantFrames(t, rx.programRing, "one")
}

// A kick from before the loop was started counts.
func TestKickBeforeTheLoop(t *testing.T) {
	e := newEngine(t)
	p := openLooped(t, e, "p{1", request(8), loopMode(t, "direct"))
	peer := open(t, e, "p}1", request(8))
	tx := p.txRing(0)
	tx.put(t, "one")
	tx.sync()
	p.start()
	tx.until(t, "taken over", func() bool { return tx.ktoa.HwCur.Load() == 1 })
	peer.RxSync()
	wantFrames(t, peer.rx[0], "one")
}

func TestCSBModeIsForLoops(t *testing.T) {
	e := newEngine(t)
	p := openLooped(t, e, "p{1", request(8))
	tx := p.tx[0]
	before := [3]uint32{3, 4, 5}
	tx.Head.Store(before[0])
	tx.Cur.Store(before[1])
	tx.Tail.Store(before[2])
	wantErrno(t, "TxSync", p.TxSync(), syscall.EBUSY)
	wantErrno(t, "RxSync", p.RxSync(), syscall.EBUSY)
	if got := p.Poll(in | out); got != session.PollErr {
		t.Errorf("Poll = %#x", got)
	}
	p.start()
	r := p.txRing(0)
	r.atok.Cur.Store(1)
	r.atok.Head.Store(1)
	p.loop.Wake()
	for end := time.Now().Add(soon); r.ktoa.HwCur.Load() != 1 && time.Now().Before(end); {
		runtime.Gosched()
	}
	if got := [3]uint32{tx.Head.Load(), tx.Cur.Load(), tx.Tail.Load()}; got != before ||
		r.ktoa.HwCur.Load() != 1 {
		t.Errorf("the ring's own words are %v, were %v; hwcur %d", got, before, r.ktoa.HwCur.Load())
	}
}

func TestEnableCSBErrors(t *testing.T) {
	e := newEngine(t)
	none := func([]session.RingState) error { t.Error("called"); return nil }
	shared := open(t, e, "vale0:a", request(8))
	wantErrno(t, "not exclusive", shared.EnableCSB(none), syscall.EINVAL)
	_, err := shared.StartLoop()
	wantErrno(t, "without CSB", err, syscall.EINVAL)

	empty := open(t, e, "vale0:b", request(8, flags(abi.NRTxRingsOnly|abi.NRRxRingsOnly)))
	wantErrno(t, "no rings", empty.EnableCSB(none), 0)
	_, err = empty.StartLoop()
	wantErrno(t, "no rings, loop", err, syscall.EINVAL)

	p := open(t, e, "vale0:c", request(8, exclusive))
	wantErrno(t, "the function's error",
		p.EnableCSB(func([]session.RingState) error { return syscall.EFAULT }), syscall.EFAULT)
	_, err = p.StartLoop()
	wantErrno(t, "CSB that failed", err, syscall.EINVAL)

	l := openLooped(t, e, "vale0:d", request(8)).start()
	wantErrno(t, "while a loop runs", l.EnableCSB(none), syscall.EBUSY)
	_, err = l.StartLoop()
	wantErrno(t, "a second loop", err, syscall.EBUSY)
	wantErrno(t, "stop", l.StopLoop(), 0)
	l.enable()

	p.Close()
	wantErrno(t, "closed", p.EnableCSB(none), syscall.ENXIO)
	wantErrno(t, "closed, stop", p.StopLoop(), syscall.ENXIO)
	_, err = p.StartLoop()
	wantErrno(t, "closed, loop", err, syscall.ENXIO)
}

// The entries start with the present indexes of the rings.
func TestCSBStartsWhereTheRingsAre(t *testing.T) {
	e := newEngine(t)
	p := open(t, e, "p{1", request(8, exclusive))
	peer := open(t, e, "p}1", request(8))
	p.tx[0].put(t, "a", "b", "c")
	peer.tx[0].put(t, "d", "e")
	peer.TxSync()
	p.Poll(in | out)
	p.rx[0].move(1)
	p.RxSync()
	var got []session.RingState
	p.EnableCSB(func(states []session.RingState) error { got = states; return nil })
	want := []session.RingState{{Head: 3, Cur: 3, HwCur: 3, HwTail: 7},
		{Head: 1, Cur: 1, HwCur: 1, HwTail: 2}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	var a abi.CSBAtok
	var k abi.CSBKtoa
	want[1].Write(&a, &k)
	if a.Head.Load() != 1 || a.Cur.Load() != 1 || a.ApplNeedKick.Load() != 1 ||
		a.SyncFlags.Load() != 1 ||
		k.HwCur.Load() != 1 || k.HwTail.Load() != 2 || k.KernNeedKick.Load() != 1 {
		t.Errorf("%+v, %+v", &a, &k)
	}
}

// An invalid head stops its own ring until the program writes a valid head. Other rings continue.
func TestLoopRefusesNonsense(t *testing.T) {
	e := newEngine(t)
	p := openLooped(t, e, "p{1", request(8, rings(2, 1))).start()
	peer := open(t, e, "p}1", request(8))
	bad, good := p.txRing(0), p.txRing(1)
	for _, c := range [][2]uint32{{8, 8}, {0, 8}, {1 << 31, 0}, {3, 2}, {1<<32 - 1, 1<<32 - 1}} {
		bad.atok.Cur.Store(c[1])
		bad.atok.Head.Store(c[0])
		p.loop.Wake()
		good.put(t, "x")
		good.until(t, "the other ring goes on",
			func() bool { return good.ktoa.HwCur.Load() == good.Head.Load() })
		if got := bad.ktoa.HwCur.Load(); got != 0 {
			t.Errorf("head %d, cur %d: hwcur is %d", c[0], c[1], got)
		}
		peer.RxSync()
		peer.rx[1].take()
	}
	bad.until(t, "asleep", func() bool { return bad.ktoa.KernNeedKick.Load() == 1 })
	bad.move(2)
	bad.until(t, "a good head", func() bool { return bad.ktoa.HwCur.Load() == 2 })
}

// A program that writes anything anywhere at any time hurts nobody but itself.
func TestLoopWithHostileProgram(t *testing.T) {
	for _, name := range []string{"woken", "sleeping", "direct", "copies"} {
		t.Run(name, func(t *testing.T) {
			testutil.CheckLeaks(t)
			e := newEngine(t)
			p := openLooped(t, e, "vale0:bad", request(16), loopMode(t, name)).start()
			tx := openLooped(t, e, "vale0:a", request(16)).start().txRing(0)
			rx := openLooped(t, e, "vale0:b", request(256)).start().rxRing(0)
			rnd := rand.New(rand.NewPCG(1, 2))
			for end := time.Now().Add(150 * time.Millisecond); time.Now().Before(end); {
				for range 100 {
					v := rnd.Uint32N(20)
					if rnd.IntN(4) == 0 {
						v = rnd.Uint32()
					}
					a, k := &p.csb.Atok[rnd.IntN(2)], &p.csb.Ktoa[rnd.IntN(2)]
					words := []*atomic.Uint32{&a.Head, &a.Cur, &a.ApplNeedKick, &a.SyncFlags, &k.HwCur, &k.HwTail,
						&k.KernNeedKick}
					words[rnd.IntN(len(words))].Store(v)
				}
				p.txRing(0).kick()
				p.rxRing(0).kick()
			}
			// The other programs continue. They may receive anything that the hostile one broadcast.
			p.Close()
			rx.until(t, "quiet", func() bool { n := len(rx.take()); rx.sync(); return n == 0 })
			tx.put(t, frame("still there"))
			rx.until(t, "a frame", func() bool { tx.sync(); return rx.mine() > 0 })
			wantFrames(t, rx.programRing, frame("still there"))
		})
	}
}

func TestLoopEnds(t *testing.T) {
	for _, name := range loopModes {
		t.Run(name, func(t *testing.T) {
			testutil.CheckLeaks(t)
			e := newEngine(t)
			p := openLooped(t, e, "vale0:a", request(8), loopMode(t, name))
			for i, c := range []struct {
				end  func()
				want syscall.Errno
			}{
				{func() { wantErrno(t, "StopLoop", p.StopLoop(), 0) }, 0},
				{func() { p.loop.End(syscall.EINTR) }, syscall.EINTR},
				{func() { p.loop.End(syscall.EINTR); p.loop.End(0) }, syscall.EINTR},
				{func() { p.Close() }, syscall.ENXIO},
			} {
				l, err := p.StartLoop()
				if err != nil {
					t.Fatal(err)
				}
				p.loop = l
				go func() { p.done <- l.Run(p.cfg) }()
				if i%2 == 1 {
					time.Sleep(2 * time.Millisecond)
				}
				c.end()
				select {
				case err := <-p.done:
					wantErrno(t, fmt.Sprint("end ", i), err, c.want)
				case <-time.After(soon):
					t.Fatalf("end %d: the loop runs on", i)
				}
			}
		})
	}
}

// A STOP that waits when a START arrives ends that START. A STOP that has returned has no effect on
// later STARTs.
func TestStopWithoutLoop(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	p := openLooped(t, e, "vale0:a", request(8))
	wantErrno(t, "StopLoop", p.StopLoop(), 0)
	p.start()
	r := p.txRing(0)
	r.put(t, frame("x"))
	r.until(t, "the loop runs", func() bool { return r.ktoa.HwCur.Load() == 1 })

	q := openLooped(t, e, "vale0:b", request(8))
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { wantErrno(t, "StopLoop", q.StopLoop(), 0) })
	}
	time.Sleep(20 * time.Millisecond)
	l, err := q.StartLoop()
	if err != nil {
		t.Fatal(err)
	}
	wantErrno(t, "Run", l.Run(q.cfg), 0)
	wg.Wait()
}

// A program repeats a START that a signal interrupted. A STOP in between ends the START for good.
func TestStopAndSignalRace(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	p := openLooped(t, e, "vale0:a", request(8))
	for i := range 300 {
		first, err := p.StartLoop()
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for l := first; ; {
				err := l.Run(p.cfg)
				if err == nil {
					return
				}
				wantErrno(t, "Run", err, syscall.EINTR)
				if l, err = p.StartLoop(); err != nil {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() { first.End(syscall.EINTR) })
		wg.Go(func() {
			for range i % 50 {
				runtime.Gosched()
			}
			wantErrno(t, "StopLoop", p.StopLoop(), 0)
		})
		wg.Wait()
	}
}

func TestStartAndStopRace(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	p := openLooped(t, e, "vale0:a", request(8), loopMode(t, "kicked"))
	var wg sync.WaitGroup
	var ran atomic.Int64
	for range 3 {
		wg.Go(func() {
			for range 100 {
				switch l, err := p.StartLoop(); {
				case err == nil && rand.IntN(4) == 0:
					l.Abandon()
				case err == nil:
					wantErrno(t, "Run", l.Run(p.cfg), 0)
					ran.Add(1)
				default:
					wantErrno(t, "StartLoop", err, syscall.EBUSY)
					runtime.Gosched()
				}
			}
		})
	}
	over := make(chan struct{})
	var stops sync.WaitGroup
	for range 2 {
		stops.Go(func() {
			for {
				select {
				case <-over:
					return
				default:
					wantErrno(t, "StopLoop", p.StopLoop(), 0)
				}
			}
		})
	}
	wg.Wait()
	close(over)
	stops.Wait()
	if ran.Load() == 0 {
		t.Error("no loop ran")
	}
}

// The engine may close while a loop runs.
func TestEngineClosesUnderLoops(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	a := openLooped(t, e, "p{1", request(32), loopMode(t, "spinning")).start()
	b := openLooped(t, e, "p}1", request(32), loopMode(t, "woken")).start()
	for range 100 {
		for i := range uint32(31) {
			a.csb.Atok[0].Cur.Store(i)
			a.csb.Atok[0].Head.Store(i)
			b.loop.Wake()
		}
	}
	e.Close()
}

// A loop ends when its program's memory is gone.
func TestLoopWithoutMemory(t *testing.T) {
	e := newEngine(t)
	gone := atomic.Bool{}
	p := openLooped(t, e, "vale0:a", request(8), func(c *session.LoopConfig) {
		c.Sleeps, c.Nap = true, time.Millisecond
		c.CSB.Pull = func() error {
			if gone.Load() {
				return syscall.EFAULT
			}
			return nil
		}
	}).start()
	gone.Store(true)
	select {
	case err := <-p.done:
		wantErrno(t, "Run", err, syscall.EFAULT)
		p.done <- nil // for the cleanup
	case <-time.After(soon):
		t.Error("the loop runs on")
	}
}

func TestLoopDoesNotAllocate(t *testing.T) {
	for _, name := range []string{"woken", "kicked", "sleeping", "copies"} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t)
			p := openLooped(t, e, "p{1", request(32), loopMode(t, name)).start()
			peer := openLooped(t, e, "p}1", request(32), loopMode(t, name)).start()
			tx, rx := p.txRing(0), peer.rxRing(0)
			n := testing.AllocsPerRun(100, func() {
				tx.numbered(0, 1)
				for tx.sync(); rx.mine() == 0; rx.sync() {
					runtime.Gosched()
				}
				rx.move(rx.Tail.Load())
				for rx.sync(); tx.mine() != 31; tx.sync() {
					runtime.Gosched()
				}
			})
			if n > 0 {
				t.Errorf("%v allocations a frame", n)
			}
		})
	}
}

// A monitor may have a loop, and so may the port that it watches.
func TestLoopOnMonitor(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	a := openLooped(t, e, "p{1", request(16)).start()
	m := openLooped(t, e, "p{1", request(16, flags(abi.NRMonitorTx))).start()
	open(t, e, "p}1", request(16))
	tx, seen := a.txRing(0), m.rxRing(0)
	for i := range 3 {
		tx.put(t, fmt.Sprint("frame ", i))
		seen.until(t, "a frame", func() bool { tx.sync(); return seen.mine() > 0 })
		wantFrames(t, seen.programRing, fmt.Sprint("frame ", i))
	}
}

// elsewhere is a program's memory at address 0.
type elsewhere []byte

func (m elsewhere) Fetch(pieces []kring.Piece) {
	for i := range pieces {
		p := &pieces[i]
		if p.Bad = p.Addr+uint64(len(p.To)) > uint64(len(m)); !p.Bad {
			copy(p.To, m[p.Addr:])
		}
	}
}

func TestLoopWithIndirectSlots(t *testing.T) {
	e := newEngine(t)
	text := frame("from the program's own memory")
	rx := openLooped(t, e, "vale0:b", request(8)).start().rxRing(0)
	tx := openLooped(t, e, "vale0:a", request(8),
		func(c *session.LoopConfig) { c.Program = elsewhere("...." + text) }).start().txRing(0)
	tx.slots[0].Len, tx.slots[0].Flags, tx.slots[0].Ptr = uint16(len(text)), abi.NSIndirect, 4
	tx.move(1)
	rx.until(t, "a frame", func() bool { tx.sync(); return rx.mine() > 0 })
	wantFrames(t, rx.programRing, text)
}
