package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/portname"
)

// Unsent counts, by reason, the frames that a port took from its program and could not send, since
// it was made. Asking is not for the hot path.
type Unsent struct {
	read func() map[string]uint64
	base map[string]uint64
	last map[string]uint64
}

// unsent are the reasons why an interface does not send a frame, and how people are told.
var unsent = []struct {
	why  kring.Reason
	text string
}{
	{kring.TooLongForMTU, "longer than the interface's MTU"},
	{kring.RefusedByDevice, "refused by the device"},
	{kring.TooShort, "too short for Ethernet"},
	{kring.TooManyFrags, "in more slots than can be sent"},
	{kring.LinkError, "refused by the host"},
}

// Unsent starts to count for an open port. Of one that a device has, its daemon is asked; where
// that cannot be reached, and where there is no interface, nothing is counted.
func (d *Device) Unsent(port string) *Unsent {
	u := &Unsent{read: func() map[string]uint64 { return nil }}
	name, err := portname.Parse(port)
	switch {
	case err != nil || IsSoftware(port):
	case d.framework != nil:
		u.read = func() map[string]uint64 { return d.unsentHere(name.Port) }
	default:
		daemon := status.At(status.DefaultSocket(d.path))
		u.read = func() map[string]uint64 { return unsentThere(daemon, name.Port) }
	}
	u.base = u.read()
	return u
}

// unsentHere asks the framework inside this process.
func (d *Device) unsentHere(port string) map[string]uint64 {
	for _, p := range d.Stats() {
		if p.Name == port {
			return p.Drops
		}
	}
	return nil
}

// unsentThere asks a daemon. Other programs may send through the port, too.
func unsentThere(daemon *status.Daemon, port string) map[string]uint64 {
	ctx, stop := context.WithTimeout(context.Background(), time.Second)
	defer stop()
	defer daemon.Close()
	s, err := daemon.Get(ctx)
	if err != nil {
		return nil
	}
	i := slices.IndexFunc(s.Ports, func(p status.Port) bool { return p.Name == port })
	if i < 0 {
		return nil
	}
	all := map[string]uint64{}
	for _, r := range s.Ports[i].Rings {
		for why, n := range r.Drops {
			if r.Direction == "tx" {
				all[why] += n
			}
		}
	}
	return all
}

// Read is what was counted until now. Where nobody answers any more, it is what was counted last.
func (u *Unsent) Read() map[string]uint64 {
	now := u.read()
	for _, r := range unsent {
		why := r.why.String()
		if n := now[why]; n > u.base[why] {
			if u.last == nil {
				u.last = map[string]uint64{}
			}
			u.last[why] = n - u.base[why]
		}
	}
	return u.last
}

// SumUnsent is how many frames were counted.
func SumUnsent(counts map[string]uint64) (n uint64) {
	for _, c := range counts {
		n += c
	}
	return n
}

// DescribeUnsent says how many frames were not sent, and why: "2 frames not sent: 2 longer than the
// interface's MTU". It is empty for none.
func DescribeUnsent(counts map[string]uint64) string {
	var parts []string
	for _, r := range unsent {
		if n := counts[r.why.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, r.text))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return Count(SumUnsent(counts), "frame") + " not sent: " + strings.Join(parts, ", ")
}
