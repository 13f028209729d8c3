package engine

import (
	"cmp"
	"slices"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// PortInfo describes a port, which is made for the moment if there is none. Without a name it describes the region.
// Errors are those of Register. // NETMAP_REQ_PORT_INFO_GET
func (e *Engine) PortInfo(name string, req abi.Register) (abi.PortInfo, error) {
	req.Mode, req.Flags = abi.RegAllNIC, 0 // of the port, not of a monitor
	t := targetOf(name, &req)
	e.mu.Lock()
	defer e.mu.Unlock()
	w, err := e.regionWish("describe", name, req.MemID, nil)
	if err != nil {
		return abi.PortInfo{}, err
	}
	info := abi.PortInfo{MemSize: w.region.Size(), MemID: w.region.ID()}
	if name == "" {
		return info, nil
	}
	p, err := e.lookup(t, &req, w.region)
	if err != nil {
		return abi.PortInfo{}, err
	}
	defer e.drop(p)
	info.MemSize, info.MemID = p.Region.Size(), p.Region.ID()
	is := port.ShapeOf(p.Port)
	info.TxRings, info.RxRings, info.TxSlots, info.RxSlots = is.TxRings, is.RxRings, is.TxSlots, is.RxSlots
	info.HostTxRings, info.HostRxRings = port.HostShape(p.Port)
	return info, nil
}

// ValePort is a port in the list of all switches.
type ValePort struct {
	Name          string // switch:port
	Switch, Index int
}

// ValePorts lists the ports of all switches, switch by switch. A switch keeps its number as long as it exists.
func (e *Engine) ValePorts() []ValePort {
	e.mu.Lock()
	defer e.mu.Unlock()
	var list []ValePort
	for k, p := range e.ports {
		if v := p.valePort(); v != nil && v.Switch() != nil && k.onSwitch() {
			list = append(list, ValePort{k.name, v.Switch().Number, v.Index()})
		}
	}
	slices.SortFunc(list, func(a, b ValePort) int {
		return cmp.Or(cmp.Compare(a.Switch, b.Switch), cmp.Compare(a.Index, b.Index))
	})
	return list
}
