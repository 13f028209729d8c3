//go:build linux

package switches

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/vale"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

const (
	// sendPatience is how often a device is asked whether it has sent what it was given. Nothing
	// tells.
	sendPatience = time.Millisecond
	// downPatience is how often a device that is down is asked again. Mostly it tells.
	downPatience = 200 * time.Millisecond
	// rounds bounds how often a ring is drained before the next one's turn.
	rounds = 4
)

// uplink is a device attached to a switch, and the goroutine that moves its frames.
type uplink struct {
	*vale.Attachment

	event    wake.Eventfd
	awake    atomic.Bool // the eventfd is set
	stopping atomic.Bool
	ended    sync.WaitGroup

	silent  bool          // nobody tells of what some rx ring has received
	polled  []atomic.Bool // by rx ring: a poller has it
	pollers *pollers      // nil when polling is off
}

// newUplink makes the device a port of the switch, and starts to move its frames. Errors are those
// of vale.Attach.
func newUplink(s *vale.Switch, name string, d port.Port) (*uplink, error) {
	event, err := wake.NewEventfd()
	if err != nil {
		return nil, fault.Wrap(err, "attach", name, "")
	}
	u := &uplink{event: event}
	if u.Attachment, err = vale.Attach(s, name, d, u); err != nil {
		event.Close()
		return nil, err
	}
	u.polled = make([]atomic.Bool, len(u.Rings(abi.DirTx)))
	u.eachRing(func(r *kring.Ring) { r.Waiters.Join(u) })
	u.silent = slices.ContainsFunc(d.Rings(abi.DirRx),
		func(r *kring.Ring) bool { return r.News == kring.Silent })
	u.ended.Add(1)
	go u.run()
	return u, nil
}

// Close ends polling and the goroutine, takes the device off the switch, and stops its rings.
func (u *uplink) Close() error {
	if u.pollers != nil {
		u.pollers.close(u)
	}
	u.eachRing(func(r *kring.Ring) { r.Waiters.Leave(u) })
	u.stopping.Store(true)
	u.Wake()
	u.ended.Wait()
	err := u.Attachment.Close() // the last that may call Wake
	u.event.Close()
	return err
}

func (u *uplink) eachRing(f func(*kring.Ring)) {
	for _, dir := range kring.Dirs {
		for _, r := range u.Rings(dir) {
			f(r)
		}
	}
}

// Wake has the goroutine look at all rings. It implements kring.Waiter.
func (u *uplink) Wake() {
	if !u.awake.Swap(true) {
		u.event.Wake()
	}
}

// run moves frames until Close. It sleeps on the descriptors of the rings, or, where they have
// none, until it is woken.
func (u *uplink) run() {
	defer u.ended.Done()
	fds := make([]unix.PollFd, 1+len(u.polled))
	for !u.stopping.Load() {
		busy, down := u.drain(fds[1:])
		pending := u.Flush()
		if busy {
			continue
		}
		sleep := time.Duration(-1)
		switch {
		case down:
			sleep = downPatience
		case pending || u.silent:
			sleep = sendPatience
		}
		u.sleep(fds, sleep)
	}
}

// drain empties all rings that no poller has, and reports whether there was anything, and whether
// one is down. The descriptors to sleep on are those of the others.
func (u *uplink) drain(fds []unix.PollFd) (busy, down bool) {
	for i, r := range u.Rings(abi.DirTx) {
		fds[i] = unix.PollFd{Fd: -1}
		if u.polled[i].Load() {
			continue
		}
		n, err := uint32(1), error(nil)
		for k := 0; k < rounds && n > 0 && err == nil; k++ {
			n, err = u.Drain(i)
			busy = busy || n > 0
		}
		if err != nil {
			down = true
		} else {
			fds[i] = unix.PollFd{Fd: r.FD.Load(), Events: unix.POLLIN} // poll skips -1
		}
	}
	return busy, down
}

// sleep ends when a descriptor is readable, at Wake, or when the time is over; negative is for
// ever.
func (u *uplink) sleep(fds []unix.PollFd, most time.Duration) {
	fds[0] = u.event.In()
	wake.Poll(fds, most)
	for _, f := range fds[1:] {
		if f.Revents&^unix.POLLIN != 0 {
			// The socket has lost its device: the link's watcher will tell, or the next Drain.
			time.Sleep(sendPatience)
			break
		}
	}
	if u.awake.Load() {
		u.event.Drain()
		u.awake.Store(false)
	}
}
