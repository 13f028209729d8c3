// Package registry contains the ports of a framework, the keys by which they are found, and the
// regions. It is a package of its own because the engine and the switches both find, open and close
// ports.
package registry

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/session"
)

// Key identifies a port in the registry. Each kind uses some of the fields.
type Key struct {
	Dev    netdev.ID // an interface, also that of a persistent port
	Name   string    // the name of a port of a switch, or of a pipe's parent
	Pipe   string    // the id of a pipe
	Slave  bool      // the end of a pipe
	Number uint64    // the number of a port that no name finds
}

// Other returns the key of a pipe's other end.
func (k Key) Other() Key {
	k.Slave = !k.Slave
	return k
}

// OnSwitch reports whether the port is one of a switch.
func (k Key) OnSwitch() bool { return k.Name != "" && k.Pipe == "" }

// Joins returns a text that is equal for ports that exchange frames: the ports of a switch, or the
// two ends of a pipe.
func (k Key) Joins() string {
	switch {
	case k.Pipe != "":
		k.Slave = false
	case k.OnSwitch():
		sw, _, _ := strings.Cut(k.Name, ":")
		return sw
	}
	return fmt.Sprint(k)
}

// Entry is a port in the registry.
type Entry struct {
	session.Target
	Key       Key
	Kind      string        // for users
	Lasts     bool          // the port stays open when it is not in use
	Held      bool          // the framework itself uses the port
	Owner     *Entry        // the port of a switch to which this one belongs; nil if not attached
	Busy      func() string // returns why the port cannot be opened; nil if it can be
	Behind    *Entry        // the attached interface's port; nil if this port is not an attachment
	IsHost    bool          // the port's rings are the host rings of Behind
	Parent    *Entry        // the port that a monitor watches
	Watched   uint64        // number of monitors that the port has had
	HasParent bool          // a pipe whose parent is held
	Twin      port.Port     // the other end of a pipe
	Idle      func()        // called when a port that lasts is out of use; may be nil

	left   []*func() // called when the last session has ended
	closed []func()  // called when the port is closed
	ended  bool      // the interface is gone, and the port has left its switch
}

// OnLeft registers f to be called after the end of the port's last session. forget removes f.
func (p *Entry) OnLeft(f func()) (forget func()) {
	p.left = append(p.left, &f)
	return func() { p.left = slices.DeleteFunc(p.left, func(o *func()) bool { return o == &f }) }
}

// Leave calls the functions of OnLeft.
func (p *Entry) Leave() {
	for _, f := range p.left {
		(*f)()
	}
	p.left = nil
}

// OnClose registers f to be called after the port was closed.
func (p *Entry) OnClose(f func()) { p.closed = append(p.closed, f) }

// Active reports whether the port is in use.
func (p *Entry) Active() bool { return len(p.Sessions) > 0 || p.Owner != nil || p.Held }

// Hidden reports whether the status leaves the port out: the port of the switch shows its rings.
func (p *Entry) Hidden() bool { return p.Owner != nil && !p.IsHost && p.Alias == "" }

// Free returns EBUSY if the port cannot be opened.
func (p *Entry) Free() error {
	if p.Busy == nil {
		return nil
	}
	return fault.New(syscall.EBUSY, "open", p.Title(), "%s", p.Busy())
}

// Close ends a port that is not in the registry.
func (p *Entry) Close() {
	p.Port.Close()
	if p.Dev != nil {
		p.Dev.Close()
	}
}

// Owner is told of interfaces that are gone.
type Owner interface {
	// Follow looks for the interface of a port in the namespace to which it was moved, and reports
	// whether it found the interface.
	Follow(*Entry) bool
	// Lost ends the use of an interface that is gone.
	Lost(*Entry)
}

// Registry contains a framework's ports and regions. Code that opens, closes or describes ports
// holds its lock. Syncs do not need the lock.
type Registry struct {
	sync.Mutex
	Closed bool // no port can be opened any more

	owner   Owner
	onEvent func(event.Event)
	region  *mem.Region
	foreign map[uint16]*foreign // by number
	ports   map[Key]*Entry
	unnamed uint64 // number of ports without a name so far
}

// New returns an empty registry with a region of its own. Errors are those of mem.New. onEvent is
// called for each event, unless it is nil.
func New(cfg mem.Config, onEvent func(event.Event)) (*Registry, error) {
	region, err := mem.New(1, cfg)
	if err != nil {
		return nil, err
	}
	return &Registry{onEvent: onEvent, region: region, foreign: map[uint16]*foreign{},
		ports: map[Key]*Entry{}}, nil
}

// SetOwner sets the Owner.
func (r *Registry) SetOwner(o Owner) { r.owner = o }

// Report reports an event of a port.
func (r *Registry) Report(what event.Event) {
	if r.onEvent != nil {
		r.onEvent(what)
	}
}

// Entries returns all ports, each once.
func (r *Registry) Entries() []*Entry {
	var all []*Entry
	for key, p := range r.ports {
		if key == p.Key {
			all = append(all, p)
		}
	}
	return all
}

// NewKey returns a key for a port that has no name.
func (r *Registry) NewKey() Key {
	r.unnamed++
	return Key{Number: r.unnamed}
}

// At returns the port with that key, nil if there is none. Its interface may be gone.
func (r *Registry) At(k Key) *Entry { return r.ports[k] }

// Find returns the port with that key, nil if there is none. It first ends ports whose interfaces
// are gone.
func (r *Registry) Find(k Key) *Entry {
	if p := r.ports[k]; p != nil {
		r.EndIfGone(p)
	} else if k.Dev != (netdev.ID{}) {
		r.EndAllGone() // a persistent port may have come from another network namespace
	}
	return r.ports[k]
}

// Add adds a port under its key.
func (r *Registry) Add(p *Entry) { r.ports[p.Key] = p }

// Name adds a port under a key. Another port may have that key, if a program opened the interface
// of a persistent port before the port was added. The other port stays open, but no name finds it
// any more.
func (r *Registry) Name(p *Entry, k Key) {
	if other := r.ports[k]; other != nil {
		other.Key = r.NewKey()
		r.ports[other.Key] = other
	}
	p.Key = k
	r.ports[k] = p
}

// AddAlias gives a port a second name.
func (r *Registry) AddAlias(p *Entry, name string) {
	p.Alias = name
	r.ports[Key{Name: name}] = p
}

// RemoveAlias removes the second name of a port, if it has one.
func (r *Registry) RemoveAlias(p *Entry) {
	if p.Alias != "" {
		delete(r.ports, Key{Name: p.Alias})
		p.Alias = ""
	}
}

// OnSwitches returns the ports of all switches by the names that they have there.
func (r *Registry) OnSwitches() map[string]*Entry {
	all := map[string]*Entry{}
	for k, p := range r.ports {
		if k.OnSwitch() {
			all[k.Name] = p
		}
	}
	return all
}

// Drop closes a port that is not in use.
func (r *Registry) Drop(p *Entry) {
	if p.Active() || r.ports[p.Key] != p {
		return
	}
	if !p.Lasts {
		delete(r.ports, p.Key)
		p.Close()
		for _, f := range p.closed {
			f()
		}
		r.Leave(p.Region)
	} else if p.Idle != nil {
		p.Idle()
	}
	if !slices.ContainsFunc(r.Entries(),
		func(o *Entry) bool { return o.Active() && o.Region == r.region }) {
		r.region.Reset() // restores what clients took or overwrote
	}
}
