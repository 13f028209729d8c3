package switches

import (
	"syscall"
	"time"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/ns"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

const (
	newIfOp = "make persistent port"
	delIfOp = "delete persistent port"
)

// NewIf makes a persistent port and its interface.
func (s *Switches) NewIf(name string, user uint32, req abi.ValeNewIf) (abi.ValeNewIf, error) {
	if !isInterface(name) || len(name) >= abi.IfNameSize {
		return req, fault.New(syscall.EINVAL, newIfOp, name,
			"want a name for an interface, of at most %d characters, and not starting with "+
				"\"vale\"", abi.IfNameSize-1)
	}
	s.reg.Lock()
	err := s.takeShare(name, user)
	s.reg.Unlock()
	if err != nil {
		return req, err
	}
	return req, s.makePersistent(name, user, nil, &req)
}

// persistent is a VALE port that exists without users, and that the host sees as an interface.
type persistent struct {
	*vale.Port
	device  *tap.Interface // the interface; nil after it has ended
	user    uint32         // the user for whom it was made
	pipesOf *parent        // the parent of pipes for which it was made; nil for NewIf
}

// persistentOf returns the port if it is, or was, a persistent one; otherwise nil.
func persistentOf(p *registry.Entry) *persistent {
	d, _ := p.Port.(*persistent)
	return d
}

// makePersistent makes a persistent port, for which the user's share has been taken.
func (s *Switches) makePersistent(name string, user uint32, pipesOf *parent,
	req *abi.ValeNewIf) error {
	d := &persistent{user: user, pipesOf: pipesOf}
	p := &registry.Entry{Target: session.Target{Name: name}, Kind: Kind, Lasts: true}
	var err error
	if d.device, p.Dev, err = newDevice(name); err == nil { // slow
		if pipesOf != nil {
			withoutAddress(p.Dev.Index)
		}
		err = s.addPersistent(p, d, req)
	}
	if err != nil {
		s.giveBackShare(user)
	}
	return err
}

// newDevice makes the interface of a persistent port, in the calling thread's network namespace.
func newDevice(name string) (*tap.Interface, *netdev.Device, error) {
	device, err := tap.New(name)
	if err != nil {
		return nil, nil, err
	}
	id, err := netdev.Find(device.Name())
	var dev *netdev.Device
	if err == nil {
		dev, err = netdev.Open(id.Index)
	}
	if err != nil {
		device.Close()
		return nil, nil, fault.Wrap(err, newIfOp, name, "needs CAP_NET_RAW")
	}
	return device, dev, nil
}

// addPersistent makes the port of a new interface, and adds the entry to the registry. On errors it
// removes the interface.
func (s *Switches) addPersistent(p *registry.Entry, d *persistent, req *abi.ValeNewIf) (err error) {
	defer func() {
		if err != nil {
			d.device.Close()
			p.Dev.Close()
		}
	}()
	s.reg.Lock()
	defer s.reg.Unlock()
	if s.reg.Closed {
		return fault.New(syscall.ENXIO, newIfOp, p.Name, "the engine is closed")
	}
	s.reg.EndAllGone()
	if p.Region, err = s.reg.RegionFor(newIfOp, p.Name, req.MemID, nil); err != nil {
		return err
	}
	wish := port.Shape{TxRings: req.TxRings, RxRings: req.RxRings, TxSlots: req.TxSlots,
		RxSlots: req.RxSlots}
	if d.Port, err = vale.NewPort(p.Region, p.Name, clamped(wish)); err != nil {
		return err
	}
	p.Port = d
	if d.pipesOf != nil {
		d.pipesOf.port = p
		p.Idle = func() { s.endIdleParent(d.pipesOf) }
	}
	s.reg.Name(p, registry.Key{Dev: p.Dev.ID})
	is := port.ShapeOf(d)
	req.TxRings, req.RxRings, req.TxSlots, req.RxSlots = is.TxRings, is.RxRings, is.TxSlots, is.RxSlots
	req.MemID = p.Region.ID()
	return nil
}

// exitPatience is how long DelIf waits for programs to close the port: they are often about to
// exit.
const exitPatience = 300 * time.Millisecond

// DelIf deletes a persistent port and its interface.
func (s *Switches) DelIf(name string) error {
	return registry.Patiently(exitPatience, 5*time.Millisecond,
		func() (bool, error) { return s.tryDelIf(name) })
}

// tryDelIf is DelIf without waiting. It reports whether the port is open.
func (s *Switches) tryDelIf(name string) (open bool, err error) {
	id, err := netdev.Find(name)
	if err != nil {
		return false, registry.NoInterface(delIfOp, name, err)
	}
	var device *tap.Interface
	defer func() {
		if device != nil {
			device.Close() // slow: without the lock
		}
	}()
	s.reg.Lock()
	defer s.reg.Unlock()
	s.reg.EndAllGone()
	p := s.reg.At(registry.Key{Dev: id})
	if p == nil || !p.Lasts {
		return false, fault.New(syscall.EINVAL, delIfOp, name,
			"the interface is not a persistent port")
	}
	d := persistentOf(p)
	switch {
	case p.Alias != "":
		return false, fault.New(syscall.EBUSY, delIfOp, name,
			"it is attached to a switch as %s; detach it first", p.Alias)
	case d.pipesOf != nil && d.pipesOf.pipes > 0:
		return true, fault.New(syscall.EBUSY, delIfOp, name,
			"it is the parent of pipes, and goes with the last")
	case len(p.Sessions) > 0:
		return true, fault.New(syscall.EBUSY, delIfOp, name, "somebody has it open")
	case p.Owner != nil:
		return false, fault.New(syscall.EBUSY, delIfOp, name,
			"it is attached to a switch as %s; detach it first", p.Owner.Name)
	}
	device = s.takeDevice(p, d)
	s.reg.Drop(p)
	return false, nil
}

// takeDevice makes a persistent port an ordinary one, and returns the interface. The caller must
// close the interface.
func (s *Switches) takeDevice(p *registry.Entry, d *persistent) *tap.Interface {
	device := d.device
	d.device, p.Lasts = nil, false
	s.returnShare(d.user)
	if d.pipesOf != nil {
		d.pipesOf.port = nil
	}
	return device
}

// endDevice takes a persistent port off its switch, and removes its interface.
func (s *Switches) endDevice(p *registry.Entry, d *persistent) {
	s.leaveSwitch(p, d)
	s.takeDevice(p, d).Close()
}

// joinSwitch puts a persistent port on a switch, where it has a second name.
func (s *Switches) joinSwitch(sw *vale.Switch, name string, p *registry.Entry,
	d *persistent) (index int, err error) {
	if err := sw.Join(d.Port); err != nil {
		return 0, err
	}
	s.reg.AddAlias(p, name)
	return d.Index(), nil
}

// leaveSwitch undoes joinSwitch. Programs that have the port open keep it.
func (s *Switches) leaveSwitch(p *registry.Entry, d *persistent) {
	sw := d.Switch()
	d.Leave()
	s.prune(sw)
	s.reg.RemoveAlias(p)
}

// follow finds the interface of a persistent port in the network namespace to which it was moved.
func (s *Switches) follow(p *registry.Entry, d *persistent) bool {
	fd, err := d.device.NetNS()
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var dev *netdev.Device
	err = ns.Do(netns.NsHandle(fd), p.Name, func() error {
		name, err := d.device.NameNow()
		if err != nil {
			return err
		}
		id, err := netdev.Find(name)
		if err != nil {
			return err
		}
		dev, err = netdev.Open(id.Index)
		return err
	})
	if err != nil {
		return false
	}
	p.Dev.Close()
	p.Dev = dev
	s.reg.Moved(p, registry.Key{Dev: dev.ID})
	return true
}
