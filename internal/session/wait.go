package session

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// silentNap bounds the sleep of a wait for events without notification, such as room in an
// interface's tx ring: AF_XDP reports room for descriptors, but a slot is free only after the frame
// was sent, and nothing reports that.
const silentNap = 100 * time.Microsecond

// Wait polls until an event is ready, and sleeps between polls. After the timeout it returns no
// events. With a timeout of 0 it does not wait; a negative timeout means no limit. If the context
// ends, Wait returns the context's error.
func (s *Session) Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error) {
	if ready := s.Poll(events); ready != 0 || timeout == 0 {
		return ready, nil
	}
	start := time.Now()
	ready, err := s.lookAndSleep(ctx, events, start, timeout)
	s.pauses.Over(time.Since(start), ready&wantIn != 0)
	return ready, err
}

// lookAndSleep is Wait after a poll that found nothing.
func (s *Session) lookAndSleep(ctx context.Context, events int16, start time.Time,
	timeout time.Duration) (int16, error) {
	var deadline time.Time
	if timeout > 0 {
		deadline = start.Add(timeout)
	}
	if ready := s.spin(events, start, deadline); ready != 0 {
		return ready, nil
	}
	sl, err := s.sleeper()
	if err != nil {
		return 0, err
	}
	defer s.retire(sl)
	s.join(sl, events)
	defer s.leave(sl, events)
	defer wake.On(ctx, sl)()
	for {
		if ready := s.Poll(events); ready != 0 {
			return ready, nil
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		left := time.Duration(-1)
		if timeout > 0 {
			if left = time.Until(deadline); left <= 0 {
				return 0, nil
			}
		}
		if s.hasFDs {
			if s.silent(events) && (left < 0 || left > silentNap) {
				left = silentNap
			}
			sl.sleepFDs(s, events, left)
		} else {
			if s.fetches {
				s.armRx(events)
			}
			sl.bell.Sleep(left)
		}
	}
}

// silent reports whether one of the events may come without notification.
func (s *Session) silent(events int16) bool {
	return events&wantOut != 0 && s.mute[abi.DirTx] || events&wantIn != 0 && s.mute[abi.DirRx]
}

// spin polls for the time of Env.Spin. If Env.Spin is 0, spin polls only for frames that the kernel
// brings in quick succession: a wake-up for each frame would cost the sender more.
func (s *Session) spin(events int16, start, deadline time.Time) int16 {
	length := s.env.Spin
	if length == 0 && s.hasFDs && events&wantIn != 0 {
		length = s.pauses.Spin()
	}
	if length <= 0 {
		return 0
	}
	end := start.Add(length)
	if !deadline.IsZero() && deadline.Before(end) {
		end = deadline
	}
	for {
		for range 16 {
			if ready := s.Poll(events); ready != 0 {
				return ready
			}
		}
		if !time.Now().Before(end) {
			return 0
		}
		if s.hasFDs {
			wake.Yield()
		}
	}
}

// sleeper is where a goroutine sleeps. A session keeps it for the next sleep, so that waiting
// allocates nothing.
type sleeper struct {
	bell  *wake.Bell
	event wake.Eventfd // ends a sleep on descriptors; -1 if the session has none
	fds   []unix.PollFd
}

func (s *Session) sleeper() (*sleeper, error) {
	s.sleepMu.Lock()
	defer s.sleepMu.Unlock()
	if n := len(s.sleepers); n > 0 {
		sl := s.sleepers[n-1]
		s.sleepers = s.sleepers[:n-1]
		return sl, nil
	}
	sl := &sleeper{bell: wake.NewBell(), event: -1}
	var err error
	if s.hasFDs {
		sl.event, err = wake.NewEventfd()
	}
	return sl, err
}

func (s *Session) retire(sl *sleeper) {
	s.sleepMu.Lock()
	defer s.sleepMu.Unlock()
	if s.closed.Load() {
		sl.close()
		return
	}
	s.sleepers = append(s.sleepers, sl)
}

func (s *Session) closeSleepers() {
	s.sleepMu.Lock()
	defer s.sleepMu.Unlock()
	for _, sl := range s.sleepers {
		sl.close()
	}
	s.sleepers = nil
}

func (s *sleeper) close() {
	if s.event >= 0 {
		s.event.Close()
	}
}

func (s *Session) join(sl *sleeper, events int16) {
	s.waiting.Join(sl)
	s.eachWaited(events, func(r *kring.Ring) { r.Waiters.Join(sl) })
}

func (s *Session) leave(sl *sleeper, events int16) {
	s.eachWaited(events, func(r *kring.Ring) { r.Waiters.Leave(sl) })
	s.waiting.Leave(sl)
	sl.bell.Forget()
}

// eachWaited calls f for the bound rings on which the events depend.
func (s *Session) eachWaited(events int16, f func(*kring.Ring)) {
	for dir, want := range [2]int16{abi.DirTx: wantOut, abi.DirRx: wantIn} {
		if events&want != 0 {
			for _, r := range s.rings[dir] {
				f(r)
			}
		}
	}
}

// Wake ends the present or the next sleep. It implements kring.Waiter.
func (s *sleeper) Wake() {
	if s.event >= 0 {
		s.event.Wake()
		return
	}
	s.bell.Wake()
}

// sleepFDs sleeps until a descriptor of a ring is readable, until Wake, or until the time is over.
func (s *sleeper) sleepFDs(of *Session, events int16, left time.Duration) {
	s.fds = append(s.fds[:0], s.event.In())
	if events&wantIn != 0 {
		for _, r := range of.rings[abi.DirRx] {
			s.fds = append(s.fds, unix.PollFd{Fd: r.FD.Load(), Events: unix.POLLIN}) // poll skips -1
		}
	}
	wake.Poll(s.fds, left)
	if s.fds[0].Revents != 0 {
		s.event.Drain()
	}
}
