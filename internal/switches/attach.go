package switches

import (
	"errors"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/vale"
	"github.com/seed-48afdc40/netmap/portname"
)

// attachment is a device that is attached to a switch.
type attachment struct {
	*uplink
	inner *registry.Entry // the attached port; nil for a host stack
	host  *registry.Entry // the host stack of inner, if it is attached, too; otherwise nil
}

// attachmentOf returns the port as an attachment; nil for other ports and for a host stack.
func attachmentOf(p *registry.Entry) *attachment {
	if a, ok := p.Port.(*attachment); ok && a.inner != nil {
		return a
	}
	return nil
}

// Attach makes an interface, or a persistent port, a port of a switch.
func (s *Switches) Attach(name string, req abi.Register) (index int, err error) {
	err = registry.Patiently(registry.QueuePatience, registry.QueuePause,
		func() (again bool, err error) {
			index, err = s.tryAttach(name, req)
			return nic.WillBeFree(err), err
		})
	return index, err
}

// tryAttach is Attach without waiting.
func (s *Switches) tryAttach(name string, req abi.Register) (index int, err error) {
	_, device, _ := strings.Cut(name, ":")
	id, idErr := netdev.Find(device) // before the lock: the kernel may need long to answer
	s.reg.Lock()
	defer s.reg.Unlock()
	swName, err := s.checkAttach(name)
	if err != nil {
		return 0, err
	}
	region, err := s.reg.RegionFor(attachOp, name, req.MemID, nil)
	if err != nil {
		return 0, err
	}
	sw, err := s.switchFor(swName, name)
	if err != nil {
		return 0, err
	}
	defer s.prune(sw)
	wish := abi.Register{Mode: abi.RegAllNIC, HostTxRings: req.HostTxRings,
		HostRxRings: req.HostRxRings}
	inner, err := s.attachable(device, id, idErr, &wish, region)
	if err != nil {
		return 0, err
	}
	defer s.reg.Drop(inner)
	switch {
	case inner.Active():
		return 0, fault.New(syscall.EBUSY, attachOp, name,
			"%s is in use; close it, or detach it from the switch it is on", device)
	case req.RingID != 0 || req.Mode != abi.RegAllNIC && req.Mode != abi.RegNICSW:
		return 0, fault.New(syscall.EINVAL, attachOp, name,
			"mode %d, ring %d; all rings of an interface are attached, or "+
				"none", req.Mode, req.RingID)
	}
	if req.Mode == abi.RegNICSW {
		return s.attachBoth(sw, name, inner)
	}
	return s.attach(sw, name, inner)
}

// attachBoth makes an interface a port of the switch, and its host stack another port.
func (s *Switches) attachBoth(sw *vale.Switch, name string, inner *registry.Entry) (index int,
	err error) {
	o, ok := inner.Port.(port.HostOwner)
	if !ok {
		return 0, fault.New(syscall.EOPNOTSUPP, attachOp, name,
			"it has no host rings; attach it without its host stack (vale-ctl -a)")
	}
	if index, err = s.attach(sw, name, inner); err != nil {
		return 0, err
	}
	outer, hostName := inner.Owner, name+"^"
	a := attachmentOf(outer)
	u, err := newUplink(sw, hostName, o.Host())
	if err != nil {
		s.detach(outer, a)
		return 0, err
	}
	a.host = s.add(sw, hostName, &attachment{uplink: u}, inner)
	a.host.Owner, a.host.IsHost = outer, true
	a.host.Busy = func() string {
		return "it is the host stack of " + name +
			", attached to the switch; open another port of the switch, or detach it"
	}
	return index, nil
}

// add adds an attachment to the registry, as a port of the switch that programs cannot open.
func (s *Switches) add(sw *vale.Switch, name string, a *attachment,
	behind *registry.Entry) *registry.Entry {
	p := &registry.Entry{Target: session.Target{Name: name, Port: a, Region: behind.Region},
		Key: registry.Key{Name: name}, Kind: Kind, Behind: behind}
	p.OnClose(func() { s.prune(sw) })
	s.reg.Add(p)
	return p
}

const attachOp = "attach"

// checkAttach checks the conditions that do not depend on the interface.
func (s *Switches) checkAttach(name string) (sw string, err error) {
	switch {
	case s.reg.Closed:
		return "", fault.New(syscall.ENXIO, attachOp, name, "the engine is closed")
	case !portname.OnSwitch(name):
		return "", fault.New(syscall.EINVAL, attachOp, name, "want a name such as vale0:eth0")
	case s.reg.Find(registry.Key{Name: name}) != nil:
		return "", fault.New(syscall.EBUSY, attachOp, name, "the switch has a port of that name")
	}
	sw, _, err = splitName(attachOp, name)
	return sw, err
}

