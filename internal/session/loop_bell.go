package session

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// bell is what a loop sleeps on: a channel, or an epoll instance where descriptors can wake it too.
//
// The descriptors report edges. So the program's eventfds need not be read, as the kernel module
// does not read them either: who shares a descriptor with a peer cannot read it without the risk of
// waiting for him.
type bell struct {
	woken  chan struct{} // one token; nil with epoll
	epoll  int
	event  wake.Eventfd // in it
	events []unix.EpollEvent
	fds    [1]unix.PollFd
}

// What an event of the epoll instance means: the bell's own, the kick of a ring, or news on a ring
// that the kernel feeds.
const (
	ownEvent = iota
	kickEvent
	ringEvent
)

// open makes the bell. A loop that sleeps for a time needs a clock that is better than a channel's.
func (s *bell) open(l *Loop) (err error) {
	if !l.cfg.Sleeps && l.cfg.Kicks == nil && !l.s.hasFDs {
		s.woken = make(chan struct{}, 1)
		return nil
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if s.event, err = wake.NewEventfd(); err != nil {
		unix.Close(s.epoll)
		return err
	}
	s.events = make([]unix.EpollEvent, 2*len(l.rings)+1)
	s.fds[0] = unix.PollFd{Fd: int32(s.epoll), Events: unix.POLLIN}
	if err = s.watch(l); err != nil {
		s.close()
	}
	return err
}

func (s *bell) watch(l *Loop) error {
	if err := s.add(int(s.event), ownEvent, 0); err != nil || l.cfg.Sleeps {
		return err
	}
	for i := range l.rings {
		if l.cfg.Kicks != nil {
			if err := s.add(l.cfg.Kicks[i], kickEvent, i); err != nil {
				return err
			}
		}
		if r := &l.rings[i]; r.News == kring.Readable {
			if err := s.add(int(r.FD.Load()), ringEvent, i); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *bell) add(fd int, what, index int) error {
	e := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET, Fd: int32(what), Pad: int32(index)}
	return unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &e)
}

func (s *bell) close() {
	if s.woken == nil {
		unix.Close(s.epoll)
		s.event.Close()
	}
}

// ring ends the sleep, or the next one.
func (s *bell) ring() {
	if s.woken == nil {
		s.event.Wake()
		return
	}
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

// nap sleeps for a time. No time at all lets others have the processor.
func (s *bell) nap(d time.Duration) {
	if d == 0 {
		unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		return
	}
	s.pause(d)
}

func (s *bell) pause(d time.Duration) bool {
	return wake.Poll(s.fds[:], d) > 0
}

// sleep waits for news, and notes what they are.
func (s *bell) sleep(l *Loop) {
	if l.s.fetches {
		l.s.armRx(PollIn)
	}
	if s.woken != nil {
		<-s.woken
		return
	}
	timeout := -1
	if l.flying() {
		timeout = 0
		if !s.pause(silentNap) {
			return
		}
	}
	n, _ := unix.EpollWait(s.epoll, s.events, timeout)
	for _, e := range s.events[:max(n, 0)] {
		switch e.Fd {
		case kickEvent:
			l.rings[e.Pad].kicked = true
		case ringEvent:
			l.dirs[abi.DirRx].news.Store(l.cfg.DirectRx)
		}
	}
}

// flying says whether frames are on their way out of which nobody will say that they are.
func (l *Loop) flying() bool {
	for i := range l.rings {
		if l.rings[i].flying {
			return true
		}
	}
	return false
}
