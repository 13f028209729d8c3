package netmap

import (
	"context"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// Drops counts frames that were lost at a port, by reason. doc/monitoring.md explains the reasons:
// no-room, for example, means that the destination ring was full.
type Drops struct {
	Tx map[string]uint64 // frames that programs sent
	Rx map[string]uint64 // frames for the port that no program has seen
}

// describer is a transport that knows the framework's status of its port.
type describer interface {
	Status(context.Context) (status.Port, error)
}

// Drops returns how many frames were lost at the port since it was made. All programs that have the
// port open share the count; the difference of two calls is what was lost in between. For a port of
// a device, Drops asks the daemon through the socket of its status API. That takes a moment, so do
// not call it for each frame.
//
// Errors: EOPNOTSUPP if the transport does not count. For a port of a device, also those of
// connecting to the daemon: ENOENT if the daemon has no socket, or the device is that of netmap's
// kernel module, and EACCES if the program may not read the socket.
func (p *Port) Drops(ctx context.Context) (Drops, error) {
	t := p.transport
	if loop, ok := t.(interface{ Unwrap() any }); ok {
		t, _ = loop.Unwrap().(Transport)
	}
	d, ok := t.(describer)
	if !ok {
		return Drops{}, fault.New(syscall.EOPNOTSUPP, "count lost frames of", p.name,
			"its transport does not tell")
	}
	s, err := d.Status(ctx)
	if err != nil {
		return Drops{}, err
	}
	all := Drops{Tx: map[string]uint64{}, Rx: map[string]uint64{}}
	for why, n := range s.Drops {
		if strings.HasPrefix(why, "kernel-tx") {
			all.Tx[why] += n
		} else {
			all.Rx[why] += n
		}
	}
	for _, r := range s.Rings {
		to := all.Rx
		if r.Direction == "tx" {
			to = all.Tx
		}
		for why, n := range r.Drops {
			to[why] += n
		}
	}
	return all, nil
}
