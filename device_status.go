//go:build linux || freebsd

package netmap

import (
	"context"
	"slices"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// Status asks the daemon behind the device. Names do not tell ports apart, as interfaces of two
// network namespaces, and monitors, may have one: where the port's interface (netmap_if) is in the
// memory does.
func (d *device) Status(ctx context.Context) (status.Port, error) {
	const op = "ask for"
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	for {
		if d.closed.Load() {
			return status.Port{}, fault.New(syscall.ENXIO, op, d.name, "the port is closed")
		}
		s, err := status.Ask(ctx, status.DefaultSocket(d.path))
		if err != nil {
			return status.Port{}, noStatus(err, status.DefaultSocket(d.path))
		}
		for _, p := range s.Ports {
			if p.Region == d.answer.MemID && slices.Contains(p.Interfaces, d.answer.Offset) {
				return p, nil
			}
		}
		select { // while somebody opens an interface, the daemon tells what there was before
		case <-ctx.Done():
			return status.Port{}, fault.New(syscall.ENODEV, op, d.name,
				"its daemon does not know it: another one is at %s", status.DefaultSocket(d.path))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// noStatus says of a daemon that cannot be asked why that may be.
func noStatus(err error, socket string) error {
	if errno := fault.Errno(err); errno == syscall.ENOENT || errno == syscall.ECONNREFUSED {
		return fault.New(errno, "ask for the status at", socket,
			"the device's daemon offers none there (netmap serve --status); netmap's kernel module has none")
	}
	return err
}
