//go:build linux || freebsd

package device

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/wake"
)

// Wait implements netmap.Transport. It calls poll(2) for the device and for a pipe, through which
// the end of the context and Close end the wait.
func (p *Port) Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error) {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.closed.Load() {
		return unix.POLLERR, nil
	}
	if timeout == 0 {
		return p.pollOnce(events)
	}
	w, err := p.waker()
	if err != nil {
		return 0, useHints.Wrap(err, "poll", p.name)
	}
	defer p.retire(w)
	stop := wake.On(ctx, w)
	defer func() {
		if stop() {
			w.drain()
		}
	}()
	deadline := time.Now().Add(timeout)
	for !p.closed.Load() {
		over := ctx.Err()
		if over != nil {
			timeout = 0 // events that are ready already still count
		}
		fds := [2]unix.PollFd{{Fd: int32(p.fd), Events: events}, {Fd: int32(w.read), Events: unix.POLLIN}}
		_, err := unix.Poll(fds[:], milliseconds(timeout))
		switch {
		case err == nil && fds[0].Revents != 0:
			return fds[0].Revents, nil
		case over != nil:
			return 0, over
		case err != nil && err != unix.EINTR:
			return 0, useHints.Wrap(err, "poll", p.name)
		}
		if timeout >= 0 && ctx.Err() == nil {
			if timeout = time.Until(deadline); timeout <= 0 {
				return 0, nil
			}
		}
	}
	return unix.POLLERR, nil
}

// pollOnce is Wait without waiting. It needs no waker.
func (p *Port) pollOnce(events int16) (int16, error) {
	for !p.closed.Load() {
		fds := [1]unix.PollFd{{Fd: int32(p.fd), Events: events}}
		if _, err := unix.Poll(fds[:], 0); err == nil {
			return fds[0].Revents, nil
		} else if err != unix.EINTR {
			return 0, useHints.Wrap(err, "poll", p.name)
		}
	}
	return unix.POLLERR, nil
}

// milliseconds returns the timeout for poll(2), rounded up. A negative one has no end.
func milliseconds(t time.Duration) int {
	if t < 0 {
		return -1
	}
	return int(min((t+time.Millisecond-1)/time.Millisecond, 1<<30))
}
