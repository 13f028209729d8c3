//go:build linux

// Package control answers the requests of /dev/netmap: every ioctl of every version it knows becomes calls of the engine.
// It sees requests as bytes and a client's memory through an interface; how they come to it is the daemon's business.
package control

import (
	"errors"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/ifioctl"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/session"
)

// Process is the one who makes a request.
type Process interface {
	// Read and Write copy from and to the process's memory. EFAULT where there is none.
	Read(addr uint64, b []byte) error
	Write(addr uint64, b []byte) error
	// Memory reads many pieces at once, while the process waits for the answer to its request.
	kring.Memory
	// InNetNS calls f in the process's network namespace: interfaces are those that the process sees.
	InNetNS(f func() error) error
	// Share maps n bytes of the process's memory, so that what one side writes the other sees. It returns nil for memory
	// that cannot be shared, or that the process could take away; Read and Write copy from and to any.
	Share(addr uint64, n int) (shared []byte, unmap func())
	// Extmem maps memory of the process's that is to be a region, and stays as large as it is whatever the process does.
	// Errors: EFAULT where there is none that it can write, EINVAL for memory that does not start at a page, EOPNOTSUPP
	// for memory that cannot be shared.
	Extmem(addr, size uint64) (*engine.Extmem, error)
	// Eventfd is our own descriptor for one of the process's eventfds. EBADF, or EINVAL for one that is no eventfd.
	Eventfd(fd int) (int, error)
	// Arg is the argument of a request without data. EOPNOTSUPP of a 32-bit program, whose
	// structures are not ours.
	Arg() (uint64, error)
	// Apart calls f where it may sleep on the process's memory, and nobody else waits for it. It
	// leaves f behind after a while (ETIMEDOUT), or when the process wants an answer at once
	// (EINTR), and tells f so by ended. Done is called when f has ended, or will not begin.
	Apart(f func(m ifioctl.Memory, ended func() bool) error, done func()) error
	// Administers says whether the process has CAP_NET_ADMIN over a socket's network namespace.
	Administers(socket int) bool
	// Interrupted is closed when the process wants an answer at once: it got a signal, or is being killed.
	Interrupted() <-chan struct{}
}

// Client is an open file of the device: unbound at first, bound to a port by a request.
type Client struct {
	engine  *engine.Engine
	waker   kring.Waiter
	policy  Policy
	log     func(request, port string, err error)
	mu      sync.Mutex // one control request at a time
	binding atomic.Pointer[engine.Binding]
	late    *time.Timer // calls armLate; there is one when there is a binding
	csb     csb
	spoken  *abi.API // of the last request that says
	closed  bool
}

// Policy is what a client cannot say.
type Policy struct {
	// Variants choose between APIs that requests do not tell apart.
	Variants abi.Variants
	// User is who opened the device: interfaces that are made for the client are counted as his.
	User uint32
	// LegacyOnly answers NIOCCTRL as netmap did before it had that: for tests of clients.
	LegacyOnly bool
}

// lateArm is how long after it was told that there are frames a client that has not polled again may be one that waits for
// an edge.
const lateArm = time.Millisecond

// New is an unbound client. The waker hears of events after a Poll that found none; log, of every request that binds, and
// why it failed.
func New(e *engine.Engine, policy Policy, waker kring.Waiter, log func(request, port string, err error)) *Client {
	return &Client{engine: e, policy: policy, waker: waker, log: log}
}

