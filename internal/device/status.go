//go:build linux || freebsd

package device

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// Status asks the daemon behind the device about the port. It finds the port by the place of its
// interface (netmap_if) in the memory. Names do not tell ports apart: interfaces of two network
// namespaces may share one, and so may monitors.
func (p *Port) Status(ctx context.Context) (status.Port, error) {
	const op = "ask for"
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	socket := status.DefaultSocket(p.path)
	for {
		if p.closed.Load() {
			return status.Port{}, p.isClosed(op)
		}
		s, err := status.Ask(ctx, socket)
		if err != nil {
			return status.Port{}, noStatus(err, socket)
		}
		for _, known := range s.Ports {
			if known.Region == p.answer.MemID && slices.Contains(known.Interfaces, p.answer.Offset) {
				return known, nil
			}
		}
		select { // while a program opens an interface, the daemon answers with an older status
		case <-ctx.Done():
			return status.Port{}, fault.New(syscall.ENODEV, op, p.name,
				"its daemon does not know it: another one is at %s", socket)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// noStatus is the error of asking at the socket. It says why nobody may answer there.
func noStatus(err error, socket string) error {
	if errno := fault.Errno(err); errno == syscall.ENOENT || errno == syscall.ECONNREFUSED {
		return fault.New(errno, "ask for the status at", socket,
			"the device's daemon offers none there (netmap serve --status); netmap's kernel module has none")
	}
	return err
}
