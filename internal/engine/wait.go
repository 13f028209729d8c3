package engine

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// silentNap bounds the sleep of one who waits for news of which nobody tells, such as room in an
// interface's tx ring: AF_XDP reports room for descriptors, but a slot comes back only when the frame
// is out, and nothing reports that.
const silentNap = 100 * time.Microsecond

// Wait is Poll that sleeps until an event is ready, the timeout is over (0 is Poll, negative is for ever) or the context
// ends, whose error it returns then. It returns no events after a timeout.
func (b *Binding) Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error) {
	if ready := b.Poll(events); ready != 0 || timeout == 0 {
		return ready, nil
	}
	start := time.Now()
	ready, err := b.lookAndSleep(ctx, events, start, timeout)
	b.pauses.Over(time.Since(start), ready&wantIn != 0)
	return ready, err
}

// lookAndSleep is Wait after a look that found nothing.
func (b *Binding) lookAndSleep(ctx context.Context, events int16, start time.Time, timeout time.Duration) (int16, error) {
	var deadline time.Time
	if timeout > 0 {
		deadline = start.Add(timeout)
	}
	if ready := b.spin(events, start, deadline); ready != 0 {
		return ready, nil
	}
	s, err := b.sleeper()
	if err != nil {
		return 0, err
	}
	defer b.retire(s)
	b.join(s, events)
	defer b.leave(s, events)
	defer wake.On(ctx, s)()
	for {
		if ready := b.Poll(events); ready != 0 {
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
		if b.hasFDs {
			if b.silent(events) && (left < 0 || left > silentNap) {
				left = silentNap
			}
			s.sleepFDs(b, events, left)
		} else {
			if b.fetches {
				b.armRx(events)
			}
			s.bell.Sleep(left)
		}
	}
}

// silent says whether an event may come of which nobody tells.
func (b *Binding) silent(events int16) bool {
	return events&wantOut != 0 && b.mute[abi.DirTx] || events&wantIn != 0 && b.mute[abi.DirRx]
}

// spin looks again and again for a while. Frames that the kernel brings wake their receiver at the cost of
// whoever sends them: for those it looks while they come in quick succession, too, if it is not told how long.
func (b *Binding) spin(events int16, start, deadline time.Time) int16 {
	length := b.eng.cfg.Spin
	if length == 0 && b.hasFDs && events&wantIn != 0 {
		length = b.pauses.Spin()
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
			if ready := b.Poll(events); ready != 0 {
				return ready
			}
		}
		if !time.Now().Before(end) {
			return 0
		}
		if b.hasFDs {
			wake.Yield()
		}
	}
}

// sleeper is a goroutine asleep on a binding. It is kept for the next sleep, so that waiting allocates nothing.
type sleeper struct {
	bell  *wake.Bell
	event int // eventfd that ends a sleep on descriptors, -1 where the binding has none
	fds   []unix.PollFd
}

func (b *Binding) sleeper() (*sleeper, error) {
	b.sleepMu.Lock()
	defer b.sleepMu.Unlock()
	if n := len(b.sleepers); n > 0 {
		s := b.sleepers[n-1]
		b.sleepers = b.sleepers[:n-1]
		return s, nil
	}
	s := &sleeper{bell: wake.NewBell(), event: -1}
	if b.hasFDs {
		fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
		if err != nil {
			return nil, err
		}
		s.event = fd
	}
	return s, nil
}

func (b *Binding) retire(s *sleeper) {
	b.sleepMu.Lock()
	defer b.sleepMu.Unlock()
	if b.closed.Load() {
		s.close()
		return
	}
	b.sleepers = append(b.sleepers, s)
}

func (b *Binding) closeSleepers() {
	b.sleepMu.Lock()
	defer b.sleepMu.Unlock()
	for _, s := range b.sleepers {
		s.close()
	}
	b.sleepers = nil
}

func (s *sleeper) close() {
	if s.event >= 0 {
		unix.Close(s.event)
	}
}

func (b *Binding) join(s *sleeper, events int16) {
	b.waiting.Join(s)
	b.eachWaited(events, func(r *kring.Ring) { r.Waiters.Join(s) })
}

func (b *Binding) leave(s *sleeper, events int16) {
	b.eachWaited(events, func(r *kring.Ring) { r.Waiters.Leave(s) })
	b.waiting.Leave(s)
	s.bell.Forget()
}

// eachWaited calls f for the rings that can bring the events.
func (b *Binding) eachWaited(events int16, f func(*kring.Ring)) {
	if events&wantOut != 0 {
		for _, r := range b.rings[abi.DirTx] {
			f(r)
		}
	}
	if events&wantIn != 0 {
		for _, r := range b.rings[abi.DirRx] {
			f(r)
		}
	}
}

// Wake ends the sleep, or the next one. It implements kring.Waiter.
func (s *sleeper) Wake() {
	if s.event >= 0 {
		one := [8]byte{1}
		unix.Write(s.event, one[:])
		return
	}
	s.bell.Wake()
}

// sleepFDs waits for the rings' descriptors, for Wake, or until the time is over.
func (s *sleeper) sleepFDs(b *Binding, events int16, left time.Duration) {
	s.fds = append(s.fds[:0], unix.PollFd{Fd: int32(s.event), Events: unix.POLLIN})
	if events&wantIn != 0 {
		for _, r := range b.rings[abi.DirRx] {
			s.fds = append(s.fds, unix.PollFd{Fd: r.FD.Load(), Events: unix.POLLIN}) // poll skips -1
		}
	}
	var ts *unix.Timespec
	if left >= 0 {
		t := unix.NsecToTimespec(int64(left))
		ts = &t
	}
	unix.Ppoll(s.fds, ts, nil)
	if s.fds[0].Revents != 0 {
		var n [8]byte
		unix.Read(s.event, n[:])
	}
}
