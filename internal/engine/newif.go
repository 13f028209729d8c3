package engine

import (
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

const (
	newIfOp = "make persistent port"
	delIfOp = "delete persistent port"
)

// NewIf makes a VALE port that stays until DelIf, with an interface of that name in the calling thread's network namespace.
// It is on no switch until Attach puts it on one, and open to programs under its own name and under that of the port on the
// switch. The answer says how many rings and slots there are. Errors: EINVAL for a name that has "vale" in front, is too
// long or no interface's, and for unknown memory; EEXIST; EPERM. // NETMAP_REQ_VALE_NEWIF
func (e *Engine) NewIf(name string, req abi.ValeNewIf) (abi.ValeNewIf, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.closed:
		return req, fault.New(syscall.ENXIO, newIfOp, name, "the engine is closed")
	case name == "" || len(name) >= abi.IfNameSize || strings.HasPrefix(name, valePrefix) || strings.ContainsAny(name, "{}%"):
		return req, fault.New(syscall.EINVAL, newIfOp, name, "want a name for an interface, of at most %d characters, and not starting with %q", abi.IfNameSize-1, valePrefix)
	}
	key, err := nicKey(name)
	if err != nil {
		return req, err
	}
	if p := e.ports[key]; p != nil && p.device != nil && p.device.Gone() && !p.active() && p.alias == "" {
		e.delIf(p)
	}
	if e.ports[key] != nil {
		return req, fault.New(syscall.EEXIST, newIfOp, name, "there is a port of that name; choose another")
	}
	device, err := tap.New(name)
	if err != nil {
		return req, err
	}
	w, err := e.regionWish(newIfOp, name, req.MemID, nil)
	if err != nil {
		device.Close()
		return req, err
	}
	wish := abi.Register{TxRings: req.TxRings, RxRings: req.RxRings, TxSlots: req.TxSlots, RxSlots: req.RxSlots}
	clampVale(&wish)
	p, err := vale.NewPort(w.region, name, wish.TxRings, wish.RxRings, wish.TxSlots, wish.RxSlots)
	if err != nil {
		device.Close()
		return req, err
	}
	e.ports[key] = &entry{name: name, key: key, kind: "vale", port: p, region: w.region, device: device}
	req.TxRings, req.TxSlots = shape(p.Rings(abi.DirTx))
	req.RxRings, req.RxSlots = shape(p.Rings(abi.DirRx))
	req.MemID = w.region.ID()
	return req, nil
}

// exitPatience is how long DelIf waits for those who have the port open. Whoever asks often does so because they are just
// ending, and an exit takes a moment.
const exitPatience = 300 * time.Millisecond

// DelIf ends what NewIf began. Errors: ENXIO when there is no such interface, EINVAL when it is another's, EBUSY when the
// port is on a switch, or open and stays so for a while. // NETMAP_REQ_VALE_DELIF
func (e *Engine) DelIf(name string) error {
	for end := time.Now().Add(exitPatience); ; time.Sleep(5 * time.Millisecond) {
		if open, err := e.tryDelIf(name); !open || time.Now().After(end) {
			return err
		}
	}
}

// tryDelIf is DelIf without patience. It says whether the port is open.
func (e *Engine) tryDelIf(name string) (open bool, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key, err := nicKey(name)
	if err != nil {
		return false, err
	}
	p := e.ports[key]
	if p == nil || p.device == nil {
		if _, err := net.InterfaceByName(name); err != nil {
			return false, fault.New(syscall.ENXIO, delIfOp, name, "there is no such interface in this network namespace")
		}
		return false, fault.New(syscall.EINVAL, delIfOp, name, "the interface is not a persistent port")
	}
	switch {
	case p.alias != "":
		return false, fault.New(syscall.EBUSY, delIfOp, name, "it is attached to a switch as %s; detach it first", p.alias)
	case len(p.bindings) > 0:
		return true, fault.New(syscall.EBUSY, delIfOp, name, "somebody has it open")
	case p.owner != nil:
		return false, fault.New(syscall.EBUSY, delIfOp, name, "it is attached to a switch as %s; detach it first", p.owner.name)
	}
	e.delIf(p)
	return false, nil
}

func (e *Engine) delIf(p *entry) {
	p.device.Close()
	p.device = nil
	e.drop(p)
}

// delIfs ends all persistent ports, which nobody uses any more.
func (e *Engine) delIfs() {
	for _, p := range e.entries() {
		if p.device != nil {
			e.leaveSwitch(p)
			e.delIf(p)
		}
	}
}

// joinSwitch puts a persistent port on a switch, where it has a second name.
func (e *Engine) joinSwitch(sw *vale.Switch, name string, p *entry, v *vale.Port) (index int, err error) {
	if err := sw.Join(v); err != nil {
		return 0, err
	}
	p.alias = name
	e.ports[name] = p
	return v.Index(), nil
}

// leaveSwitch is the inverse. Those who have the port open keep it.
func (e *Engine) leaveSwitch(p *entry) {
	v := p.valePort()
	sw := v.Switch()
	v.Leave()
	e.prune(sw)
	if p.alias != "" {
		delete(e.ports, p.alias)
		p.alias = ""
	}
}
