package session

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Loop syncs the rings of a session in CSB mode until End, so that the program needs no system
// calls.
type Loop struct {
	s     *Session
	cfg   LoopConfig
	rings []loopRing
	kicks uint32           // the value of KernNeedKick
	spin  time.Duration    // how long the loop polls without result before it sleeps
	dirs  [2]loopDirection // by direction

	end    atomic.Uint32 // 0, or 1 + the errno that Run returns
	asleep atomic.Bool   // the loop sleeps or is about to: Wake has to ring the bell
	ended  chan struct{} // closed at the end of Run
	bellMu sync.Mutex
	ready  bool // there is a bell
	bell   bell
}

// Waiter is woken by Wake.
type Waiter = kring.Waiter

// LoopConfig defines how a loop and its program wake each other and share memory.
type LoopConfig struct {
	CSB CSB
	// Sleeps makes the loop sleep for Nap whenever it finds nothing to do, and never ask for kicks.
	// Otherwise the loop sleeps until a kick, or until a ring has news.
	Sleeps bool
	Nap    time.Duration
	// Kicks are eventfds, one for each ring, to which the program writes when the ring's KernNeedKick
	// is set; nil if it calls Wake.
	Kicks []int
	// IRQs contains a waiter for each ring, or nil. It is woken when the ring has news and its
	// ApplNeedKick is set.
	IRQs []Waiter
	// Program is the program's memory, for slots with NS_INDIRECT; nil if it is not accessible.
	Program kring.Memory
	// With DirectTx or DirectRx, the rings of that direction are synced only when they are kicked.
	// News of the port wakes the program, which kicks the rings that it wants synced. Both need
	// Kicks.
	DirectTx, DirectRx bool
}

// loopRing is a ring of a loop.
type loopRing struct {
	bound
	csbView
	irq    kring.Waiter
	tell   bool // the program has to be told of news
	direct bool
	kicked bool // a direct ring that is to be synced
	flying bool // there may be news without notification, such as sent frames
}

// loopDirection is woken by news of the rings of a direction.
type loopDirection struct {
	loop   *Loop
	direct bool
	news   atomic.Bool // a direct ring has news that was not passed on yet
}

// Wake implements kring.Waiter.
func (d *loopDirection) Wake() {
	if d.direct {
		d.news.Store(true)
	}
	d.loop.Wake()
}

// stopPatience is how long StopLoop waits for a loop to start if there is none. Programs start the
// loop in one thread and stop it from another, whose request may come first: STOP also ends a START
// that begins while STOP waits. STOP has no effect on a later START. (The kernel module keeps a
// flag, which ends the next START at once, however much later.)
//
// It waits longer after a signal interrupted a START: the program usually repeats the request after
// it has handled the signal.
const (
	stopPatience    = 200 * time.Millisecond
	signalsPatience = 2 * time.Second
)

// StartLoop claims the session for a loop. The caller must then call Run or Abandon. Errors: ENXIO
// for a closed session, EINVAL without CSB mode, EBUSY if the session has a loop.
func (s *Session) StartLoop() (*Loop, error) {
	s.loopMu.Lock()
	defer s.loopMu.Unlock()
	switch {
	case s.closed.Load():
		return nil, s.closedError("start loop on")
	case !s.csb.Load():
		return nil, fault.New(syscall.EINVAL, "start loop on", s.target.Title(),
			"a loop needs CSB mode")
	case s.loop != nil:
		return nil, fault.New(syscall.EBUSY, "start loop on", s.target.Title(),
			"a loop runs already")
	}
	l := &Loop{s: s, ended: make(chan struct{})}
	s.loop, s.interrupted = l, false
	for _, stop := range s.stops {
		l.stop()
		stop <- l
	}
	s.stops = nil
	return l, nil
}

// Rings returns the number of rings that the loop syncs.
func (l *Loop) Rings() int { return len(l.s.all()) }

// Abandon releases the session without running the loop.
func (l *Loop) Abandon() { l.finish() }

// finish releases the session, and returns the errno with which the loop ended.
func (l *Loop) finish() syscall.Errno {
	l.s.loopMu.Lock()
	l.s.loop = nil
	why := syscall.Errno(max(l.end.Load(), 1) - 1)
	l.s.interrupted = why == syscall.EINTR
	l.s.loopMu.Unlock()
	close(l.ended)
	return why
}

// StopLoop ends the loop and returns after its end. If there is no loop, it waits a moment for one
// to start. ENXIO for a closed session.
func (s *Session) StopLoop() error {
	s.loopMu.Lock()
	if s.closed.Load() {
		s.loopMu.Unlock()
		return s.closedError("stop loop on")
	}
	l, patience := s.loop, stopPatience
	var begins chan *Loop
	if l != nil {
		l.stop()
	} else {
		begins = make(chan *Loop, 1)
		s.stops = append(s.stops, begins)
		if s.interrupted {
			patience = signalsPatience
		}
	}
	s.loopMu.Unlock()
	if l == nil {
		if l = s.awaitLoop(begins, patience); l == nil {
			return nil
		}
	}
	<-l.ended
	return nil
}

