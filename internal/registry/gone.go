package registry

import "github.com/seed-48afdc40/netmap/internal/port"

// Gone reports whether the interface of the port has been deleted or moved to another network
// namespace.
func (p *Entry) Gone() bool { return p.ended || p.Dev != nil && p.Dev.Gone() }

// EndIfGone ends a port whose interface is gone, or that of what is attached as the port.
//
// It leaves its switch, whose name is free again for who comes next: what that is, and whether it
// is to be attached, is for whoever attaches it to decide. Programs that have the port open keep it
// until they close it; no name finds it any more.
func (r *Registry) EndIfGone(p *Entry) {
	if p.Behind != nil {
		p = p.Behind
	}
	if p.ended || !p.Gone() || r.owner.Follow(p) {
		return
	}
	p.ended = true
	if a, ok := p.Port.(port.Abandoner); ok {
		a.Abandon()
	}
	r.owner.Lost(p)
	if r.ports[p.Key] == p {
		delete(r.ports, p.Key)
		r.Name(p, r.NewKey())
	}
	r.Drop(p)
}

// EndAllGone ends all ports whose interfaces are gone.
func (r *Registry) EndAllGone() {
	for _, p := range r.Entries() {
		r.EndIfGone(p)
	}
}

// InterfaceGone is told when an interface may be gone. It takes the lock.
func (r *Registry) InterfaceGone() {
	r.Lock()
	defer r.Unlock()
	if !r.Closed {
		r.EndAllGone()
	}
}

// Moved has a port found by the interface that it is elsewhere.
func (r *Registry) Moved(p *Entry, k Key) {
	delete(r.ports, p.Key)
	r.Name(p, k)
}
