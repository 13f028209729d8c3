// Package engine is the framework: it opens ports, binds programs to them and reports its state. It
// does not depend on a transport: a daemon and a Go program call the same methods.
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

// Config is the configuration of an engine. The zero value is valid.
type Config struct {
	Region mem.Config
	// Spin is how long a waiting call polls before it sleeps. A wake-up costs microseconds, polling
	// costs a core. With 0 a call polls only for a moment, on rings that the kernel feeds, while
	// frames keep coming (wake.Pauses). With a negative value it never polls.
	Spin time.Duration
	// MaxSwitches bounds the number of VALE switches; 0 is DefaultSwitches.
	MaxSwitches int
	// PipeInterfaces makes an interface for the parent of a pipe if there is none. With the kernel
	// module, the parent is always an interface.
	PipeInterfaces bool
	// UserInterfaces bounds the interfaces of a user other than root: those of persistent ports, and
	// parents of pipes; 0 is DefaultUserInterfaces.
	UserInterfaces int
	// NIC is the configuration of interfaces.
	NIC NICConfig
	// Forward forwards all frames that a program releases on an interface's rx rings to the host or to
	// the wire, as if it had set NR_FORWARD on the rings and NS_FORWARD on the slots.
	Forward bool
}

// DefaultSwitches is the default of Config.MaxSwitches.
const DefaultSwitches = 64

// DefaultUserInterfaces is the default of Config.UserInterfaces.
const DefaultUserInterfaces = 64

// Types of packages below the engine, for its users.
type (
	NICConfig = nic.Config      // how interfaces are opened
	Extmem    = registry.Extmem // a program's memory that becomes the region of a port
	ValePort  = switches.Port   // a port in the list of all switches
)

// NetNS is a network namespace: it calls f in a thread that is in the namespace, and returns the
// error of f, or of entering the namespace. Everything below the engine uses the namespace of its
// thread, because interfaces are accessed through sockets, which belong to the namespace of the
// thread that makes them.
type NetNS func(f func() error) error

// Here is the network namespace of the calling thread.
func Here(f func() error) error { return f() }

// Engine opens ports and keeps them in a registry.
type Engine struct {
	cfg      Config
	reg      *registry.Registry
	switches *switches.Switches
	env      session.Env
	seen     atomic.Pointer[view] // the view of the last Status
}

// New returns an engine with a region of its own. Errors are those of mem.New.
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

// Region returns the engine's own region. It serves all ports that are not in a program's memory.
func (e *Engine) Region() *mem.Region { return e.reg.Region() }

// Close ends all bindings and unmaps the region. Rings, slots and buffers must not be used
// afterwards.
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