// awaitLoop waits for a loop to start, at most for patience.
func (s *Session) awaitLoop(begins chan *Loop, patience time.Duration) *Loop {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case l := <-begins:
		return l
	case <-timer.C:
	}
	s.loopMu.Lock()
	defer s.loopMu.Unlock()
	for i, stop := range s.stops {
		if stop == begins {
			s.stops = append(s.stops[:i], s.stops[i+1:]...)
		}
	}
	select {
	case l := <-begins:
		return l
	default:
		return nil
	}
}

// closeLoop ends the loop of a session that closes.
func (s *Session) closeLoop() {
	s.loopMu.Lock()
	defer s.loopMu.Unlock()
	if s.loop != nil {
		s.loop.End(syscall.ENXIO)
	}
}

// End makes Run return soon, with that errno; 0 is no error. Only the first End counts.
func (l *Loop) End(why syscall.Errno) {
	l.end.CompareAndSwap(0, 1+uint32(why))
	l.wakeUp()
}

// stop calls End for a STOP. It overrides an End by a signal: otherwise the program would repeat
// the interrupted START after STOP. The caller holds loopMu.
func (l *Loop) stop() {
	l.end.CompareAndSwap(1+uint32(syscall.EINTR), 1)
	l.End(0)
}

func (l *Loop) wakeUp() {
	l.bellMu.Lock()
	defer l.bellMu.Unlock()
	if l.ready {
		l.bell.ring()
	}
}

// Wake makes a sleeping loop look at its rings. While the loop is awake, Wake costs one load.
func (l *Loop) Wake() {
	if l.asleep.Load() && l.asleep.CompareAndSwap(true, false) {
		l.wakeUp()
	}
}

// Run syncs until End. Errors: the errno of End, errors of Pull and Push, and errors of opening
// descriptors.
func (l *Loop) Run(cfg LoopConfig) error {
	l.cfg = cfg
	err := l.serve()
	if why := l.finish(); err == nil && why != 0 {
		err = fault.New(why, "run loop on", l.s.target.Title(), "")
	}
	return err
}

func (l *Loop) serve() error {
	l.prepare()
	if err := l.bell.open(l); err != nil {
		return fault.Wrap(err, "start loop on", l.s.target.Title(), "")
	}
	l.setReady(true)
	defer l.setReady(false)
	defer l.listen()()
	if err := l.run(); err != nil {
		return fault.Wrap(err, "run loop on", l.s.target.Title(), "the memory of its CSB is gone")
	}
	return nil
}

// prepare connects each ring to its CSB entries.
func (l *Loop) prepare() {
	tx, all := len(l.s.rings[abi.DirTx]), l.s.all()
	l.rings = make([]loopRing, len(all))
	for i, r := range all {
		lr := &l.rings[i]
		lr.atok, lr.ktoa, lr.direct = &l.cfg.CSB.Atok[i], &l.cfg.CSB.Ktoa[i], l.cfg.DirectRx
		lr.bound = bound{Ring: r, viewed: true, csb: &lr.csbView}
		if i < tx {
			lr.direct = l.cfg.DirectTx
		}
		if l.cfg.IRQs != nil {
			lr.irq = l.cfg.IRQs[i]
		}
		lr.begin(stateOf(r))
	}
	l.dirs[abi.DirTx].loop, l.dirs[abi.DirTx].direct = l, l.cfg.DirectTx
	l.dirs[abi.DirRx].loop, l.dirs[abi.DirRx].direct = l, l.cfg.DirectRx
	l.kicks = 1
	l.spin = l.s.env.Spin
	if l.cfg.Sleeps || l.cfg.DirectTx || l.cfg.DirectRx {
		l.spin = 0 // Nap bounds the sleep, or only the sleep finds out which rings were kicked
	}
}

// setReady lets End wake the bell, and closes the bell at the end.
func (l *Loop) setReady(ready bool) {
	l.bellMu.Lock()
	defer l.bellMu.Unlock()
	if l.ready = ready; !ready {
		l.bell.close()
	}
}

// listen makes news of the rings wake the loop until stop is called. A loop that sleeps for Nap
// needs no wake-ups.
func (l *Loop) listen() (stop func()) {
	if l.cfg.Sleeps {
		return func() {}
	}
	for i := range l.rings {
		r := &l.rings[i]
		r.Waiters.Join(&l.dirs[r.Dir])
	}
	return func() {
		for i := range l.rings {
			r := &l.rings[i]
			r.Waiters.Leave(&l.dirs[r.Dir])
		}
	}
}

