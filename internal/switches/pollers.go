//go:build linux

package switches

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
)

// pollers are threads that drain rings in a loop, each on its own processor.
type pollers struct {
	first, end int // the rings that are polled
	stop       atomic.Bool
	ended      sync.WaitGroup
}

// polling reports whether pollers run.
func (u *uplink) polling() bool { return u.pollers != nil }

// startPolling starts pollers of the device's rx rings: one processor for all rings, or count
// processors from first on, each for the ring with the processor's number. EFAULT if pollers run,
// EINVAL for processors or rings that do not exist, or if no processor would be left.
func (u *uplink) startPolling(mode, first, count uint32) error {
	const op = "poll"
	name, rings := u.Member().Name, uint64(len(u.polled))
	switch {
	case u.pollers != nil:
		return fault.New(syscall.EFAULT, op, name, "polling is on already")
	case count == 0 || uint64(count) >= uint64(runtime.NumCPU()):
		return fault.New(syscall.EINVAL, op, name,
			"%d processors; want at least one, and fewer than the %d there "+
				"are", count, runtime.NumCPU())
	case mode == abi.PollingSingleCPU && count != 1:
		return fault.New(syscall.EINVAL, op, name,
			"%d processors; this mode has one for all rings", count)
	case mode == abi.PollingMultiCPU && uint64(first)+uint64(count) > rings:
		return fault.New(syscall.EINVAL, op, name,
			"rings %d to %d; there are %d", first, uint64(first)+uint64(count)-1, rings)
	case mode != abi.PollingSingleCPU && mode != abi.PollingMultiCPU:
		return fault.New(syscall.EINVAL, op, name,
			"mode %d; want 1, one processor, or 2, one a ring", mode)
	}
	p := &pollers{end: int(rings)}
	if mode == abi.PollingMultiCPU {
		p.first, p.end = int(first), int(first+count)
	}
	started := make(chan error, count)
	for i := range int(count) {
		from, to := p.first, p.end
		if mode == abi.PollingMultiCPU {
			from, to = p.first+i, p.first+i+1
		}
		p.ended.Add(1)
		go p.run(u, int(first)+i, from, to, started)
	}
	u.pollers = p
	for range count {
		if err := <-started; err != nil {
			u.pollers.close(u)
			return fault.Wrap(err, op, name,
				"processors %d to %d have to be there and be ours", first, first+count-1)
		}
	}
	return nil
}

// stopPolling ends the pollers. EFAULT when polling is off.
func (u *uplink) stopPolling() error {
	if u.pollers == nil {
		return fault.New(syscall.EFAULT, "stop polling", u.Member().Name, "polling is not on")
	}
	u.pollers.close(u)
	return nil
}

func (p *pollers) close(u *uplink) {
	p.stop.Store(true)
	p.ended.Wait()
	for i := p.first; i < p.end; i++ {
		u.polled[i].Store(false)
	}
	u.pollers = nil
	u.Wake()
}

// run polls the rings from first to before end on a processor. Its thread ends when run returns,
// because the thread is tied to the processor and must not run other goroutines.
func (p *pollers) run(u *uplink, cpu, first, end int, started chan<- error) {
	defer p.ended.Done()
	runtime.LockOSThread()
	var set unix.CPUSet
	set.Set(cpu)
	err := unix.SchedSetaffinity(0, &set)
	if err != nil {
		started <- err
		return
	}
	for i := first; i < end; i++ {
		u.polled[i].Store(true)
	}
	started <- nil
	for !p.stop.Load() {
		for i := first; i < end; i++ {
			u.Drain(i)
		}
	}
}

// StartPolling starts pollers of an attached interface.
func (s *Switches) StartPolling(name string, mode, first, count uint32) error {
	return s.polling(name, func(u *uplink) error { return u.startPolling(mode, first, count) })
}

// StopPolling ends the pollers of an attached interface.
func (s *Switches) StopPolling(name string) error {
	return s.polling(name, (*uplink).stopPolling)
}

func (s *Switches) polling(name string, f func(*uplink) error) error {
	behind := behindColon(name)
	s.reg.Lock()
	defer s.reg.Unlock()
	p, err := s.onSwitch("poll", name, behind)
	if err != nil {
		return err
	}
	if a, ok := p.Port.(*attachment); ok {
		return f(a.uplink)
	}
	return fault.New(syscall.EOPNOTSUPP, "poll", name,
		"only interfaces that are attached to a switch are polled")
}
