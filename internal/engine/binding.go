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

// Register binds to the port of that name, with the request of NETMAP_REQ_REGISTER. An interface is
// one of the calling thread's network namespace. Errors: ENXIO if there is no port of that name,
// EINVAL for rings or modes that the port does not have, EBUSY, ENOMEM.
func (e *Engine) Register(name string, req abi.Register) (*Binding, error) {
	return e.RegisterWith(name, req, Options{})
}

// Options are the options of RegisterWith.
type Options struct {
	// API is the program's API. It decides the layouts of interface and rings. nil means today's.
	API     *abi.API
	Extmem  *registry.Extmem
	Offsets *session.Offsets
	User    uint32 // the user who opens the port; see Config.UserInterfaces
	NetNS   NetNS  // the network namespace of the interface; nil means Here
}

// RegisterWith is Register with options. The engine frees the memory of Extmem, also after an
// error. An error that an option caused is a session.OptionError.
func (e *Engine) RegisterWith(name string, req abi.Register, o Options) (b *Binding, err error) {
	if o.NetNS == nil {
		o.NetNS = Here
	}
	try := func() (again bool, err error) {
		b, err = e.register(name, req, o)
		return nic.WillBeFree(err) && o.Extmem == nil, err // the first error frees that memory
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

// Close ends the binding, after waiting for syncs in progress. Waits return POLLERR.
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

// Rebind returns a binding to other rings of the same port, and ends this one. It is for programs
// of old APIs. The program's netmap_if stays where it is. After an error, this binding stays open.
// Errors are those of Register.
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

// Monitors reports whether the port is a monitor, which cannot send.
func (b *Binding) Monitors() bool { return b.entry.Parent != nil }

// Header returns what Engine.Header returns for the port.
func (b *Binding) Header() (uint32, error) { return header(b.entry), nil }

// SetHeader calls Engine.SetHeader for the port.
func (b *Binding) SetHeader(length uint32) error { return b.eng.SetHeader(b.Port(), length) }

// DeviceSocket returns the index of the port's interface, and a socket in its network namespace for
// ioctls, which the caller must close. The interface of a monitor is that of its parent. ENXIO if
// the port has no interface, or if it is gone.
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

// Status describes the port. ENXIO after Close.
func (b *Binding) Status(context.Context) (status.Port, error) {
	b.eng.reg.Lock()
	closed, v := b.Closed(), viewOf(b.entry)
	b.eng.reg.Unlock()
	if closed {
		return status.Port{}, fault.New(syscall.ENXIO, "describe", b.Port(), "the port is closed")
	}
	return v.read(), nil
}

// Joins returns a text that is equal for ports that exchange frames: the ports of a switch, or the
// two ends of a pipe.
func (b *Binding) Joins() string { return b.joins }
