package engine

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/uplink"
)

// StartPolling has processors look at an attached interface all the time, see uplink.StartPolling. Errors: EINVAL for a
// name without "vale", ENXIO for one of no port, EOPNOTSUPP for a port that is no interface, and those of that.
// // NETMAP_REQ_VALE_POLLING_ENABLE
func (e *Engine) StartPolling(name string, mode, first, count uint32) error {
	return e.polling(name, func(u *uplink.Uplink) error { return u.StartPolling(mode, first, count) })
}

// StopPolling ends it. EFAULT when polling is off. // NETMAP_REQ_VALE_POLLING_DISABLE
func (e *Engine) StopPolling(name string) error {
	return e.polling(name, (*uplink.Uplink).StopPolling)
}

func (e *Engine) polling(name string, f func(*uplink.Uplink) error) error {
	behind := behindColon(name)
	e.mu.Lock()
	defer e.mu.Unlock()
	p, err := e.onSwitch("poll", name, behind)
	if err != nil {
		return err
	}
	u, ok := p.Port.(*uplink.Uplink)
	if !ok {
		return fault.New(syscall.EOPNOTSUPP, "poll", name, "only interfaces that are attached to a switch are polled")
	}
	return f(u)
}
