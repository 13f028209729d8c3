// Package packet makes a raw link from a netmap port: it receives and sends whole frames, one at a
// time, with deadlines and filters.
//
//	port, err := netmap.Open("netmap:eth0")
//	…
//	conn := packet.New(port)
//	defer conn.Close()
//	err = conn.SetBPFFilter("udp port 53")
//	…
//	for {
//		frame, err := conn.Next(ctx)
//		…
//		use(frame.Data) // valid until the next call
//	}
//
// A Conn is a net.PacketConn. A program for AF_PACKET sockets needs few changes: a Conn has the
// methods of mdlayher/packet with the same meaning, for socket type Raw. Instead of Listen's
// protocol there is a filter. Promiscuous mode and multicast groups are set in the framework
// (embed.Config.Promisc, netmap serve --promisc). There is no descriptor.
//
// Frames begin with the Ethernet header and end before the frame check sequence. A frame that was
// received in several slots is put together. A frame that is longer than a buffer is sent in
// several slots. A frame costs some tens of nanoseconds and no allocation. To save that, or the
// copy when sending, use the rings (netmap.Ring).
package packet

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/bpf"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/portname"
)

// Conn is a raw link. Its methods may be called by several goroutines. Calls that read wait for
// each other, and so do calls that send.
//
// Errors are *net.OpError around one of these: net.ErrClosed after Close, os.ErrDeadlineExceeded
// (Timeout returns true) after a deadline, EIO when the port is down or gone, EOPNOTSUPP for a
// direction in which the port has no rings.
type Conn struct {
	port   *netmap.Port
	addr   *Addr
	index  int
	life   context.Context // ends with Close
	end    context.CancelFunc
	filter atomic.Pointer[verdict]
	counts counts

	reading       sync.Mutex // guards rx and senders
	rx            reader
	senders       map[[6]byte]*Addr
	readDeadline  deadline
	writing       sync.Mutex // held while the tx rings are used
	writeDeadline deadline
}

var (
	_ net.PacketConn = (*Conn)(nil)
	_ bpf.Setter     = (*Conn)(nil)
)

// New returns a link over an open port. The link owns the port from then on. It receives from all
// rx rings of the port. It sends through the first tx ring, so that frames stay in order. If one
// goroutine receives while another sends, the port must not have been opened with netmap.SyncLoop.
func New(port *netmap.Port) *Conn {
	c := &Conn{port: port, addr: &Addr{}, rx: newReader(port), senders: map[[6]byte]*Addr{}}
	c.life, c.end = context.WithCancel(context.Background())
	c.readDeadline.start(c.life)
	c.writeDeadline.start(c.life)
	if n, err := portname.ParseWith(port.Name(), netdev.Exists); err == nil {
		if i := interfaceOf(n.Port); i != nil {
			c.addr.HardwareAddr, c.index = i.HardwareAddr, i.Index
		}
	}
	return c
}

// interfaceOf returns the interface with this name or altname, nil if there is none.
func interfaceOf(name string) *net.Interface {
	own, err := netdev.Own(name)
	if err != nil {
		return nil
	}
	i, err := net.InterfaceByName(own)
	if err != nil {
		return nil
	}
	return i
}

// Port returns the port of the link. Only the link may use its rings.
func (c *Conn) Port() *netmap.Port { return c.port }

// Close closes the link and its port. Calls in progress return net.ErrClosed before Close returns.
// Frames from Next must not be used afterwards.
func (c *Conn) Close() error {
	c.end()
	c.readDeadline.set(time.Time{})
	c.writeDeadline.set(time.Time{})
	c.reading.Lock()
	defer c.reading.Unlock()
	c.writing.Lock()
	defer c.writing.Unlock()
	return c.opError("close", c.port.Close())
}

// LocalAddr returns the *Addr of the port's interface. New has looked it up in the calling thread's
// network namespace. It is empty if the port is no interface. It must not be changed.
func (c *Conn) LocalAddr() net.Addr { return c.addr }

// InterfaceIndex is the index of the port's interface, 0 if the port is no interface.
func (c *Conn) InterfaceIndex() int { return c.index }

// ReadFrom copies the next frame that passes the filter into b. It returns the frame's length and
// the *Addr of the sender, which must not be changed. Bytes that do not fit in b are lost. It
// implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	f, err := c.receive(c.readDeadline.context(), true)
	if err != nil {
		return 0, nil, c.opError("read", err)
	}
	return copy(b, f.Data), c.sender(f.Data), nil
}

