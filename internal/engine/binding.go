package engine

import (
	"context"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// Binding is a session and its port in the registry.
type Binding struct {
	session.Session
	eng   *Engine
	entry *registry.Entry
	joins string // see Joins
}

// Register binds to the port of that name; req says how, as NETMAP_REQ_REGISTER does. Errors are
// those of the request: ENXIO for a name that matches nothing, EINVAL for what the port cannot
// give, EBUSY, ENOMEM.
func (e *Engine) Register(name string, req abi.Register) (*Binding, error) {
	return e.RegisterWith(name, req, Options{})
}

// Options are what a registration may bring along.
type Options struct {
	// API is that of a program for which interface and rings are laid out as it knows them; nil is
	// today's.
	API     *abi.API
	Extmem  *registry.Extmem
	Offsets *session.Offsets
	User    uint32 // for whom; see Config.UserInterfaces
	NetNS   NetNS  // where the interface is that the name means; nil is Here
}

// RegisterWith is Register with options, whose memory is the engine's from then on. An error for
// which an option is to blame is a session.OptionError.
func (e *Engine) RegisterWith(name string, req abi.Register, o Options) (b *Binding, err error) {
	if o.NetNS == nil {
		o.NetNS = Here
	}
	try := func() (again bool, err error) {
		b, err = e.register(name, req, o)
		return nic.WillBeFree(err) && o.Extmem == nil, err // that memory is gone with the first error
	}
	err = o.NetNS(func() error {
		return registry.Patiently(registry.QueuePatience, registry.QueuePause, try)
	})
	return b, err
}

func (e *Engine) register(name string, req abi.Register, o Options) (*Binding, error) {
	t := targetOf(name, &req)
	var release func()
	if opens := req.Mode == abi.RegAllNIC ||
		req.Mode == abi.RegOneNIC; t.key.Pipe != "" && opens && !t.monitor {
		release = e.switches.HoldParent(t.key, o.User)
	}
	e.reg.Lock()
	defer e.reg.Unlock()
	defer func() {
		if release != nil {
			release()
		}
	}()
	if err := e.check(&t, &req); err != nil {
		if o.Extmem != nil {
			o.Extmem.Free()
		}
		return nil, err
	}
	region, err := e.reg.RegionFor("open", name, req.MemID, o.Extmem)
	if err != nil {
		return nil, err
	}
	defer e.reg.Leave(region)
	p, err := e.lookup(&t, &req, region)
	if err != nil {
		return nil, err
	}
	if release != nil && !p.HasParent {
		p.HasParent = true
		p.OnClose(release)
		release = nil
	}
	b := &Binding{eng: e, entry: p, joins: p.Key.Joins()}
	if err = p.Free(); err == nil {
		err = e.reg.Reachable(p, region, o.Extmem)
	}
	if err == nil {
		err = b.Open(&e.env, &p.Target, &req, session.Options{API: o.API, Offsets: o.Offsets})
	}
	if err != nil {
		e.reg.Drop(p)
		return nil, err
	}
	return b, nil
}

func (e *Engine) check(t *target, req *abi.Register) error {
	switch name, most := t.name, t.kind.longest; {
	case e.reg.Closed:
		return fault.New(syscall.ENXIO, "open", name, "the engine is closed")
	case name == "":
		return fault.New(syscall.ENXIO, "open", name, "no port named; try netmap:eth0 or vale0:a")
	case len(name) > most:
		return fault.New(syscall.ENAMETOOLONG, "open", name,
			"%d characters; the name of such a port has at most %d", len(name), most)
	}
	return session.CheckMode(t.name, req)
}

// Close ends the binding. Syncs that are under way finish first, waits return POLLERR.
func (b *Binding) Close() error {
	b.eng.reg.Lock()
	defer b.eng.reg.Unlock()
	b.eng.unbind(&b.Session, b.entry)
	return nil
}

func (e *Engine) unbind(s *session.Session, p *registry.Entry) {
	if !s.End() {
		return
	}
	if len(p.Sessions) == 0 {
		p.Leave()
	}
	e.reg.Drop(p)
}

// Rebind is a new binding to other rings of the same port, for a program of an old API, in place of
// this one, which is closed. What the program knows of the port stays where it is. When it fails,
// this one stays. Errors are those of Register.
func (b *Binding) Rebind(req abi.Register) (*Binding, error) {
	b.eng.reg.Lock()
	defer b.eng.reg.Unlock()
	next := &Binding{eng: b.eng, entry: b.entry}
	if err := next.Replace(&b.Session, &req); err != nil {
		return nil, err
	}
	b.eng.unbind(&b.Session, b.entry)
	return next, nil
}

// Monitors reports whether the port is a monitor, which sends nothing.
func (b *Binding) Monitors() bool { return b.entry.Parent != nil }

// Header is Engine.Header of the port.
func (b *Binding) Header() (uint32, error) { return header(b.entry), nil }

// SetHeader is Engine.SetHeader of the port.
func (b *Binding) SetHeader(length uint32) error { return b.eng.SetHeader(b.Port(), length) }

// DeviceSocket is a socket in the network namespace of the port's interface, for ioctls, which the
// caller has to close, and the interface's index. A monitor's interface is its parent's. ENXIO when
// the port has none, or when it is gone.
func (b *Binding) DeviceSocket() (fd, index int, err error) {
	b.eng.reg.Lock()
	defer b.eng.reg.Unlock()
	p := b.entry
	for p.Parent != nil {
		p = p.Parent
	}
	if p.Dev == nil || p.Gone() || b.Closed() {
		return -1, 0, fault.New(syscall.ENXIO, "find interface of", b.Port(),
			"it has none, or none any more")
	}
	fd, err = p.Dev.Dup()
	return fd, p.Dev.Index, err
}

// Status describes the port that is bound. ENXIO once the binding is closed.
func (b *Binding) Status(context.Context) (status.Port, error) {
	b.eng.reg.Lock()
	closed, v := b.Closed(), viewOf(b.entry)
	b.eng.reg.Unlock()
	if closed {
		return status.Port{}, fault.New(syscall.ENXIO, "describe", b.Port(), "the port is closed")
	}
	return v.read(), nil
}

// Joins names what the port shares with others, with which it exchanges frames: a switch, a pipe. A
// port that shares nothing has a name of its own.
func (b *Binding) Joins() string { return b.joins }
