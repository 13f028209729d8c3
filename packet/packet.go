// Package packet makes a raw link of a netmap port: whole frames in and out, one at a time, with deadlines and filters.
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
// A Conn is a net.PacketConn, so that a program for AF_PACKET sockets needs few changes: those of mdlayher/packet have the same
// methods with the same meaning, socket type Raw. In place of Listen's protocol there is a filter; promiscuous mode and
// multicast groups are the framework's (embed.Config.Promisc, netmap serve --promisc), and there is no descriptor.
//
// Frames begin with their Ethernet header and end before their frame check sequence. Those that came in several slots are put
// together, those longer than a buffer are sent in several. A frame costs some tens of nanoseconds and no allocation; who
// wants it for less, or without the copy when sending, uses the rings (netmap.Ring).
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

// Conn is a raw link. Its methods may be called by several goroutines; those that read take turns, and so do those that send.
//
// Errors are *net.OpError with what happened inside: net.ErrClosed after Close, os.ErrDeadlineExceeded (Timeout says true) after
// a deadline, EIO when the port is down or gone, EOPNOTSUPP for a direction whose rings the port does not have.
type Conn struct {
	port   *netmap.Port
	addr   *Addr
	index  int
	life   context.Context // ends with Close
	end    context.CancelFunc
	filter atomic.Pointer[verdict]
	counts counts

	reading       sync.Mutex // held by who uses what follows
	rx            reader
	senders       map[[6]byte]*Addr
	readDeadline  deadline
	writing       sync.Mutex // held by who uses the tx rings
	writeDeadline deadline
}

var (
	_ net.PacketConn = (*Conn)(nil)
	_ bpf.Setter     = (*Conn)(nil)
)

// New is a link over an open port, which is the link's from then on. It receives from all rx rings of the port and sends
// through the first tx ring, so that frames stay in order. The port must not have been opened with netmap.SyncLoop if one
// goroutine is to receive while another sends.
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

// interfaceOf is the interface that has the name or the altname, nil if there is none.
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

// Port is the port beneath. Its rings are the link's.
func (c *Conn) Port() *netmap.Port { return c.port }

// Close closes the link and its port. Calls that are under way end with net.ErrClosed before Close returns. The memory of
// frames from Next is gone.
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

// LocalAddr is the *Addr of the interface whose port this is, as the calling thread's network namespace knew it when New was
// called, and an empty one for ports that are no interfaces. It must not be changed.
func (c *Conn) LocalAddr() net.Addr { return c.addr }

// InterfaceIndex is the index of that interface, 0 if there is none.
func (c *Conn) InterfaceIndex() int { return c.index }

// ReadFrom copies the next frame that passes the filter into b and returns its length, and the *Addr that sent it, which must not
// be changed. What does not fit b is lost. It implements net.PacketConn.
func (c *Conn) ReadFrom(b []byte) (int, net.Addr, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	f, err := c.receive(c.readDeadline.context(), true)
	if err != nil {
		return 0, nil, c.opError("read", err)
	}
	return copy(b, f.Data), c.sender(f.Data), nil
}

// WriteTo sends the frame in b, which says itself where it goes: addr may be nil, or an *Addr, which is not looked at. It waits
// for room, and returns when the frame is handed to the framework. EMSGSIZE for a frame longer than the ring, EINVAL for an empty one
// or another kind of address. It implements net.PacketConn.
func (c *Conn) WriteTo(b []byte, addr net.Addr) (int, error) {
	if _, ok := addr.(*Addr); !ok && addr != nil {
		return 0, c.opError("write", fault.New(syscall.EINVAL, "address", addr.String(), "want nil or a *packet.Addr"))
	}
	c.writing.Lock()
	defer c.writing.Unlock()
	if _, err := c.send(c.writeDeadline.context(), true, [][]byte{b}); err != nil {
		return 0, c.opError("write", err)
	}
	return len(b), nil
}

// Next is the next frame that passes the filter, in place: Data is valid until the next call that reads, and must not be kept. It
// waits until the context ends, whose error it then returns; deadlines are not for it.
func (c *Conn) Next(ctx context.Context) (Frame, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	f, err := c.receive(ctx, false)
	return f, c.opError("read", err)
}

// NextCopy is Next with Data of the caller's own, to be kept: it allocates.
func (c *Conn) NextCopy(ctx context.Context) (Frame, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	f, err := c.receive(ctx, false)
	f.Data = bytes.Clone(f.Data)
	return f, c.opError("read", err)
}

// Send sends frames and returns how many were handed to the framework, which are all without an error. It waits for room until
// the context ends; deadlines are not for it. Many frames in a call cost less than as many calls. Errors are those of WriteTo.
func (c *Conn) Send(ctx context.Context, frames ...[]byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n, err := c.send(ctx, false, frames)
	return n, c.opError("write", err)
}

// SetDeadline sets both deadlines. The zero time is none. It implements net.PacketConn.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline has ReadFrom, also one that is waiting, fail from that time on.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.setDeadline(&c.readDeadline, t) }

// SetWriteDeadline has WriteTo, also one that is waiting, fail from that time on.
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

// wait sleeps until there is something to do in that direction.
func (c *Conn) wait(ctx context.Context, byDeadline bool, want netmap.Events, sync func() error) error {
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
	return fault.New(syscall.EIO, "poll", "", "the port is down or gone; close it and open it anew")
}

// opError is an error as those of package net are.
func (c *Conn) opError(op string, err error) error {
	if err == nil {
		return nil
	}
	return &net.OpError{Op: op, Net: network, Addr: portName(c.port.Name()), Err: err}
}

// portName tells people in errors which port it is.
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

// String is the address as in 02:00:00:00:00:01.
func (a *Addr) String() string {
	if a == nil {
		return "<nil>"
	}
	return a.HardwareAddr.String()
}

// mostSenders is how many addresses a link remembers, so that frames from the same senders share them.
const mostSenders = 1024

// sender is the source address of a frame.
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