// attachable finds or opens the interface. The caller must drop the entry if it ends up unused.
func (s *Switches) attachable(name string, id netdev.ID, idErr error, req *abi.Register,
	region *mem.Region) (*registry.Entry, error) {
	if name == "" || portname.KindOf(name) != portname.Interface {
		return nil, fault.New(syscall.EINVAL, attachOp, name, "not the name of an interface")
	}
	p, err := (*registry.Entry)(nil), idErr
	if err == nil {
		p, err = s.cfg.OpenInterface(name, id, req, region)
	}
	if errors.Is(err, syscall.ENXIO) || errors.Is(err, syscall.ENODEV) {
		err = fault.New(syscall.EINVAL, attachOp, name,
			"there is no such interface in this network namespace")
	}
	return p, err
}

// attach makes a free port a port of the switch. A persistent port is a VALE port itself, and joins
// the switch directly. If it is on another switch, it is attached like an interface, and connects
// the two switches.
func (s *Switches) attach(sw *vale.Switch, name string, inner *registry.Entry) (int, error) {
	if d := persistentOf(inner); d != nil && d.Switch() == nil {
		return s.joinSwitch(sw, name, inner, d)
	}
	u, err := newUplink(sw, name, inner.Port)
	if err != nil {
		return 0, err
	}
	outer := s.add(sw, name, &attachment{uplink: u, inner: inner}, inner)
	outer.Held = true
	outer.Busy = func() string {
		return "it is " + inner.Title() +
			", attached to the switch; open another port of the switch, or detach it"
	}
	inner.Owner = outer
	inner.Busy = func() string { return "it is attached to a switch as " + name + "; detach it first" }
	return u.Member().Index(), nil
}

// Detach takes a port off its switch.
func (s *Switches) Detach(name string) (index int, err error) {
	behind := behindColon(name)
	s.reg.Lock()
	defer s.reg.Unlock()
	p, err := s.onSwitch("detach", name, behind)
	if err != nil {
		return 0, err
	}
	index = memberOf(p).Index()
	a := attachmentOf(p)
	switch {
	case p.Owner != nil:
		return 0, fault.New(syscall.EBUSY, "detach", name,
			"it belongs to %s, too; detach that first", p.Owner.Name)
	case p.Lasts:
		s.leaveSwitch(p, persistentOf(p))
		s.reg.Drop(p)
		return index, nil
	case a == nil:
		return 0, fault.New(syscall.EBUSY, "detach", name, "it is not attached but open; close it")
	case a.polling():
		return 0, fault.New(syscall.EBUSY, "detach", name, "it is polled; stop polling first")
	}
	s.detach(p, a)
	return index, nil
}

// behindColon finds the interface with the port's name, if there is one. It is called before the
// registry is locked.
func behindColon(name string) netdev.ID {
	_, device, _ := strings.Cut(name, ":")
	id, _ := netdev.Find(device) // if there is none, the port's own name is used
	return id
}

// onSwitch finds a port of a switch, by its name there or by another name of the attached
// interface. EINVAL for a name without "vale", ENXIO if there is no such port.
func (s *Switches) onSwitch(op, name string, behind netdev.ID) (*registry.Entry, error) {
	if !portname.OnSwitch(name) {
		return nil, fault.New(syscall.EINVAL, op, name, "want a name such as vale0:eth0")
	}
	if p := s.reg.Find(registry.Key{Name: name}); p != nil && memberOf(p) != nil {
		return p, nil
	}
	if p := s.attached(behind, name); p != nil {
		return p, nil
	}
	return nil, fault.New(syscall.ENXIO, op, name, "there is no such port")
}

// attached returns the port of an interface on the switch in name; nil if the interface is not
// attached to that switch.
func (s *Switches) attached(dev netdev.ID, name string) *registry.Entry {
	if dev == (netdev.ID{}) {
		return nil
	}
	p := s.reg.Find(registry.Key{Dev: dev})
	if p == nil {
		return nil
	}
	there := p.Alias // of a persistent port
	if p.Owner != nil {
		p = p.Owner
		there = p.Name
	}
	sw, _, _ := strings.Cut(name, ":")
	if !strings.HasPrefix(there, sw+":") {
		return nil
	}
	return p
}

func (s *Switches) detach(p *registry.Entry, a *attachment) {
	a.inner.Owner, a.inner.Busy = nil, nil
	p.Held = false
	if h := a.host; h != nil {
		a.host, h.Owner = nil, nil
		s.reg.Drop(h)
	}
	s.reg.Drop(p)
	s.reg.Drop(a.inner)
}

// Follow implements registry.Owner. The interface of a persistent port may have been moved to
// another network namespace. The port stays the same, and on the same switch.
func (s *Switches) Follow(p *registry.Entry) bool {
	d := persistentOf(p)
	return d != nil && d.device != nil && s.follow(p, d)
}

// Lost implements registry.Owner: an attached port leaves its switch.
func (s *Switches) Lost(p *registry.Entry) {
	if outer := p.Owner; outer != nil {
		s.reg.Report(event.Event{Kind: event.Detached, Port: outer.Name, Interface: p.Title()})
		s.detach(outer, attachmentOf(outer))
	}
	if d := persistentOf(p); d != nil && d.device != nil {
		s.endDevice(p, d)
	}
}
