package engine

import (
	"strings"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

const (
	newIfOp = "make persistent port"
	delIfOp = "delete persistent port"
)

// NewIf makes a VALE port that stays until DelIf, with an interface of that name in the calling
// thread's network namespace. It is on no switch until Attach puts it on one, and open to programs
// under its own name and under that of the port on the switch. The answer says how many rings and
// slots there are. Errors: EINVAL for a name that has "vale" in front, is too long or no
// interface's, and for unknown memory; EEXIST; EPERM; EMFILE when the user has as many as he may
// (NETMAP_REQ_VALE_NEWIF).
func (e *Engine) NewIf(name string, user uint32, req abi.ValeNewIf) (abi.ValeNewIf, error) {
	if name == "" || len(name) >= abi.IfNameSize || strings.HasPrefix(name, valePrefix) || strings.ContainsAny(name, "{}%") {
		return req, fault.New(syscall.EINVAL, newIfOp, name, "want a name for an interface, of at most %d characters, and not starting with %q", abi.IfNameSize-1, valePrefix)
	}
	e.mu.Lock()
	err := e.takeShare(name, user)
	e.mu.Unlock()
	if err != nil {
		return req, err
	}
	p := &entry{Target: session.Target{Name: name}, kind: "vale", user: user}
	if p.device, p.Dev, err = newDevice(name); err == nil { // which takes its time
		err = e.addPersistent(p, &req)
	}
	if err != nil {
		e.giveBackShare(user)
	}
	return req, err
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

// addPersistent gives the entry of an interface that was just made its port, and puts it into the
// registry. On errors the interface goes.
func (e *Engine) addPersistent(p *entry, req *abi.ValeNewIf) (err error) {
	defer func() {
		if err != nil {
			p.device.Close()
			p.Dev.Close()
		}
	}()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return fault.New(syscall.ENXIO, newIfOp, p.Name, "the engine is closed")
	}
	e.buryAll()
	w, err := e.regionWish(newIfOp, p.Name, req.MemID, nil)
	if err != nil {
		return err
	}
	wish := abi.Register{TxRings: req.TxRings, RxRings: req.RxRings, TxSlots: req.TxSlots, RxSlots: req.RxSlots}
	clampVale(&wish)
	v, err := vale.NewPort(w.region, p.Name, wishOf(&wish))
	if err != nil {
		return err
	}
	p.Port, p.Region = v, w.region
	e.name(p, key{dev: p.Dev.ID})
	if p.pipesOf != nil {
		p.pipesOf.port = p
	}
	is := port.ShapeOf(v)
	req.TxRings, req.RxRings, req.TxSlots, req.RxSlots = is.TxRings, is.RxRings, is.TxSlots, is.RxSlots
	req.MemID = w.region.ID()
	return nil
}

// exitPatience is how long DelIf waits for those who have the port open. Whoever asks often does so because they are just
// ending, and an exit takes a moment.
const exitPatience = 300 * time.Millisecond

// DelIf ends what NewIf began. Errors: ENXIO when there is no such interface, EINVAL when it is another's, EBUSY when the
// port is on a switch, or open and stays so for a while. // NETMAP_REQ_VALE_DELIF
func (e *Engine) DelIf(name string) error {
	return patiently(exitPatience, 5*time.Millisecond, func() (bool, error) { return e.tryDelIf(name) })
}

// patiently tries again for a while, with pauses in which no lock is held, as long as try says that
// this may help.
func patiently(patience, pause time.Duration, try func() (again bool, err error)) error {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		if again, err := try(); !again || time.Now().After(end) {
			return err
		}
	}
}

// tryDelIf is DelIf without patience. It says whether the port is open.
func (e *Engine) tryDelIf(name string) (open bool, err error) {
	id, err := netdev.Find(name)
	if err != nil {
		return false, noInterface(delIfOp, name, err)
	}
	var device *tap.Interface
	defer func() {
		if device != nil {
			device.Close() // which takes its time
		}
	}()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.buryAll()
	p := e.ports[key{dev: id}]
	switch {
	case p == nil || p.device == nil:
		return false, fault.New(syscall.EINVAL, delIfOp, name,
			"the interface is not a persistent port")
	case p.Alias != "":
		return false, fault.New(syscall.EBUSY, delIfOp, name, "it is attached to a switch as %s; detach it first", p.Alias)
	case p.pipesOf != nil && p.pipesOf.pipes > 0:
		return true, fault.New(syscall.EBUSY, delIfOp, name,
			"it is the parent of pipes, and goes with the last")
	case len(p.Sessions) > 0:
		return true, fault.New(syscall.EBUSY, delIfOp, name, "somebody has it open")
	case p.owner != nil:
		return false, fault.New(syscall.EBUSY, delIfOp, name, "it is attached to a switch as %s; detach it first", p.owner.Name)
	}
	device = e.takeDevice(p)
	e.drop(p)
	return false, nil
}

// takeDevice takes what the host sees of it away from a persistent port, which is an ordinary port
// then. The caller closes it.
func (e *Engine) takeDevice(p *entry) *tap.Interface {
	device := p.device
	p.device = nil
	e.returnShare(p.user)
	if p.pipesOf != nil {
		p.pipesOf.port = nil
	}
	return device
}

// endDevice takes it away for good, and the port off its switch.
func (e *Engine) endDevice(p *entry) {
	e.leaveSwitch(p)
	e.takeDevice(p).Close()
}

// delIfs ends all persistent ports, which nobody uses any more.
func (e *Engine) delIfs() {
	for _, p := range e.entries() {
		if p.device != nil {
			e.endDevice(p)
			e.drop(p)
		}
	}
}

// joinSwitch puts a persistent port on a switch, where it has a second name.
func (e *Engine) joinSwitch(sw *vale.Switch, name string, p *entry, v *vale.Port) (index int, err error) {
	if err := sw.Join(v); err != nil {
		return 0, err
	}
	p.Alias = name
	e.ports[key{name: name}] = p
	return v.Index(), nil
}

// leaveSwitch is the inverse. Those who have the port open keep it.
func (e *Engine) leaveSwitch(p *entry) {
	v := p.valePort()
	sw := v.Switch()
	v.Leave()
	e.prune(sw)
	if p.Alias != "" {
		delete(e.ports, key{name: p.Alias})
		p.Alias = ""
	}
}
