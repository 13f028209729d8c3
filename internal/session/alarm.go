package session

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// Subscribe calls w.Wake on every event of a bound ring, until the session closes. It is for
// transports whose clients sleep elsewhere; Wait does not need it. For rings that the kernel feeds,
// call Arm, too.
func (s *Session) Subscribe(w kring.Waiter) {
	s.subscriber = w
	for _, r := range s.all() {
		r.Waiters.Join(w)
	}
	s.nap = time.AfterFunc(time.Hour, w.Wake)
	s.nap.Stop()
}

// unsubscribe undoes Subscribe. Other sessions may continue to use the rings.
func (s *Session) unsubscribe() {
	if s.subscriber == nil {
		return
	}
	for _, r := range s.all() {
		r.Waiters.Leave(s.subscriber)
	}
	s.nap.Stop()
}

// Arm makes the alarm wake the subscriber once, when the kernel may have caused one of the events.
// Call it after a Poll that found nothing, before the client sleeps.
func (s *Session) Arm(events int16) {
	if s.NeedsArm() {
		s.armRx(events)
	}
	if s.silent(events) {
		s.nap.Reset(silentNap)
	}
}

// NeedsArm reports whether Arm does anything: whether the kernel feeds any ring.
func (s *Session) NeedsArm() bool { return s.hasFDs || s.fetches }

// armRx makes the alarm wake the waiters of the rx rings once, when the kernel may have brought
// frames. For a ring with a source, the alarm watches the source, unless the source is full: then
// its descriptor would stay readable, and the sync that makes room wakes the waiters.
func (s *Session) armRx(events int16) {
	if events&wantIn == 0 {
		return
	}
	for _, r := range s.rings[abi.DirRx] {
		if source := r.Source.Load(); source == nil {
			s.env.alarm.arm(r)
		} else if source.Room() > 0 {
			s.env.alarm.arm(source)
		}
	}
}

// alarm is a thread that waits until descriptors of rings are readable, and wakes the waiters of
// these rings.
type alarm struct {
	mu    sync.Mutex
	epoll int
	stop  wake.Eventfd
	rings map[int32]*kring.Ring
	ended chan struct{}
}

// arm makes the alarm wake the ring's waiters once, when the ring's descriptor is readable.
func (a *alarm) arm(r *kring.Ring) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fd := r.FD.Load()
	if fd < 0 || a.rings == nil && a.start() != nil {
		return
	}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: fd}
	if unix.EpollCtl(a.epoll, unix.EPOLL_CTL_MOD, int(fd), &e) != nil {
		// The descriptor is new, or has the number of a closed one.
		unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, int(fd), &e)
	}
	a.rings[e.Fd] = r
}

// start starts the thread. The first arm calls it.
func (a *alarm) start() (err error) {
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if a.stop, err = wake.NewEventfd(); err != nil {
		unix.Close(a.epoll)
		return err
	}
	stop := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(a.stop)}
	unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, int(a.stop), &stop)
	a.rings, a.ended = map[int32]*kring.Ring{}, make(chan struct{})
	go a.run()
	return nil
}

func (a *alarm) run() {
	defer close(a.ended)
	var events [64]unix.EpollEvent
	for {
		n, err := unix.EpollWait(a.epoll, events[:], -1)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, e := range events[:max(n, 0)] {
			if e.Fd == int32(a.stop) {
				return
			}
			a.mu.Lock()
			r := a.rings[e.Fd]
			a.mu.Unlock()
			if r != nil {
				r.Waiters.Wake()
			}
		}
	}
}

func (a *alarm) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rings == nil {
		return
	}
	a.stop.Wake()
	a.mu.Unlock()
	<-a.ended
	a.mu.Lock()
	unix.Close(a.epoll)
	a.stop.Close()
	a.rings = nil
}
