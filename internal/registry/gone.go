package registry

import "github.com/seed-48afdc40/netmap/internal/port"

// Gone reports whether the interface of the port has been deleted or moved to another network
// namespace.
func (p *Entry) Gone() bool { return p.ended || p.Dev != nil && p.Dev.Gone() }

// EndIfGone ends a port if its interface is gone. For a port of a switch, it checks the attached
// interface.
//
// The port leaves its switch, and no name finds it any more. Programs that have it open keep it
// until they close it. A new interface of the same name is another port, which is not attached.
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

// InterfaceGone is called when an interface may be gone. It takes the lock.
func (r *Registry) InterfaceGone() {
	r.Lock()
	defer r.Unlock()
	if !r.Closed {
		r.EndAllGone()
	}
}

// Moved changes the key of a port whose interface is in another network namespace now.
func (r *Registry) Moved(p *Entry, k Key) {
	delete(r.ports, p.Key)
	r.Name(p, k)
}
