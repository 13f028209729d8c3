package engine

import "github.com/seed-48afdc40/netmap/abi"

// Attach makes the interface vale…:NAME of a network namespace a port of the switch, and returns
// the port's index. With NR_REG_NIC_SW the interface's host stack becomes another port,
// vale…:NAME^, which is detached with the first. Errors: EINVAL for a name without "vale", if there
// is no such interface, or if only some rings are requested; ENOMEM for other bad names, and if no
// further switch or port is possible; EBUSY if the interface is in use or the name is taken;
// EOPNOTSUPP for NR_REG_NIC_SW if the interface has no host stack (NETMAP_REQ_VALE_ATTACH).
func (e *Engine) Attach(in NetNS, name string, req abi.Register) (index int, err error) {
	err = in(func() (err error) {
		index, err = e.switches.Attach(name, req)
		return err
	})
	return index, err
}

// Detach takes an interface off its switch and returns the index that it had. The interface is
// found by the name of the port, or by the name that it has in the network namespace now. Errors:
// EINVAL for a name without "vale"; ENXIO if there is no such port; EBUSY while the port is polled
// or attached to another switch as well, and for a port that is no interface, which leaves the
// switch when it is closed (NETMAP_REQ_VALE_DETACH).
func (e *Engine) Detach(in NetNS, name string) (index int, err error) {
	err = in(func() (err error) {
		index, err = e.switches.Detach(name)
		return err
	})
	return index, err
}

// NewIf makes a VALE port that stays until DelIf, with an interface of that name in a network
// namespace. It is on no switch until Attach puts it on one. Programs open it by its own name, or
// by the name of the port on the switch. The answer contains the numbers of rings and slots.
// Errors: EINVAL for a name that starts with "vale", is too long or is not valid for an interface,
// and for unknown memory; EEXIST; EPERM; EMFILE if the user has the maximum number of interfaces
// (NETMAP_REQ_VALE_NEWIF).
func (e *Engine) NewIf(in NetNS, name string, user uint32, req abi.ValeNewIf) (made abi.ValeNewIf,
	err error) {
	err = in(func() (err error) {
		made, err = e.switches.NewIf(name, user, req)
		return err
	})
	return made, err
}

// DelIf deletes a port that NewIf made, and its interface. Errors: ENXIO if there is no such
// interface, EINVAL if the interface is not a persistent port, EBUSY if the port is on a switch, or
// is not closed within a moment (NETMAP_REQ_VALE_DELIF).
func (e *Engine) DelIf(in NetNS, name string) error {
	return in(func() error { return e.switches.DelIf(name) })
}

// StartPolling makes processors poll an attached interface all the time: one processor polls all rx
// rings, or each of several processors polls one rx ring. Errors: EINVAL for a name without "vale",
// and for processors or rings that do not exist; ENXIO if there is no such port, EOPNOTSUPP for a
// port that is no interface, EFAULT if polling is on already (NETMAP_REQ_VALE_POLLING_ENABLE).
func (e *Engine) StartPolling(in NetNS, name string, mode, first, count uint32) error {
	return in(func() error { return e.switches.StartPolling(name, mode, first, count) })
}

// StopPolling ends polling. EFAULT if polling is off (NETMAP_REQ_VALE_POLLING_DISABLE).
func (e *Engine) StopPolling(in NetNS, name string) error {
	return in(func() error { return e.switches.StopPolling(name) })
}

// ValePorts lists the ports of all switches, switch by switch. A switch keeps its number as long as
// it exists.
func (e *Engine) ValePorts() []ValePort { return e.switches.List() }