// WriteTo sends the frame in b. addr may be nil or an *Addr, and is ignored: the frame contains its
// destination. WriteTo waits for room, and returns when the framework has the frame. EMSGSIZE for a
// frame longer than the ring, EINVAL for an empty frame or another type of address. It implements
// net.PacketConn.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if _, ok := addr.(*Addr); !ok && addr != nil {
		return 0, c.opError("write",
			fault.New(syscall.EINVAL, "address", addr.String(), "want nil or a *packet.Addr"))
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.send(c.writeDeadline.context(), true, [][]byte{b}); err != nil {
		return 0, c.opError("write", err)
	}
	return len(b), nil
}

// Next returns the next frame that passes the filter, without a copy: Data is valid until the next
// call that reads. Next waits until the context ends, and then returns the context's error.
// Deadlines do not apply.
func (c *Conn) Next(ctx context.Context) (Frame, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	f, err := c.receive(ctx, false)
	return f, c.opError("read", err)
}

// NextCopy is Next with a copy of the frame in new memory.
func (c *Conn) NextCopy(ctx context.Context) (Frame, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	f, err := c.receive(ctx, false)
	f.Data = bytes.Clone(f.Data)
	return f, c.opError("read", err)
}

// Send sends frames. It returns how many it has handed to the framework: all, if there is no error.
// It waits for room until the context ends. Deadlines do not apply. Many frames in one call cost
// less than in many calls. Errors are those of WriteTo and the context's.
func (c *Conn) Send(ctx context.Context, frames ...[]byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.send(ctx, false, frames)
	return n, c.opError("write", err)
}

// SetDeadline sets both deadlines. The zero time means no deadline. It implements net.PacketConn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline makes ReadFrom fail from this time on, including a call that waits.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readDeadline, t) }

// SetWriteDeadline makes WriteTo fail from this time on, including a call that waits.
func (c *Conn) SetWriteDeadline(t time.Time) error { return c.setDeadline(&c.writeDeadline, t) }

func (c *Conn) setDeadline(d *deadline, t time.Time) error {
	if c.life.Err() != nil {
		return c.opError("set", net.ErrClosed)
	}
	d.set(t)
	return nil
}

// failure is the error for a context that has ended.
func (c *Conn) failure(ctx context.Context, byDeadline bool) error {
	switch {
	case c.life.Err() != nil:
		return net.ErrClosed
	case byDeadline:
		return os.ErrDeadlineExceeded
	}
	return ctx.Err()
}

// wait sleeps until a ring of the direction is ready. If the port reports an error instead, sync
// returns it.
func (c *Conn) wait(ctx context.Context, byDeadline bool, want netmap.Events,
	sync func() error) error {
	switch {
	case byDeadline: // ends with the link
	case ctx.Done() == nil:
		ctx = c.life
	default:
		both, cancel := context.WithCancelCause(ctx)
		defer cancel(nil)
		defer context.AfterFunc(c.life, func() { cancel(net.ErrClosed) })()
		ctx = both
	}
	got, err := c.port.Poll(ctx, want, -1)
	switch {
	case ctx.Err() != nil:
		return c.failure(ctx, byDeadline)
	case err != nil:
		return err
	case got&want != 0:
		return nil
	}
	if err := sync(); err != nil {
		return err
	}
	return fault.New(syscall.EIO, "poll", "",
		"the port is down or gone: close it and open it again")
}

// opError wraps an error as package net does.
func (c *Conn) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: network, Addr: portName(c.port.Name()), Err: err}
}

// portName is the address in errors: the name of the port.
type portName string

func (portName) Network() string  { return network }
func (n portName) String() string { return string(n) }

const network = "netmap"

// Addr is a link-layer address. It implements net.Addr.
type Addr struct {
	HardwareAddr net.HardwareAddr
}

// Network is "netmap".
func (a *Addr) Network() string { return network }

// String formats the address as in 02:00:00:00:00:01.
func (a *Addr) String() string {
	if a == nil {
		return "<nil>"
	}
	return a.HardwareAddr.String()
}

// mostSenders is the number of addresses that a link keeps, so that frames from the same sender
// share one.
const mostSenders = 1024

// sender returns the source address of a frame.
func (c *Conn) sender(frame []byte) *Addr {
	if len(frame) < 12 {
		return &Addr{}
	}
	key := [6]byte(frame[6:12])
	a := c.senders[key]
	if a == nil {
		if len(c.senders) == mostSenders {
			clear(c.senders)
		}
		a = &Addr{HardwareAddr: bytes.Clone(key[:])}
		c.senders[key] = a
	}
	return a
}
