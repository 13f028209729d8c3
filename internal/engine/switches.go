package engine

import "github.com/seed-48afdc40/netmap/abi"

// Attach makes the interface vale…:NAME of a network namespace a port of the switch, and returns
// the port's index. With NR_REG_NIC_SW the interface's host stack becomes another port,
// vale…:NAME^, which goes with the first. Errors: EINVAL for a name without "vale", one of no
// interface, and rings other than all; ENOMEM for other bad names, and when there are no more
// switches or ports; EBUSY when the interface is in use or the name taken; EOPNOTSUPP for the host
// stack of an interface that has none (NETMAP_REQ_VALE_ATTACH).
func (e *Engine) Attach(in NetNS, name string, req abi.Register) (index int, err error) {
	err = in(func() (err error) {
		index, err = e.switches.Attach(name, req)
		return err
	})
	return index, err
}

// Detach takes an interface off its switch and returns the index that it had. The interface is
// found by the name of the port, or by the name that it has in the network namespace now. Errors:
// EINVAL for a name without "vale", ENXIO for one of no port, EBUSY while the port is polled or
// attached to another switch as well, and for a port that is no interface: it goes when it is
// closed (NETMAP_REQ_VALE_DETACH).
func (e *Engine) Detach(in NetNS, name string) (index int, err error) {
	err = in(func() (err error) {
		index, err = e.switches.Detach(name)
		return err
	})
	return index, err
}

// NewIf makes a VALE port that stays until DelIf, with an interface of that name in a network
// namespace. It is on no switch until Attach puts it on one. Programs open it under its own name
// and under that of the port on the switch. The answer contains the numbers of rings and slots.
// Errors: EINVAL for a name that starts with "vale", is too long or no interface's, and for unknown
// memory; EEXIST; EPERM; EMFILE when the user has as many as he may (NETMAP_REQ_VALE_NEWIF).
func (e *Engine) NewIf(in NetNS, name string, user uint32, req abi.ValeNewIf) (made abi.ValeNewIf,
	err error) {
	err = in(func() (err error) {
		made, err = e.switches.NewIf(name, user, req)
		return err
	})
	return made, err
}

// DelIf ends what NewIf began. Errors: ENXIO when there is no such interface, EINVAL for one that
// NewIf did not make, EBUSY when the port is on a switch, or open and stays so for a while
// (NETMAP_REQ_VALE_DELIF).
func (e *Engine) DelIf(in NetNS, name string) error {
	return in(func() error { return e.switches.DelIf(name) })
}

// StartPolling lets processors look at an attached interface all the time: one at all of its rx
// rings, or one at each of some. Errors: EINVAL for a name without "vale", and for processors or
// rings that do not exist; ENXIO for a name of no port, EOPNOTSUPP for a port that is no interface,
// EFAULT when polling is on already (NETMAP_REQ_VALE_POLLING_ENABLE).
func (e *Engine) StartPolling(in NetNS, name string, mode, first, count uint32) error {
	return in(func() error { return e.switches.StartPolling(name, mode, first, count) })
}

// StopPolling ends it. EFAULT when polling is off (NETMAP_REQ_VALE_POLLING_DISABLE).
func (e *Engine) StopPolling(in NetNS, name string) error {
	return in(func() error { return e.switches.StopPolling(name) })
}

// ValePorts lists the ports of all switches, switch by switch. A switch keeps its number as long as
// it exists.
func (e *Engine) ValePorts() []ValePort { return e.switches.List() }
