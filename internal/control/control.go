//go:build linux

// Package control answers the requests of /dev/netmap: it turns every ioctl of every known version
// into calls of the engine. It gets requests as bytes, and reaches a client's memory through an
// interface. The daemon provides both.
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

// Process is the process that makes a request.
type Process interface {
	// Read and Write copy from and to the process's memory. They return EFAULT for unmapped memory.
	Read(addr uint64, b []byte) error
	Write(addr uint64, b []byte) error
	// Memory reads many pieces at once, while the process waits for the answer to its request.
	kring.Memory
	// InNetNS calls f in the process's network namespace, so that interface names are the
	// process's.
	InNetNS(f func() error) error
	// Share maps n bytes of the process's memory, so that both sides see each other's writes. It
	// returns nil for memory that cannot be shared, or that the process could take away. Read and
	// Write work with all memory.
	Share(addr uint64, n int) (shared []byte, unmap func())
	// Extmem maps memory of the process for a region. The memory keeps its size whatever the
	// process does. Errors: EFAULT for memory that is not mapped or not writable, EINVAL for memory
	// that does not start at a page boundary, EOPNOTSUPP for memory that cannot be shared.
	Extmem(addr, size uint64) (*engine.Extmem, error)
	// Eventfd returns a descriptor of this process for one of the client's eventfds. Errors: EBADF,
	// and EINVAL for a descriptor that is not an eventfd.
	Eventfd(fd int) (int, error)
	// Arg returns the argument of a request without data. It returns EOPNOTSUPP for a 32-bit
	// program, whose structures have other layouts.
	Arg() (uint64, error)
	// Apart calls f in a thread that may sleep on the process's memory, and that no other request
	// waits for. It returns without waiting for f after a while (ETIMEDOUT), or when the process is
	// interrupted (EINTR); from then on ended returns true. It calls done when f has ended, or will
	// not be called.
	Apart(f func(m ifioctl.Memory, ended func() bool) error, done func()) error
	// Administers reports whether the process has CAP_NET_ADMIN for a socket's network namespace.
	Administers(socket int) bool
	// Interrupted is closed when the process needs an answer at once: it got a signal, or is being
	// killed.
	Interrupted() <-chan struct{}
}

// Client is an open file of the device. A request binds it to a port.
type Client struct {
	engine  *engine.Engine
	waker   kring.Waiter
	policy  Policy
	log     func(request, port string, err error)
	mu      sync.Mutex // held during a control request
	binding atomic.Pointer[engine.Binding]
	late    *time.Timer // calls armLate; nil before the first binding
	csb     csb
	spoken  *abi.API // the API of the last request that implies one
	closed  bool
}

// Policy holds settings that requests do not carry.
type Policy struct {
	// Variants choose between APIs whose requests look the same.
	Variants abi.Variants
	// User is the user who opened the device. Interfaces that are made for the client count as this
	// user's.
	User uint32
	// LegacyOnly answers NIOCCTRL as netmap did before it existed, for tests of clients.
	LegacyOnly bool
}

// lateArm is how long after a report of frames a client that has not polled again is taken for one
// that waits for an edge.
const lateArm = time.Millisecond

// New returns an unbound client. The waker is called for events after a Poll that found none. log
// is called for every request that binds, with its error.
func New(e *engine.Engine, policy Policy, waker kring.Waiter,
	log func(request, port string, err error)) *Client {
	return &Client{engine: e, policy: policy, waker: waker, log: log}
}

// Ioctl answers a request. data is the structure of the request, and Ioctl replaces it by the
// answer.
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
	if len(data) < sizeOf(request) {
		return syscall.EINVAL
	}
	if request == abi.NIOCCTRL && !c.policy.LegacyOnly {
		return fault.Errno(c.control(p, data))
	}
	return fault.Errno(c.locked(func() error { return c.answer(p, request, data) }))
}

// locked calls f while no other request changes the client. EINVAL when the client is closed.
func (c *Client) locked(f func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return syscall.EINVAL
	}
	return f()
}

func (c *Client) answer(p Process, request uint32, data []byte) error {
	switch request {
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

// sizeOf returns the size in a request's number, in bytes.
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

// txSync answers NIOCTXSYNC. It hides the error of a monitor, which cannot send, because programs
// sync all rings that they have. poll reports it.
func txSync(b *engine.Binding, p Process) (err error) {
	err = b.TxSyncFrom(p)
	if b.Monitors() && errors.Is(err, syscall.EIO) {
		return nil
	}
	return err
}

// Poll returns the events that are ready. If there are none, the waker is called for later ones.
// News from the kernel calls it only after Arm.
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

// Fed reports whether the kernel may bring one of the events.
func (c *Client) Fed(events uint32) bool {
	b := c.binding.Load()
	return b != nil && b.NeedsArm()
}

// Arm makes the next news from the kernel call the waker, once. It is called after a Poll that
// found nothing.
func (c *Client) Arm(events uint32) {
	if b := c.binding.Load(); b != nil {
		c.late.Stop()
		b.Arm(int16(events))
	}
}

// armLate makes new frames call the waker even if the last Poll found some. Most clients poll again
// before they sleep, and armLate is not needed. A client that waits for edges (EPOLLET) sleeps
// without another poll.
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

// register binds the client, in its own network namespace. It returns EBUSY if the client is bound.
func (c *Client) register(p Process, name string, req *abi.Register, o engine.Options) error {
	if err := c.isFree(name); err != nil {
		return err
	}
	o.User, o.NetNS = c.policy.User, p.InNetNS
	b, err := c.engine.RegisterWith(name, *req, o)
	if err != nil {
		c.log("open", name, err)
		return err
	}
	c.log("open", b.Port(), nil)
	*req = b.Register()
	c.use(b)
	return nil
}

// isFree returns an error if the client is bound.
func (c *Client) isFree(name string) error {
	if c.binding.Load() == nil {
		return nil
	}
	err := fault.New(syscall.EBUSY, "open", name, "the descriptor is bound already")
	c.log("open", name, err)
	return err
}

// use makes b the client's binding.
func (c *Client) use(b *engine.Binding) {
	b.Subscribe(c.waker)
	if c.late == nil { // not nil after unbind has undone a request
		c.late = time.AfterFunc(time.Hour, c.armLate)
		c.late.Stop()
	}
	c.binding.Store(b)
}

// Port is the name of the client's port, or "".
func (c *Client) Port() string {
	if b := c.binding.Load(); b != nil {
		return b.Port()
	}
	return ""
}

// Joins names what the client's port shares with others, or is "". See engine.Binding.
func (c *Client) Joins() string {
	if b := c.binding.Load(); b != nil {
		return b.Joins()
	}
	return ""
}

// Frames returns how many frames the client has sent and received.
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

// text returns the name in a fixed field. It ends at the first zero, and before the last byte.
func text(b []byte) string {
	b = b[:len(b)-1]
	for i, c := range b {
		if c == 0 {
			return string(b[:i])
		}
	}
	return string(b)
}
