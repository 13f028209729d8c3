package engine

import (
	"cmp"
	"slices"

	"github.com/seed-48afdc40/netmap/abi"
)

// PortStats is what is known of a port: who has it, and what was lost there.
type PortStats struct {
	Name     string
	Kind     string // nic, vale, pipe, monitor or null
	Detail   string // of a NIC, the AF_XDP mode; of a monitor, what it sees
	Bindings int
	Drops    map[string]uint64 // frames lost, by reason, in all rings and in the kernel's part of them
}

// describer is a port that has more to tell than its rings.
type describer interface {
	// Describe says how the port works, and counts what was lost outside of the rings.
	Describe() (detail string, drops map[string]uint64)
}

// Stats describes all ports, by name.
func (e *Engine) Stats() []PortStats {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []PortStats
	for _, p := range e.entries() {
		if p.owner != nil && p.owner.inner == p && p.alias == "" {
			continue // its rings are the attachment's
		}
		s := PortStats{Name: p.shown(), Kind: p.kind, Bindings: len(p.bindings), Drops: map[string]uint64{}}
		described := p
		if p.inner != nil {
			described = p.inner
		}
		if d, ok := described.port.(describer); ok {
			s.Detail, s.Drops = d.Describe()
		}
		for _, dir := range []uint16{abi.DirTx, abi.DirRx} {
			for _, r := range slices.Concat(p.port.Rings(dir), hostRings(p.port, dir)) {
				for why, n := range r.Drops.Counts() {
					s.Drops[why] += n
				}
			}
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b PortStats) int { return cmp.Compare(a.Name, b.Name) })
	return all
}
