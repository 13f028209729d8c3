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

// Status asks the daemon behind the device about the port. It finds the port by the offset of its
// interface (netmap_if) in the region, because names are ambiguous: interfaces of two network
// namespaces may have the same name, and so may monitors.
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
		select { // while a program opens an interface, the daemon's status is older
		case <-ctx.Done():
			return status.Port{}, fault.New(syscall.ENODEV, op, p.name,
				"the daemon at %s does not know the port: the device may have another daemon", socket)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// noStatus returns the error for a failed request at socket, with the likely reason.
func noStatus(err error, socket string) error {
	if errno := fault.Errno(err); errno == syscall.ENOENT || errno == syscall.ECONNREFUSED {
		return fault.New(errno, "ask for the status at", socket,
			"the device's daemon does not serve it there (netmap serve --status); netmap's kernel module "+
				"has none")
	}
	return err
}
