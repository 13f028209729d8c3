package engine

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/monitor"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/session"
)

// openMonitor makes a monitor of the port that is meant. Errors are those of looking the port up,
// EBUSY when an attachment has it for itself, EINVAL when nobody has it open. The request then says
// which directions are monitored. Nobody finds the monitor by a name.
func (e *Engine) openMonitor(t target, req *abi.Register, region *mem.Region) (*entry, error) {
	if req.Flags&abi.NRZcopyMon != 0 {
		req.Flags |= abi.NRMonitorTx | abi.NRMonitorRx
	}
	wish := *req
	wish.Flags &^= monitor.Flags
	name := t.name
	t.kind = t.place
	parent, err := e.lookup(t, &wish, region)
	if err != nil {
		return nil, err
	}
	err = parent.free()
	if err == nil && len(parent.Sessions) == 0 {
		err = fault.New(syscall.EINVAL, "monitor", name, "nobody has it open; open it first, and then the monitor")
	}
	if err != nil {
		e.drop(parent)
		return nil, err
	}
	c := monitor.Config{Parent: parent.Shown(), Serial: parent.watched, Flags: req.Flags}
	like := port.ShapeOf(parent.Port)
	c.TxSlots, c.RxSlots = slotsLike(req.TxSlots, like.TxSlots), slotsLike(req.RxSlots, like.RxSlots)
	if req.Flags&abi.NRZcopyMon != 0 {
		region = parent.Region
	}
	m := monitor.New(region, parent.Port, c)
	parent.watched++
	parent.monitors = append(parent.monitors, m)
	p := &entry{Target: session.Target{Name: c.Name(), Port: m, Region: region}, key: e.newKey(), kind: "monitor", parent: parent}
	e.ports[p.key] = p
	return p, nil
}

// orphan takes all monitors off a port that nobody has open any more.
func (p *entry) orphan() {
	for _, m := range p.monitors {
		m.Orphan()
	}
	p.monitors = nil
}
