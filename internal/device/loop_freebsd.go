package device

import (
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/csb"
	"github.com/seed-48afdc40/netmap/internal/fault"
)

// StartLoop fails. FreeBSD's netmap has sync loops, but no descriptors with which a loop and its
// program could wake each other.
func (p *Port) StartLoop() (*csb.Port, error) {
	return nil, fault.New(unix.EOPNOTSUPP, "start loop on", p.name,
		"FreeBSD has no eventfds for it; open the port without SyncLoop")
}
