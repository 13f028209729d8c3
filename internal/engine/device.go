package engine

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// DeviceSocket is a socket in the network namespace of the port's interface, for ioctls, which the
// caller has to close, and the interface's index. A monitor's interface is its parent's. ENXIO when
// the port has none, or when it is gone.
func (b *Binding) DeviceSocket() (fd, index int, err error) {
	b.eng.mu.Lock()
	defer b.eng.mu.Unlock()
	p := b.entry
	for p.parent != nil {
		p = p.parent
	}
	if p.dev == nil || p.gone() || p.buried || b.closed.Load() {
		return -1, 0, fault.New(syscall.ENXIO, "find interface of", b.Port(),
			"it has none, or none any more")
	}
	fd, err = p.dev.Dup()
	return fd, p.dev.Index, err
}
