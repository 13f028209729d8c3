package engine

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Subscribe has w woken whenever something happens on a bound ring, until the binding closes. It is for transports whose
// clients sleep elsewhere; Wait needs it not. Rings that the kernel feeds need Arm, too.
func (b *Binding) Subscribe(w kring.Waiter) {
	b.subscriber = w
	for _, r := range b.all() {
		r.Waiters.Join(w)
	}
	b.nap = time.AfterFunc(time.Hour, w.Wake)
	b.nap.Stop()
}

// unsubscribe ends what Subscribe began: others go on using the rings.
func (b *Binding) unsubscribe() {
	if b.subscriber == nil {
		return
	}
	for _, r := range b.all() {
		r.Waiters.Leave(b.subscriber)
	}
	b.nap.Stop()
}

// Arm has the subscriber woken once when one of the events may have come to a ring that the kernel feeds. It is called
// after every Poll that found nothing.
func (b *Binding) Arm(events int16) {
	if b.NeedsArm() {
		b.armRx(events)
	}
	if b.silent(events) {
		b.nap.Reset(silentNap)
	}
}

// NeedsArm says whether Arm does anything: whether the kernel feeds any ring.
func (b *Binding) NeedsArm() bool { return b.hasFDs || b.fetches }

// armRx has those who wait on the rx rings woken once when something may have come from the kernel. A ring that fetches
// is woken by its source's waiters. A source that is full cannot fetch, and its descriptor would go on saying that there
// is something: who has room made there tells.
func (b *Binding) armRx(events int16) {
	if events&wantIn == 0 {
		return
	}
	for _, r := range b.rings[abi.DirRx] {
		if s := r.Source.Load(); s == nil {
			b.eng.alarm.arm(r)
		} else if s.Room() > 0 {
			b.eng.alarm.arm(s)
		}
	}
}

// alarm is a thread that sleeps on the descriptors of rings, and wakes those who wait for the ring.
type alarm struct {
	mu    sync.Mutex
	epoll int
	stop  int
	rings map[int32]*kring.Ring
	ended chan struct{}
}

// arm has the ring's waiters woken once, when its descriptor becomes readable.
func (a *alarm) arm(r *kring.Ring) {
	a.mu.Lock()
	defer a.mu.Unlock()
	fd := r.FD.Load()
	if fd < 0 || a.rings == nil && a.start() != nil {
		return
	}
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLONESHOT, Fd: fd}
	if unix.EpollCtl(a.epoll, unix.EPOLL_CTL_MOD, int(fd), &e) != nil {
		// New, or the number of a descriptor that has been closed.
		unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, int(fd), &e)
	}
	a.rings[e.Fd] = r
}

// start starts the thread, when it is needed first.
func (a *alarm) start() (err error) {
	if a.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if a.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		unix.Close(a.epoll)
		return err
	}
	unix.EpollCtl(a.epoll, unix.EPOLL_CTL_ADD, a.stop, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(a.stop)})
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
			if int(e.Fd) == a.stop {
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
	unix.Write(a.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	a.mu.Unlock()
	<-a.ended
	a.mu.Lock()
	unix.Close(a.epoll)
	unix.Close(a.stop)
	a.rings = nil
}
