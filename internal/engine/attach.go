package engine

import (
	"errors"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/uplink"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

// valePort is what the port is on its switch, nil for one that is on none by its kind.
func (p *entry) valePort() *vale.Port {
	switch v := p.Port.(type) {
	case *vale.Port:
		return v
	case *uplink.Uplink:
		return v.Port()
	}
	return nil
}

// free says EBUSY for a port that an attachment has for itself.
func (p *entry) free() error {
	if p.owner != nil && p.owner.host == p {
		return fault.New(syscall.EBUSY, "open", p.Title(),
			"it is the host stack of %s, attached to the switch; open another port of the "+
				"switch, or detach it", p.owner.Name)
	}
	if p.owner != nil {
		return fault.New(syscall.EBUSY, "open", p.Title(),
			"it is attached to a switch as %s; detach it first", p.owner.Name)
	}
	if p.inner != nil {
		return fault.New(syscall.EBUSY, "open", p.Title(),
			"it is %s, attached to the switch; open another port of the switch, or detach "+
				"it", p.inner.Title())
	}
	return nil
}

// Attach makes the interface vale…:NAME of the calling thread's network namespace a port of the switch, and returns the
// port's index. With NR_REG_NIC_SW the interface's host stack becomes another port, vale…:NAME^, which goes with the first.
// Errors: EINVAL for a name without "vale", one of no interface, and rings other than all; ENOMEM for other bad names, and when
// there are no more switches or ports; EBUSY when the interface is in use or the name taken; EOPNOTSUPP for the host stack of
// what has none.
// (NETMAP_REQ_VALE_ATTACH)
func (e *Engine) Attach(name string, req abi.Register) (index int, err error) {
	err = patiently(queuePatience, queuePause, func() (again bool, err error) {
		index, err = e.tryAttach(name, req)
		return nic.WillBeFree(err), err
	})
	return index, err
}

// tryAttach is Attach without patience.
func (e *Engine) tryAttach(name string, req abi.Register) (index int, err error) {
	_, device, _ := strings.Cut(name, ":")
	wish := abi.Register{Mode: abi.RegAllNIC, HostTxRings: req.HostTxRings, HostRxRings: req.HostRxRings}
	t := targetOf(device, &wish)
	e.mu.Lock()
	defer e.mu.Unlock()
	swName, err := e.checkAttach(name)
	if err != nil {
		return 0, err
	}
	w, err := e.regionWish(attachOp, name, req.MemID, nil)
	if err != nil {
		return 0, err
	}
	sw, err := e.switchFor(swName, name)
	if err != nil {
		return 0, err
	}
	defer e.prune(sw)
	inner, err := e.attachable(t, &wish, w.region)
	if err != nil {
		return 0, err
	}
	defer e.drop(inner)
	switch {
	case len(inner.Sessions) > 0 || inner.owner != nil:
		return 0, fault.New(syscall.EBUSY, attachOp, name,
			"%s is in use; close it, or detach it from the switch it is on", device)
	case req.RingID != 0 || req.Mode != abi.RegAllNIC && req.Mode != abi.RegNICSW:
		return 0, fault.New(syscall.EINVAL, attachOp, name, "mode %d, ring %d; all rings of an interface are attached, or none", req.Mode, req.RingID)
	}
	if req.Mode == abi.RegNICSW {
		return e.attachBoth(sw, name, inner)
	}
	return e.attach(sw, name, inner)
}

// attachBoth makes an interface one port of the switch, and its host stack another.
func (e *Engine) attachBoth(sw *vale.Switch, name string, inner *entry) (index int, err error) {
	n, ok := inner.Port.(*netIf)
	if !ok {
		return 0, fault.New(syscall.EOPNOTSUPP, attachOp, name, "it has no host rings; attach it without its host stack (vale-ctl -a)")
	}
	if index, err = e.attach(sw, name, inner); err != nil {
		return 0, err
	}
	outer, hostName := inner.owner, name+"^"
	u, err := uplink.Attach(sw, hostName, n.host)
	if err != nil {
		e.detach(outer)
		return 0, err
	}
	outer.host = &entry{Target: session.Target{Name: hostName, Port: u, Region: inner.Region}, key: key{name: hostName}, kind: "vale", owner: outer}
	e.ports[outer.host.key] = outer.host
	return index, nil
}

const attachOp = "attach"

// checkAttach is what can be said of a request before looking at the interface.
func (e *Engine) checkAttach(name string) (sw string, err error) {
	switch {
	case e.closed:
		return "", fault.New(syscall.ENXIO, attachOp, name, "the engine is closed")
	case !strings.HasPrefix(name, valePrefix):
		return "", fault.New(syscall.EINVAL, attachOp, name, "want a name such as vale0:eth0")
	case e.find(key{name: name}) != nil:
		return "", fault.New(syscall.EBUSY, attachOp, name, "the switch has a port of that name")
	}
	sw, _, err = splitValeName(attachOp, name)
	return sw, err
}

// attachable finds the interface that is meant, or opens it. The caller drops it if it ends up
// unused.
func (e *Engine) attachable(t target, req *abi.Register, region *mem.Region) (*entry, error) {
	if t.kind != "nic" || t.name == "" {
		return nil, fault.New(syscall.EINVAL, attachOp, t.name, "not the name of an interface")
	}
	p, err := e.lookup(t, req, region)
	if errors.Is(err, syscall.ENXIO) {
		err = fault.New(syscall.EINVAL, attachOp, t.name,
			"there is no such interface in this network namespace")
	}
	return p, err
}

// attach makes a free port one of the switch. A persistent port is one already, but one that is on another switch has to
// be wrapped as an interface is: it joins the two switches then.
func (e *Engine) attach(sw *vale.Switch, name string, inner *entry) (int, error) {
	if v, ok := inner.Port.(*vale.Port); ok && v.Switch() == nil {
		return e.joinSwitch(sw, name, inner, v)
	}
	u, err := uplink.Attach(sw, name, inner.Port)
	if err != nil {
		return 0, err
	}
	outer := &entry{Target: session.Target{Name: name, Port: u, Region: inner.Region}, key: key{name: name}, kind: "vale", inner: inner}
	inner.owner = outer
	e.ports[outer.key] = outer
	return u.Port().Index(), nil
}

// Detach takes an interface off its switch and returns the index that it had. Errors: EINVAL for a name without "vale",
// ENXIO for one of no port, EBUSY while the port is polled or attached to another switch as well, and for a port that is no
// interface: it goes when it is closed.
// // NETMAP_REQ_VALE_DETACH
func (e *Engine) Detach(name string) (index int, err error) {
	behind := behindColon(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.onSwitch("detach", name, behind)
	if err != nil {
		return 0, err
	}
	index = p.valePort().Index()
	u, ok := p.Port.(*uplink.Uplink)
	switch {
	case p.owner != nil:
		return 0, fault.New(syscall.EBUSY, "detach", name, "it belongs to %s, too; detach that first", p.owner.Name)
	case p.device != nil:
		e.leaveSwitch(p)
		e.drop(p)
		return index, nil
	case !ok:
		return 0, fault.New(syscall.EBUSY, "detach", name, "it is not attached but open; close it")
	case u.Polling():
		return 0, fault.New(syscall.EBUSY, "detach", name, "it is polled; stop polling first")
	}
	e.detach(p)
	return index, nil
}

// behindColon is the interface that a switch's port is named after, none if there is none. It is looked
// up before the engine is locked.
func behindColon(name string) netdev.ID {
	_, device, _ := strings.Cut(name, ":")
	id, _ := netdev.Find(device) // without one, the port's own name has to do
	return id
}

// onSwitch finds a port of a switch, by the name that it has there or by another name of the interface
// behind it. EINVAL for a name without "vale", ENXIO when there is none.
func (e *Engine) onSwitch(op, name string, behind netdev.ID) (*entry, error) {
	if !strings.HasPrefix(name, valePrefix) {
		return nil, fault.New(syscall.EINVAL, op, name, "want a name such as vale0:eth0")
	}
	if p := e.find(key{name: name}); p != nil && p.valePort() != nil {
		return p, nil
	}
	if p := e.attached(behind, name); p != nil {
		return p, nil
	}
	return nil, fault.New(syscall.ENXIO, op, name, "there is no such port")
}

// attached is what an interface is on the switch of a port's name, nil if it is not there.
func (e *Engine) attached(dev netdev.ID, name string) *entry {
	if dev == (netdev.ID{}) {
		return nil
	}
	p := e.find(key{dev: dev})
	if p == nil {
		return nil
	}
	there := p.Alias // of a persistent port
	if p.owner != nil {
		p = p.owner
		there = p.Name
	}
	sw, _, _ := strings.Cut(name, ":")
	if !strings.HasPrefix(there, sw+":") {
		return nil
	}
	return p
}

func (e *Engine) detach(p *entry) {
	inner := p.inner
	p.inner, inner.owner = nil, nil
	if h := p.host; h != nil {
		p.host, h.owner = nil, nil
		e.drop(h)
	}
	e.drop(p)
	e.drop(inner)
}

// detachAll ends all attachments.
func (e *Engine) detachAll() {
	for _, p := range e.entries() {
		if p.inner != nil {
			e.detach(p)
		}
	}
}
