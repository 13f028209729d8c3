package netmap

import (
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// startLoop is not there: FreeBSD's netmap runs loops, but has no descriptors through which they and a program wake each
// other.
func (d *device) startLoop() (Transport, error) {
	return nil, fault.New(unix.EOPNOTSUPP, "start loop on", d.name, "FreeBSD has no eventfds for it; open the port without SyncLoop")
}
