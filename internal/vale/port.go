package vale

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
)

var (
	_ port.Port   = (*Port)(nil)
	_ port.Headed = (*Port)(nil)
)

// Port is a port of a switch.
type Port struct {
	Name string

	at      atomic.Pointer[place]
	header  atomic.Uint32 // length of the virtio-net header of its frames
	region  *mem.Region
	rings   [2][]*kring.Ring
	senders []*sender
	inboxes []*inbox
}

// inbox is a ring to which all ports of the switch deliver: an rx ring, or the tx ring of an
// attached device.
type inbox struct {
	port *Port
	mu   sync.Mutex
	open bool
	ring *kring.Ring
	out  *outlet // nil for an rx ring
}

// NewPort makes a port that is on no switch. EINVAL for a number of rings that netmap does not
// allow.
func NewPort(region *mem.Region, name string, shape port.Shape) (*Port, error) {
	if tx, rx := shape.TxRings, shape.RxRings; tx < 1 || tx > MaxRings || rx < 1 || rx > MaxRings {
		return nil, fault.New(syscall.EINVAL, "make port", name, "%d tx and %d rx rings; want 1 to %d",
			tx, rx, MaxRings)
	}
	p := &Port{Name: name, region: region}
	p.at.Store(nowhere)
	for i := range shape.TxRings {
		tx := &sender{port: p}
		p.senders = append(p.senders, tx)
		p.rings[abi.DirTx] = append(p.rings[abi.DirTx],
			kring.New(fmt.Sprintf("%s TX%d", name, i), abi.DirTx, i, shape.TxSlots, tx.sync))
	}
	for i := range shape.RxRings {
		ring := kring.New(fmt.Sprintf("%s RX%d", name, i), abi.DirRx, i, shape.RxSlots, rxSync)
		p.inboxes = append(p.inboxes, &inbox{port: p, ring: ring})
		p.rings[abi.DirRx] = append(p.rings[abi.DirRx], ring)
	}
	return p, nil
}

// Member is a port of any kind that can join a switch.
type Member interface {
	// Member returns the port as the switch knows it.
	Member() *Port
}

// Member implements Member.
func (p *Port) Member() *Port { return p }

// Switch returns the port's switch, nil if it is on none.
func (p *Port) Switch() *Switch {
	if at := p.at.Load(); at != nowhere {
		return at.sw
	}
	return nil
}

// Index returns the port's number on its switch.
func (p *Port) Index() int { return p.at.Load().index }

// Leave removes the port from its switch, if it is on one, between two syncs. Its rings do not
// change.
func (p *Port) Leave() {
	for _, r := range p.rings[abi.DirTx] {
		r.Hold()
		defer r.Drop()
	}
	if s := p.Switch(); s != nil {
		s.leave(p)
	}
}

// Rings returns the rings of a direction.
func (p *Port) Rings(dir kring.Dir) []*kring.Ring { return p.rings[dir] }

// Start gives a ring its memory, and opens an rx ring to the other ports.
func (p *Port) Start(r *kring.Ring) error {
	if err := r.Alloc(p.region, true); err != nil {
		return err
	}
	if r.Dir == abi.DirTx {
		p.senders[r.ID].prepare(r)
		return nil
	}
	in := p.inboxes[r.ID]
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open = true
	return nil
}

// Stop closes the ring and frees its memory.
func (p *Port) Stop(r *kring.Ring) {
	if r.Dir == abi.DirRx {
		in := p.inboxes[r.ID]
		in.mu.Lock()
		defer in.mu.Unlock()
		in.open = false
	}
	r.Free(0, r.N)
}

// Close removes the port from its switch.
func (p *Port) Close() error {
	p.Leave()
	return nil
}

// rxSync releases the slots up to head. Senders see the room at once. HwTail already counts the
// frames that they delivered.
func rxSync(r *kring.Ring, _ kring.Memory) error {
	if h := r.Head(); h != r.HwCur.Load() {
		r.HwCur.Store(h)
	}
	return nil
}
