// Package engine is the framework itself: how ports are opened and bound to, and what it tells
// about itself. It knows no transport: a daemon and a Go program call the same methods.
//
// Methods that look up an interface by its name, or make one, have the network namespace as a
// parameter (NetNS).
package engine

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/switches"
)

// Config is what an engine can be told. The zero value is good.
type Config struct {
	Region mem.Config
	// Spin is how long a waiting call looks again and again before it sleeps. A wake-up costs
	// microseconds, spinning costs a core. With 0 it does so for a moment on rings that the kernel
	// feeds, while frames keep coming; see wake.Pauses. Negative is never.
	Spin time.Duration
	// MaxSwitches bounds the number of VALE switches; 0 is DefaultSwitches.
	MaxSwitches int
	// PipeInterfaces has the parent of a pipe be an interface, as it is in the kernel module.
	PipeInterfaces bool
	// UserInterfaces is how many interfaces one user may have, who is not root: of persistent
	// ports, and parents of pipes; 0 is DefaultUserInterfaces.
	UserInterfaces int
	// NIC says how interfaces are opened.
	NIC NICConfig
	// Forward passes all frames that a program releases on an interface's rx rings to the other
	// side, the host or the wire, as if it had set NR_FORWARD and, on each, NS_FORWARD.
	Forward bool
}

// DefaultSwitches is how many VALE switches there may be at once, when the configuration does not
// say.
const DefaultSwitches = 64

// DefaultUserInterfaces is how many interfaces a user may have, when the configuration does not
// say.
const DefaultUserInterfaces = 64

// What those who use an engine need of the packages below it.
type (
	NICConfig = nic.Config      // how interfaces are opened
	Extmem    = registry.Extmem // memory of a program's that is to be the region of a port
	ValePort  = switches.Port   // a port in the list of all switches
)

// NetNS is a network namespace: it calls f in a thread that is in the namespace, and returns the
// error of f, or of entering the namespace. Everything below the engine takes the namespace of its
// thread, because sockets, of which all access to interfaces is made, do so.
type NetNS func(f func() error) error

// Here is the network namespace of the calling thread.
func Here(f func() error) error { return f() }

// Engine is a registry of ports, and what opens them.
type Engine struct {
	cfg      Config
	reg      *registry.Registry
	switches *switches.Switches
	env      session.Env
	seen     atomic.Pointer[view] // by the last Status
}

// New makes an engine with a region of its own. Errors are those of mem.New.
func New(cfg Config) (*Engine, error) {
	if cfg.MaxSwitches == 0 {
		cfg.MaxSwitches = DefaultSwitches
	}
	if cfg.UserInterfaces == 0 {
		cfg.UserInterfaces = DefaultUserInterfaces
	}
	reg, err := registry.New(cfg.Region, cfg.NIC.OnEvent)
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, reg: reg, env: session.Env{Spin: cfg.Spin, Forward: cfg.Forward}}
	e.switches = switches.New(reg, switches.Config{
		MaxSwitches: cfg.MaxSwitches, UserInterfaces: cfg.UserInterfaces,
		PipeInterfaces: cfg.PipeInterfaces,
		OpenInterface:  e.openInterface,
	})
	reg.SetOwner(e.switches)
	return e, nil
}

// Region is the engine's memory, in which ports are that did not bring their own.
func (e *Engine) Region() *mem.Region { return e.reg.Region() }

// Close ends all bindings and unmaps the region. Nothing that came from it may be used afterwards.
func (e *Engine) Close() error {
	defer e.switches.AwaitEnds()
	e.reg.Lock()
	defer e.reg.Unlock()
	if e.reg.Closed {
		return nil
	}
	e.reg.Closed = true
	for _, p := range e.reg.Entries() {
		for _, s := range slices.Clone(p.Sessions) {
			e.unbind(s, p)
		}
	}
	e.switches.EndAll()
	e.env.Close()
	return e.Region().Close()
}
