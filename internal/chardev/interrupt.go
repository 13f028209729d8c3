//go:build linux

package chardev

import (
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// interrupts holds the requests that goroutines answer, which a signal may interrupt, and the
// signals to other requests, because parked polls need them. The kernel reports a signal once. A
// client that is being killed waits until its request is answered.
type interrupts struct {
	mu      sync.Mutex
	waiting map[uint64]*interrupt
	// signals to unknown requests: another worker may have read the request, and not begun it yet
	early []uint64
	over  bool
}

// interrupt is a request that may be interrupted.
type interrupt struct {
	channel chan struct{}
	signal  bool // the client got a signal
}

// mostEarly is how many unknown requests are remembered. Only the last ones, one for each worker,
// can still begin.
const mostEarly = 64

// begin registers a request and returns its Caller.Interrupted. end has to follow.
func (s *interrupts) begin(unique uint64) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[uint64]*interrupt{}
	}
	i := &interrupt{channel: make(chan struct{}), signal: slices.Contains(s.early, unique)}
	s.waiting[unique] = i
	if i.signal || s.over {
		close(i.channel)
	}
	return i.channel
}

func (s *interrupts) end(unique uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, unique)
}

// signal interrupts a request.
func (s *interrupts) signal(unique uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch i := s.waiting[unique]; {
	case i == nil:
		if s.early = append(s.early, unique); len(s.early) > mostEarly {
			s.early = slices.Delete(s.early, 0, 1)
		}
	case !i.signal:
		if i.signal = true; !s.over {
			close(i.channel)
		}
	}
}

// came reports whether there was a signal for a request that has not begun.
func (s *interrupts) came(unique uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.early, unique)
}

// signalled reports whether a signal interrupted the request.
func (s *interrupts) signalled(unique uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.waiting[unique]
	return i != nil && i.signal
}

// all interrupts all requests, now and later.
func (s *interrupts) all() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	for _, i := range s.waiting {
		if !i.signal {
			close(i.channel)
		}
	}
}

// interrupt handles a signal to the request whose number is in the body. Only that request gets an
// answer. Either park finds the signal of a poll, or interruptParked finds the parked poll.
func (d *Device) interrupt(_ header, in, _ []byte) (int, syscall.Errno) {
	d.interrupts.signal(le.Uint64(in))
	d.interruptParked(le.Uint64(in))
	return 0, 0
}

// restartSys is ERESTARTSYS. The kernel turns it into EINTR, or repeats the system call after a
// handler that is installed with SA_RESTART. It is an answer for threads with a pending signal.
const restartSys = syscall.Errno(512)

// interrupted is the errno for a request that was interrupted.
func (d *Device) interrupted(unique uint64) syscall.Errno {
	if d.interrupts.signalled(unique) {
		return restartSys
	}
	return unix.ENODEV
}