// run is the loop.
func (l *Loop) run() error {
	for l.end.Load() == 0 {
		if err := l.work(); err != nil {
			return err
		}
		if l.cfg.Sleeps {
			l.bell.nap(l.cfg.Nap)
			continue
		}
		idle, err := l.settle()
		if err != nil {
			return err
		}
		if idle && l.end.Load() == 0 {
			l.bell.sleep(l)
		}
		l.asleep.Store(false)
	}
	return nil
}

// flyingTries is how often a loop checks whether frames were sent, before it sleeps. A kernel that
// copies takes at most 32 frames a sync, so that many syncs empty a ring.
const flyingTries = 32

// work syncs the rings, with kicks off, until there is nothing to do.
func (l *Loop) work() error {
	if err := l.setKicks(0); err != nil {
		return err
	}
	var dry time.Time // when the loop began to find nothing to do
	for tries := 0; l.end.Load() == 0; {
		moved, err := l.round()
		switch {
		case err != nil:
			return err
		case moved || l.more():
			dry, tries = time.Time{}, 0
		case tries < flyingTries && l.flying():
			tries++
		case l.spin <= 0:
			return nil
		case dry.IsZero():
			dry = time.Now()
		case time.Since(dry) > l.spin:
			return nil
		default:
			runtime.Gosched() // the program may be a goroutine
		}
	}
	return nil
}

// settle asks to be kicked, syncs once more, and reports whether there is nothing to do.
func (l *Loop) settle() (idle bool, err error) {
	l.asleep.Store(true)
	if err := l.setKicks(1); err != nil {
		return false, err
	}
	moved, err := l.round()
	return !moved && !l.more(), err
}

// setKicks tells the program whether it has to kick. Rings in a direct mode always ask for kicks.
func (l *Loop) setKicks(on uint32) error {
	if l.kicks == on {
		return nil
	}
	l.kicks = on
	for i := range l.rings {
		if r := &l.rings[i]; !r.direct {
			r.ktoa.KernNeedKick.Store(on)
		}
	}
	return l.cfg.CSB.push()
}

// round syncs every ring once with the indexes that the program wrote, and publishes the results.
// It reports whether an index moved.
func (l *Loop) round() (moved bool, err error) {
	if err := l.cfg.CSB.pull(); err != nil {
		return false, err
	}
	for i := range l.rings {
		if r := &l.rings[i]; !r.direct || r.kicked {
			r.kicked = false
			if l.sync(r) {
				moved = true
			}
		}
	}
	if moved {
		if err := l.cfg.CSB.push(); err != nil {
			return true, err
		}
		if err := l.tell(); err != nil {
			return true, err
		}
	}
	for i := range l.dirs {
		if d := &l.dirs[i]; d.news.Load() && d.news.Swap(false) {
			l.forward(kring.Dir(i))
		}
	}
	return moved, nil
}

// tell wakes the program for rings with news, if the program asks for that.
func (l *Loop) tell() error {
	fresh := false
	for i := range l.rings {
		r := &l.rings[i]
		if !r.tell {
			continue
		}
		r.tell = false
		if r.irq == nil {
			continue
		}
		if !fresh {
			if err := l.cfg.CSB.pull(); err != nil {
				return err
			}
			fresh = true
		}
		if r.atok.ApplNeedKick.Load() != 0 {
			r.irq.Wake()
		}
	}
	return nil
}

// forward passes news of the port to the program, which kicks the rings that it wants synced.
func (l *Loop) forward(dir kring.Dir) {
	for i := range l.rings {
		if r := &l.rings[i]; r.Dir == dir && r.irq != nil {
			r.irq.Wake()
		}
	}
}

// more reports whether the program wrote new indexes since the last round, or a direction has news.
func (l *Loop) more() bool {
	for i := range l.rings {
		r := &l.rings[i]
		if r.direct && !r.kicked {
			continue
		}
		if r.kicked || r.atok.Head.Load() != r.head || r.atok.Cur.Load() != r.cur {
			return true
		}
	}
	return l.dirs[abi.DirTx].news.Load() || l.dirs[abi.DirRx].news.Load()
}

// sync syncs one ring, with the indexes that the program wrote to its entry. It reports whether an
// index moved. A sync that fails changes nothing.
func (l *Loop) sync(r *loopRing) (moved bool) {
	r.read()
	if !l.s.await(&r.bound) {
		return false
	}
	defer r.Drop()
	if l.s.sync(&r.bound, l.cfg.Program) != nil {
		return false
	}
	r.tell = r.tell || r.tailMoved
	_, _, tail := r.Agreed()
	r.flying = r.News == kring.Silent && (r.Dir == abi.DirRx || r.Next(tail) != r.hwcur)
	return r.moved || r.tailMoved
}
