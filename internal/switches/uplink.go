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
	// sendPatience is the time between two checks whether a device has sent its frames: nothing
	// reports that.
	sendPatience = time.Millisecond
	// downPatience is the time between two checks of a device that is down. Mostly a wake-up comes
	// first.
	downPatience = 200 * time.Millisecond
	// rounds is how often a ring is drained at most before the next ring is.
	rounds = 4
)

// uplink is a device attached to a switch, and the goroutine that moves its frames.
type uplink struct {
	*vale.Attachment

	event    wake.Eventfd
	awake    atomic.Bool // the eventfd is set
	stopping atomic.Bool
	ended    sync.WaitGroup

	silent  bool          // some rx ring has no notification of received frames
	polled  []atomic.Bool // by rx ring: a poller drains it
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
	err := u.Attachment.Close() // after this, nothing calls Wake
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

// Wake makes the goroutine look at all rings. It implements kring.Waiter.
func (u *uplink) Wake() {
	if !u.awake.Swap(true) {
		u.event.Wake()
	}
}

// run moves frames until Close. It sleeps until a descriptor of a ring is readable, or until Wake.
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

// drain empties all rings without a poller. It reports whether it found frames, and whether a ring
// is down. The goroutine sleeps on the descriptors of the other rings.
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

// sleep ends when a descriptor is readable, at Wake, or after the time; a negative time means no
// limit.
func (u *uplink) sleep(fds []unix.PollFd, most time.Duration) {
	fds[0] = u.event.In()
	wake.Poll(fds, most)
	for _, f := range fds[1:] {
		if f.Revents&^unix.POLLIN != 0 {
			// The socket has lost its device: the link's watcher or the next Drain will report that.
			time.Sleep(sendPatience)
			break
		}
	}
	if u.awake.Load() {
		u.event.Drain()
		u.awake.Store(false)
	}
}
