package session

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// bell is what a loop sleeps on: a wake.Bell, or an epoll instance if descriptors can wake the
// loop, too.
//
// The descriptors are edge-triggered, so that the loop need not read the program's eventfds. It
// could not do so safely: a read waits if the program has drained the eventfd. The kernel module
// does not read them either.
type bell struct {
	woken  *wake.Bell // nil with epoll
	epoll  int
	event  wake.Eventfd // in the epoll instance
	events []unix.EpollEvent
	fds    [1]unix.PollFd
}

// The kinds of events of the epoll instance: a call of ring, the kick of a ring, or news of a ring
// that the kernel feeds.
const (
	ownEvent = iota
	kickEvent
	ringEvent
)

// open makes the bell. A loop that sleeps for a time uses epoll, whose clock is more precise than
// that of a channel.
func (s *bell) open(l *Loop) (err error) {
	if !l.cfg.Sleeps && l.cfg.Kicks == nil && !l.s.hasFDs {
		s.woken = wake.NewBell()
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
	s.woken.Wake()
}

// nap sleeps for a time. With 0 it yields the processor.
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

// sleep waits for news, and records which rings were kicked and which directions have news.
func (s *bell) sleep(l *Loop) {
	if l.s.fetches {
		l.s.armRx(PollIn)
	}
	if s.woken != nil {
		s.woken.Sleep(-1)
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

// flying reports whether a ring may have news without notification, such as sent frames.
func (l *Loop) flying() bool {
	for i := range l.rings {
		if l.rings[i].flying {
			return true
		}
	}
	return false
}
