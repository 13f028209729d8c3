// Package vale is netmap's learning Ethernet switch. A port's txsync is the switch: it looks every
// frame up, sorts the batch by destination, and copies it into the rings of the receivers. Nobody
// waits: a receiver whose ring is full loses the frame, and the sender's ring is empty after every
// sync.
// It is large because all kinds of senders (slots, fragments, headers, indirect data, interfaces)
// share one batch and one way into a receiver's ring.
package vale

import (
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

const (
	// MaxPorts is the number of ports of a switch.
	MaxPorts = 254
	// MaxRings is the number of rings of a port in each direction.
	MaxRings = 16
)

// nowhere is the place of all ports that are on no switch. Frames sent there reach nobody.
var nowhere = &place{sw: NewSwitch("")}

// place is where a port is: a switch, and the port's index on it.
type place struct {
	sw    *Switch
	index int
}

// Switch joins ports. It has no thread of its own.
type Switch struct {
	Number int // unique among the switches of an engine

	name  string
	table table
	mu    sync.Mutex
	ports atomic.Pointer[[]*Port] // replaced, never changed; by index, nil where there is no port
}

// NewSwitch makes a switch without ports.
func NewSwitch(name string) *Switch {
	s := &Switch{name: name}
	s.ports.Store(new([]*Port))
	return s
}

// Name returns the part of a port's name before the colon.
func (s *Switch) Name() string { return s.name }

// Ports returns the ports in the order of their indexes.
func (s *Switch) Ports() []*Port {
	return slices.DeleteFunc(slices.Clone(*s.ports.Load()), func(p *Port) bool { return p == nil })
}

// Join gives a port that is on no switch the lowest free index. ENOMEM when the switch is full.
func (s *Switch) Join(p *Port) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	ports := slices.Clone(*s.ports.Load())
	i := slices.Index(ports, nil)
	if i < 0 {
		if i = len(ports); i == MaxPorts {
			return fault.New(syscall.ENOMEM, "join switch", s.name,
				"it has %d ports already; close one or use another switch", MaxPorts)
		}
		ports = append(ports, nil)
	}
	ports[i] = p
	p.at.Store(&place{s, i})
	s.ports.Store(&ports)
	return nil
}

// leave frees the port's index and forgets the addresses that were seen there. The port must not
// send meanwhile.
func (s *Switch) leave(p *Port) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ports := slices.Clone(*s.ports.Load())
	index := p.at.Swap(nowhere).index
	ports[index] = nil
	for len(ports) > 0 && ports[len(ports)-1] == nil {
		ports = ports[:len(ports)-1]
	}
	s.ports.Store(&ports)
	s.table.forget(index)
}

// Learned is where an address was last seen.
type Learned struct {
	MAC  [6]byte
	Port int
}

// Learned lists the forwarding table.
func (s *Switch) Learned() []Learned { return s.table.list() }
