package vale

import (
	"context"
	"slices"
	"strings"
	"unicode"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// embedded returns the ports of switches inside running commands. Other programs cannot open them.
func embedded(ctx context.Context) (all []port) {
	found, _ := cli.Find(ctx) // an error means that there are no such switches
	for _, f := range found {
		if f.Device == "" {
			all = append(all, portsOf(f.Status)...)
		}
	}
	return all
}

// portsOf returns the ports on the switches of a framework.
func portsOf(s *status.Status) (all []port) {
	for _, sw := range s.Switches {
		for _, on := range sw.Ports {
			p := port{Switch: printable(sw.Name), Index: uint32(on.Index), Name: printable(on.Name),
				Program: printable(s.Program), PID: s.PID}
			same := func(p status.Port) bool { return p.Name == on.Name }
			if i := slices.IndexFunc(s.Ports, same); i >= 0 {
				p.Header, p.Memory = s.Ports[i].Header, s.Ports[i].Region
				p.count(s.Ports[i].Rings)
			}
			all = append(all, p)
		}
	}
	return all
}

func (p *port) count(rings []status.Ring) {
	for _, r := range rings {
		switch {
		case r.Host:
		case r.Direction == "tx":
			p.TxRings, p.TxSlots = p.TxRings+1, r.Slots
		default:
			p.RxRings, p.RxSlots = p.RxRings+1, r.Slots
		}
	}
}

// printable removes control characters, which a terminal would obey: a status comes from another
// program.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, s)
}
