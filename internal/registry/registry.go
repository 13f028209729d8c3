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
	Dev    netdev.ID // an interface, or a persistent port, of which the host sees an interface
	Name   string    // a port of a switch; of a pipe, the parent
	Pipe   string    // of a pipe, its id
	Slave  bool      // of a pipe, its end
	Number uint64    // a port that nobody finds by a name
}

// Other returns the key of a pipe's other end.
func (k Key) Other() Key {
	k.Slave = !k.Slave
	return k
}

// OnSwitch reports whether the port is one of a switch.
func (k Key) OnSwitch() bool { return k.Name != "" && k.Pipe == "" }

// Joins returns the same text for ports that exchange frames: those of a switch, the ends of a
// pipe.
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
	Lasts     bool          // the port stays when nobody uses it
	Held      bool          // somebody in the framework uses it
	Owner     *Entry        // the port that has this one for itself, nil when it is free
	Busy      func() string // why nobody can open the port; nil when it can be opened
	Behind    *Entry        // the port whose interface is behind this one; nil is itself
	IsHost    bool          // its rings are the host rings of that interface
	Parent    *Entry        // of a monitor
	Watched   uint64        // monitors of the port so far
	HasParent bool          // of a pipe: its parent is held
	Twin      port.Port     // of a pipe, the other end
	Idle      func()        // what follows when nobody uses a port that lasts; nil for nothing

	left   []*func() // what follows when the last session has ended
	closed []func()  // what follows when the port is closed
	ended  bool      // the interface is gone, and what follows from it is done
}

// OnLeft registers f to be called after the end of the port's last session. forget undoes that.
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

// Hidden reports whether the port's rings are shown as those of the port of a switch.
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

// Owner is called for interfaces that are gone.
type Owner interface {
	// Follow finds the interface of a port where it was moved to, and reports whether it did.
	Follow(*Entry) bool
	// Lost ends the use of an interface that is gone.
	Lost(*Entry)
}

// Registry contains a framework's ports and regions. Whoever opens, closes or describes ports holds
// its lock. Syncs do not need it.
type Registry struct {
	sync.Mutex
	Closed bool // nothing is opened any more

	owner   Owner
	onEvent func(event.Event)
	region  *mem.Region
	foreign map[uint16]*foreign // by number
	ports   map[Key]*Entry
	unnamed uint64 // ports so far that no name finds
}

// New is an empty registry with a region of its own. Errors are those of mem.New. Events are told
// to onEvent, unless it is nil.
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
// of a persistent port before the port was added. It stays open, but no name finds it any more.
func (r *Registry) Name(p *Entry, k Key) {
	if other := r.ports[k]; other != nil {
		other.Key = r.NewKey()
		r.ports[other.Key] = other
	}
	p.Key = k
	r.ports[k] = p
}

// AddAlias gives a port a second name. RemoveAlias undoes that.
func (r *Registry) AddAlias(p *Entry, name string) {
	p.Alias = name
	r.ports[Key{Name: name}] = p
}

// RemoveAlias removes the second name, if there is one.
func (r *Registry) RemoveAlias(p *Entry) {
	if p.Alias != "" {
		delete(r.ports, Key{Name: p.Alias})
		p.Alias = ""
	}
}

// OnSwitches returns the ports with a name on a switch, by that name.
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
		r.region.Reset() // what clients hid or overwrote comes back
	}
}
