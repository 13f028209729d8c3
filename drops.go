package netmap

import (
	"context"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// Drops counts frames that were lost at a port, by reason. The reasons are those of
// doc/monitoring.md: no-room where the ring that the frames were for was full.
type Drops struct {
	Tx map[string]uint64 // that programs sent through it
	Rx map[string]uint64 // that came for it, and no program has seen
}

// describer is a transport that can tell of its port what the framework knows.
type describer interface {
	Status(context.Context) (status.Port, error)
}

// Drops are the frames that were lost at the port since it was made. All programs that have it open
// share the count: what was lost from one moment on is the difference. Through a device, the daemon
// is asked, on the socket of its status API, which takes a moment: this is not for the path of the
// frames.
//
// Errors: EOPNOTSUPP where nobody counts; through a device those of connecting to the daemon,
// ENOENT for a daemon without the socket and for netmap's kernel module, EACCES for who may not
// read it.
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
