//go:build linux

// Package daemon serves a framework to other processes as the character device that netmap programs
// open. It connects the device (chardev), the requests (control) and the framework (engine).
package daemon

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/chardev"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/placement"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

// Config says what to serve, and where.
type Config struct {
	Engine  engine.Config
	Path    string // of the device node
	Mode    uint32
	UID     uint32
	GID     uint32
	Workers int
	Policy  control.Policy
	Spin    time.Duration
	// Colocate binds clients that wait for each other to one core, as long as that pays.
	Colocate bool
	Log      *slog.Logger
}

// Daemon is a framework that is being served.
type Daemon struct {
	log    *event.Throttle
	engine *engine.Engine
	policy control.Policy
	device *chardev.Device

	path    string
	node    nodeMode
	started time.Time
	clients clients
	apart   apart
	mover   *placement.Mover // nil if clients are not moved
	address string           // of the status API on TCP
	stops   []func()         // of the status API
}

// nodeMode is who may use the device.
type nodeMode struct{ mode, uid, gid uint32 }

// Start makes a framework and its device node. Errors are those of engine.New and chardev.Mount.
func Start(cfg Config) (*Daemon, error) {
	// UMEMs are locked memory. Without the right to raise the limit it stays the same, and the
	// error of opening an interface reports it.
	unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	d := &Daemon{log: event.NewThrottle(cfg.Log), policy: cfg.Policy, path: cfg.Path,
		node: nodeMode{cfg.Mode, cfg.UID, cfg.GID}, started: time.Now()}
	cfg.Engine.NIC.OnEvent = d.log.Say
	d.giveBack(cmp.Or(cfg.Engine.NIC.StateDir, takeover.DefaultDir()))
	e, err := engine.New(cfg.Engine)
	if err != nil {
		return nil, err
	}
	d.engine = e
	if err := d.startMover(cfg.Colocate); err != nil {
		e.Close()
		return nil, err
	}
	d.tellMemory()
	d.device, err = chardev.Mount(chardev.Config{
		Path: cfg.Path, Mode: cfg.Mode, UID: cfg.UID, GID: cfg.GID,
		Backing: e.Region().FD(), Size: e.Region().Size(), Workers: cfg.Workers, Spin: cfg.Spin,
		Slow: control.Slow,
	}, d)
	if err != nil {
		d.mover.Close()
		e.Close()
		return nil, err
	}
	return d, nil
}

// tellMemory logs what the memory suffices for, and its size.
func (d *Daemon) tellMemory() {
	i := d.engine.Region().Info()
	rings := uint64(mem.RingsIn(i.Buf.ObjTotal))
	d.log.Say(event.Event{Kind: event.Memory, Bytes: uint64(i.MemSize),
		Buffers: uint64(i.Buf.ObjTotal), Rings: uint64(i.Ring.ObjTotal),
		InterfaceRings: rings, ValePorts: rings / 2})
}

// giveBack restores the settings of interfaces that a killed daemon has changed. Settings that
// cannot be restored do not prevent the start: they stay on record.
func (d *Daemon) giveBack(dir string) {
	done, err := takeover.Recover(dir)
	for _, r := range done {
		d.log.Say(event.Event{Kind: event.Recovered, Interface: r.Name, Setting: r.Changes.String()})
	}
	if err != nil {
		d.log.Say(event.Event{Kind: event.NotRecovered, Err: err})
	}
}

// Engine returns the framework.
func (d *Daemon) Engine() *engine.Engine { return d.engine }

// Wait returns nil when the context ends, or an error if the device is gone before.
func (d *Daemon) Wait(ctx context.Context) (err error) {
	var reason string
	select {
	case <-ctx.Done():
		reason = context.Cause(ctx).Error()
	case <-d.device.Dead():
		err = fault.New(syscall.ENODEV, "serve", d.path, "it was unmounted")
		reason = err.Error()
	}
	clients := d.clients.list()
	d.log.Say(event.Event{Kind: event.Stopping, Device: d.path, Reason: reason, Clients: len(clients),
		Uptime: time.Since(d.started)})
	d.tellLost(clients)
	return err
}

// tellLost logs the clients that lose their ports, up to a number.
func (d *Daemon) tellLost(clients []status.Client) {
	const most, mostPorts = 20, 20
	clients = slices.DeleteFunc(clients, func(c status.Client) bool { return len(c.Ports) == 0 })
	for i, c := range clients {
		if i == most {
			d.log.Say(event.Event{Kind: event.PortsLost, Device: d.path,
				Omitted: uint64(len(clients) - most)})
			break
		}
		e := event.Event{Kind: event.PortsLost, PID: c.PID, Program: c.Command, Ports: c.Ports}
		if n := len(c.Ports) - mostPorts; n > 0 {
			e.Ports, e.Omitted = c.Ports[:mostPorts], uint64(n)
		}
		d.log.Say(e)
	}
}

// Close removes the device, ends all bindings and gives all interfaces back to the host.
func (d *Daemon) Close() error {
	for _, stop := range d.stops {
		stop()
	}
	d.mover.Close()
	d.device.Close()
	err := d.engine.Close()
	d.log.Close()
	d.log.Say(event.Event{Kind: event.Stopped, Device: d.path, Uptime: time.Since(d.started)})
	return err
}

// Say writes an event to the daemon's log.
func (d *Daemon) Say(e event.Event) { d.log.Say(e) }

// Open implements chardev.Driver.
func (d *Daemon) Open(caller chardev.Caller, wake *chardev.Waker) (chardev.File, syscall.Errno) {
	pid := processOf(caller.PID)
	c := &client{daemon: d, pid: pid, command: commandOf(pid)}
	policy, user := d.policy, strconv.Itoa(int(caller.UID))
	policy.User = caller.UID
	c.c = control.New(d.engine, policy, wake, func(request, port string, err error) {
		e := event.Event{Kind: event.Answered, PID: pid, Program: c.command, User: user, Request: request,
			Port: port, Err: err}
		if err != nil {
			e.Kind = event.Refused
		}
		d.log.Say(e)
	})
	c.seat = d.mover.Add(seat{c, caller.UID})
	d.clients.add(c)
	return c, 0
}

// client is an open file of the device.
type client struct {
	daemon  *Daemon
	pid     int // of the process that opened it
	command string
	c       *control.Client
	last    atomic.Pointer[process] // the process of the last request
	seat    *placement.Client       // nil if clients are not moved
}

// process returns the caller's process, mostly that of the last request.
func (c *client) process(caller chardev.Caller) *process {
	p := c.last.Load()
	if p == nil || p.pid != caller.PID {
		p = &process{pid: caller.PID}
		c.last.Store(p)
	}
	return p
}

func (c *client) Ioctl(caller chardev.Caller, request uint32, data []byte) syscall.Errno {
	if caller.Interrupted != nil {
		p := &process{pid: caller.PID, interrupted: caller.Interrupted, call: &caller,
			apart: &c.daemon.apart}
		return c.c.Ioctl(p, request, data)
	}
	c.seat.Saw(int(caller.PID))
	return c.c.Ioctl(c.process(caller), request, data)
}

// Fed implements chardev.Fed.
func (c *client) Fed(events uint32) bool { return c.c.Fed(events) }

// Arm implements chardev.Fed.
func (c *client) Arm(events uint32) { c.c.Arm(events) }

func (c *client) Poll(caller chardev.Caller, events uint32) uint32 {
	c.seat.Saw(int(caller.PID))
	return c.c.Poll(c.process(caller), events)
}

func (c *client) Release() {
	c.daemon.mover.Remove(c.seat)
	c.c.Close()
	c.daemon.clients.remove(c)
}
