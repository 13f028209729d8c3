// Package engine is the framework itself: the registry of ports, the bindings to them, sync and poll. It knows no
// transport: a daemon and a Go program call the same methods.
package engine

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/monitor"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

// Config is what an engine can be told. The zero value is good.
type Config struct {
	Region mem.Config
	// Spin is how long a waiting call looks again and again before it sleeps. A wake-up costs microseconds, spinning
	// costs a core. With 0 it does so for a moment on rings that the kernel feeds, while frames keep coming; see wake.Pauses.
	// Negative is never.
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
	// Forward passes all frames that a program releases on an interface's rx rings to the other side, the host or the wire,
	// as if it had set NR_FORWARD and, on each, NS_FORWARD.
	Forward bool
}

// DefaultSwitches is how many VALE switches there may be at once, when the configuration does not say.
const DefaultSwitches = 64

// DefaultUserInterfaces is how many interfaces a user may have, when the configuration does not
// say.
const DefaultUserInterfaces = 64

// entry is a port in the registry.
type entry struct {
	session.Target
	key  key // in the registry
	kind string

	inner  *entry         // of an attachment: what is attached
	owner  *entry         // the attachment that has this port for itself, nil when it is free
	host   *entry         // of an attachment: the port that is the host stack of what is attached, if that is, too
	buried bool           // the interface is gone, and what follows from it is done
	device *tap.Interface // of a persistent port
	user   uint32         // for whom it was made

	pipesOf *parent // of a persistent port that is there for pipes
	pipeOf  *parent // of a pipe

	monitors []*monitor.Port // of this port, that are no orphans
	watched  uint64          // monitors so far
	parent   *entry          // of a monitor
}

// active says whether somebody moves frames through the port.
func (p *entry) active() bool { return len(p.Sessions) > 0 || p.owner != nil || p.inner != nil }

// entries are all ports, each once.
func (e *Engine) entries() []*entry {
	var all []*entry
	for key, p := range e.ports {
		if key == p.key {
			all = append(all, p)
		}
	}
	return all
}

// Engine is a region and the ports in it.
type Engine struct {
	cfg      Config
	region   *mem.Region
	foreign  map[uint16]*foreign // by number
	mu       sync.Mutex
	ports    map[key]*entry
	switches map[string]*vale.Switch
	unnamed  uint64 // ports so far that no name finds
	parents  map[string]*parent
	made     map[uint32]int // interfaces, by user
	ending   sync.WaitGroup // interfaces that are being taken away
	env      session.Env
	seen     atomic.Pointer[view] // by the last Status
	closed   bool
}

// New makes an engine with a region of its own. Errors are those of mem.New.
func New(cfg Config) (*Engine, error) {
	if cfg.MaxSwitches == 0 {
		cfg.MaxSwitches = DefaultSwitches
	}
	if cfg.UserInterfaces == 0 {
		cfg.UserInterfaces = DefaultUserInterfaces
	}
	region, err := mem.New(1, cfg.Region)
	if err != nil {
		return nil, err
	}
	return &Engine{
		cfg: cfg, region: region, foreign: map[uint16]*foreign{}, ports: map[key]*entry{}, switches: map[string]*vale.Switch{},
		parents: map[string]*parent{}, made: map[uint32]int{},
		env: session.Env{Spin: cfg.Spin, Forward: cfg.Forward},
	}, nil
}

// Region is the engine's memory, in which ports are that did not bring their own.
func (e *Engine) Region() *mem.Region { return e.region }

// Close ends all bindings and unmaps the region. Nothing that came from it may be used afterwards.
func (e *Engine) Close() error {
	defer e.ending.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	for _, p := range e.entries() {
		for _, b := range slices.Clone(p.Sessions) {
			e.unbind(b, p)
		}
	}
	e.detachAll()
	e.delIfs()
	e.env.Close()
	return e.region.Close()
}

// lookup finds the target or makes it, in that region. The caller holds the lock, and drops the
// port if it ends up without bindings.
func (e *Engine) lookup(t target, req *abi.Register, region *mem.Region) (*entry, error) {
	if t.err != nil {
		return nil, t.err
	}
	switch t.kind {
	case "monitor":
		return e.openMonitor(t, req, region)
	case "null":
		t.key = e.newKey()
	case "pipe":
		region = e.regionOfPipe(t.key, region)
	}
	if p := e.find(t.key); p != nil {
		return p, nil
	}
	p := &entry{Target: session.Target{Name: t.name, Region: region}, key: t.key, kind: t.kind}
	if err := e.open(p, t, req); err != nil {
		return nil, err
	}
	if other := e.ports[p.key]; other != nil { // names have been exchanged since they were looked up
		p.close()
		return other, nil
	}
	e.ports[p.key] = p
	return p, nil
}

// open makes the port of an entry.
func (e *Engine) open(p *entry, t target, req *abi.Register) (err error) {
	switch t.kind {
	case "null":
		p.Port, err = e.openNull(p.Name, req, p.Region)
	case "pipe":
		p.Port, err = e.openPipe(t, req, p.Region)
	case "vale":
		p.Port, err = e.openVale(t, req, p.Region)
	default:
		err = e.openNIC(p, req)
	}
	return err
}

// close ends the port of an entry.
func (p *entry) close() {
	p.Port.Close()
	if p.Dev != nil {
		p.Dev.Close()
	}
}

// drop closes a port that nobody uses any more.
func (e *Engine) drop(p *entry) {
	if p.active() || e.ports[p.key] != p {
		return
	}
	if p.device == nil {
		delete(e.ports, p.key)
		var sw *vale.Switch
		if v := p.valePort(); v != nil {
			sw = v.Switch()
		}
		p.close()
		if m, ok := p.Port.(*monitor.Port); ok {
			p.parent.monitors = slices.DeleteFunc(p.parent.monitors, func(o *monitor.Port) bool { return o == m })
		}
		e.prune(sw)
		e.leave(p.Region)
		e.dropParent(p.pipeOf)
	} else if p.pipesOf != nil && p.pipesOf.pipes == 0 {
		e.endParent(p.pipesOf)
	}
	if !slices.ContainsFunc(e.entries(), func(o *entry) bool { return o.active() && o.Region == e.region }) {
		e.region.Reset() // what clients hid or overwrote comes back
	}
}

// prune forgets a switch that has no ports left.
func (e *Engine) prune(s *vale.Switch) {
	if s != nil && len(s.Ports()) == 0 {
		delete(e.switches, s.Name())
	}
}

// report tells of what happened to a port by itself.
func (e *Engine) report(what event.Event) {
	if say := e.cfg.NIC.OnEvent; say != nil {
		say(what)
	}
}