// Ioctl answers a request. Data is the structure that the request's number announces, and is replaced by the answer.
func (c *Client) Ioctl(p Process, request uint32, data []byte) syscall.Errno {
	switch request {
	case abi.NIOCTXSYNC:
		return c.sync(func(b *engine.Binding) error { return txSync(b, p) })
	case abi.NIOCRXSYNC:
		return c.sync((*engine.Binding).RxSync)
	}
	if ifioctl.Handles(request) {
		return fault.Errno(c.device(p, request))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(data) < sizeOf(request) {
		return syscall.EINVAL
	}
	return fault.Errno(c.answer(p, request, data))
}

func (c *Client) answer(p Process, request uint32, data []byte) error {
	switch request {
	case abi.NIOCCTRL:
		if !c.policy.LegacyOnly {
			c.spoken = abi.APIs[len(abi.APIs)-1]
			return c.control(p, data)
		}
	case abi.NIOCCONFIG:
		return syscall.EINVAL
	case abi.NIOCUNREGIF:
		return c.legacyUnregister()
	}
	switch sized := request &^ abi.SizeMask; {
	case sized == abi.NIOCREGIF&^abi.SizeMask && reqSize(sizeOf(request)):
		return c.legacy(p, data[:sizeOf(request)], (*Client).legacyRegister)
	case sized == abi.NIOCGINFO&^abi.SizeMask && reqSize(sizeOf(request)):
		return c.legacy(p, data[:sizeOf(request)], (*Client).legacyInfo)
	}
	return syscall.EOPNOTSUPP
}

// sizeOf is the size of the structure that a request's number announces.
func sizeOf(request uint32) int { return int(request >> 16 & 0x3fff) }

func (c *Client) sync(f func(*engine.Binding) error) syscall.Errno {
	b := c.binding.Load()
	if b == nil {
		return syscall.ENXIO
	}
	if err := f(b); err != nil {
		return fault.Errno(err)
	}
	return 0
}

// txSync is what a program means by NIOCTXSYNC. That a monitor sends nothing only poll tells it:
// programs sync all rings that they have.
func txSync(b *engine.Binding, p Process) (err error) {
	err = b.TxSyncFrom(p)
	if b.Monitors() && errors.Is(err, syscall.EIO) {
		return nil
	}
	return err
}

// Poll says which of the events are ready. When none is, the waker will hear, of what the kernel brings after Arm only.
func (c *Client) Poll(p Process, events uint32) uint32 {
	b := c.binding.Load()
	if b == nil {
		return session.PollErr
	}
	ready := b.PollFrom(p, int16(events))
	if ready != 0 && b.NeedsArm() {
		c.late.Reset(lateArm)
	}
	return uint32(ready)
}

// Fed says whether the kernel may bring one of the events.
func (c *Client) Fed(events uint32) bool {
	b := c.binding.Load()
	return b != nil && b.NeedsArm()
}

// Arm has the waker hear of what the kernel brings, once. It is called after a Poll that found nothing.
func (c *Client) Arm(events uint32) {
	if b := c.binding.Load(); b != nil {
		c.late.Stop()
		b.Arm(int16(events))
	}
}

// armLate has the waker hear of new frames also when the last Poll found some. Most clients poll again before they sleep,
// and are spared the cost. One that waits for edges (EPOLLET) sleeps without.
func (c *Client) armLate() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b := c.binding.Load(); b != nil && !c.closed {
		b.Arm(session.PollIn)
	}
}

// Close ends the binding.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if b := c.binding.Load(); b != nil {
		c.late.Stop()
		b.Close()
		c.log("close", b.Port(), nil)
	}
}

// register binds the client, in its own network namespace. EBUSY when it is bound already.
func (c *Client) register(p Process, name string, req *abi.Register, o engine.Options) error {
	if err := c.isFree(name); err != nil {
		return err
	}
	var b *engine.Binding
	o.User = c.policy.User
	err := p.InNetNS(func() (err error) {
		b, err = c.engine.RegisterWith(name, *req, o)
		return err
	})
	if err != nil {
		c.log("open", name, err)
		return err
	}
	c.log("open", b.Port(), nil)
	*req = b.Register()
	c.use(b)
	return nil
}

// isFree refuses to bind what is bound already.
func (c *Client) isFree(name string) error {
	if c.binding.Load() == nil {
		return nil
	}
	err := fault.New(syscall.EBUSY, "open", name, "the descriptor is bound already")
	c.log("open", name, err)
	return err
}

// use has the client be bound by that binding.
func (c *Client) use(b *engine.Binding) {
	b.Subscribe(c.waker)
	if c.late == nil { // or unbind has undone a request before
		c.late = time.AfterFunc(time.Hour, c.armLate)
		c.late.Stop()
	}
	c.binding.Store(b)
}

// Port is the name of the port that the client is bound to, "" of none.
func (c *Client) Port() string {
	if b := c.binding.Load(); b != nil {
		return b.Port()
	}
	return ""
}

// Joins names what the client's port shares with others, "" of none. See engine.Binding.
func (c *Client) Joins() string {
	if b := c.binding.Load(); b != nil {
		return b.Joins()
	}
	return ""
}

// Frames are how many the client has sent and received.
func (c *Client) Frames() (sent, received uint64) {
	if b := c.binding.Load(); b != nil {
		return b.Frames()
	}
	return 0, 0
}

// unbind undoes register.
func (c *Client) unbind() {
	b := c.binding.Swap(nil)
	c.late.Stop()
	b.Close()
	c.log("close", b.Port(), nil)
}

// info describes a port as the client's network namespace has it.
func (c *Client) info(p Process, name string, req abi.Register) (info abi.PortInfo, err error) {
	err = p.InNetNS(func() (err error) {
		info, err = c.engine.PortInfo(name, req)
		return err
	})
	return info, err
}

// text is a name in a fixed field: everything before the first zero, and never the last byte.
func text(b []byte) string {
	b = b[:len(b)-1]
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
