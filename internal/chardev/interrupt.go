//go:build linux

package chardev

import (
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// interrupts are the requests that goroutines answer, which a signal may interrupt, and the signals
// that came to other requests, of which parked polls need to know. The kernel tells of a signal
// once, and a client that is being killed waits until its request is answered, whatever happens.
type interrupts struct {
	mu      sync.Mutex
	waiting map[uint64]*interrupt
	early   []uint64 // interrupted requests that are not known, or not yet: another worker may be about to begin one
	over    bool
}

// interrupt is a request that may be interrupted.
type interrupt struct {
	channel chan struct{}
	signal  bool // the client got a signal
}

// mostEarly is how many unknown requests are remembered. Only the last few, one a worker, can still begin.
const mostEarly = 64

// begin is what Caller.Interrupted is for the request. Its end has to follow.
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

// came says whether a signal has come to a request that did not begin.
func (s *interrupts) came(unique uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.early, unique)
}

// signalled says whether a signal interrupted the request.
func (s *interrupts) signalled(unique uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.waiting[unique]
	return i != nil && i.signal
}

// all interrupts everything, and what is yet to come.
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

// interrupt is told of a signal. The answer is that of the request that it names. A poll that is
// about to be parked either finds the signal or is found here.
func (d *Device) interrupt(_ header, in, _ []byte) (int, syscall.Errno) {
	d.interrupts.signal(le.Uint64(in))
	d.interruptParked(le.Uint64(in))
	return 0, 0
}

// restartSys is ERESTARTSYS: the kernel makes EINTR of it, or repeats the system call after the handler where that is
// installed with SA_RESTART. It is for threads that a signal waits for.
const restartSys = syscall.Errno(512)

// interrupted is the errno for a request that ended because it was interrupted.
func (d *Device) interrupted(unique uint64) syscall.Errno {
	if d.interrupts.signalled(unique) {
		return restartSys
	}
	return unix.ENODEV
}
