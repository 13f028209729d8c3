package engine

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// PortInfo describes a port. If the port does not exist, PortInfo makes it for the moment. Without
// a name it describes only the region. Errors are those of Register (NETMAP_REQ_PORT_INFO_GET).
func (e *Engine) PortInfo(in NetNS, name string, req abi.Register) (info abi.PortInfo, err error) {
	err = in(func() (err error) {
		info, err = e.portInfo(name, req)
		return err
	})
	return info, err
}

// portInfo is PortInfo in the thread's network namespace.
func (e *Engine) portInfo(name string, req abi.Register) (abi.PortInfo, error) {
	req.Mode, req.Flags = abi.RegAllNIC, 0 // of the port, not of a monitor
	t := targetOf(name, &req)
	e.reg.Lock()
	defer e.reg.Unlock()
	region, err := e.reg.RegionFor("describe", name, req.MemID, nil)
	if err != nil {
		return abi.PortInfo{}, err
	}
	info := abi.PortInfo{MemSize: region.Size(), MemID: region.ID()}
	if name == "" {
		return info, nil
	}
	p, err := e.lookup(&t, &req, region)
	if err != nil {
		return abi.PortInfo{}, err
	}
	defer e.reg.Drop(p)
	info.MemSize, info.MemID = p.Region.Size(), p.Region.ID()
	is := port.ShapeOf(p.Port)
	info.TxRings, info.RxRings, info.TxSlots, info.RxSlots = is.TxRings, is.RxRings, is.TxSlots,
		is.RxSlots
	info.HostTxRings, info.HostRxRings = port.HostShape(p.Port)
	return info, nil
}

// PoolsInfo describes the region of that number. EINVAL if there is none
// (NETMAP_REQ_POOLS_INFO_GET).
func (e *Engine) PoolsInfo(id uint16) (abi.PoolsInfo, error) {
	e.reg.Lock()
	defer e.reg.Unlock()
	region, err := e.reg.RegionFor("describe", "", id, nil)
	if err != nil {
		return abi.PoolsInfo{}, err
	}
	return region.Info(), nil
}
