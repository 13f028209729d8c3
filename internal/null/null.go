// Package null is a port with rings and buffers and nothing behind them: a place to keep packets.
package null

import (
	"fmt"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
)

var _ port.Port = (*Port)(nil)

// Port is a null port.
type Port struct {
	region *mem.Region
	rings  [2][]*kring.Ring
}

// New makes a port with exactly these rings, which may be none.
func New(region *mem.Region, name string, shape port.Shape) *Port {
	p := &Port{region: region}
	for i := range shape.TxRings {
		p.rings[abi.DirTx] = append(p.rings[abi.DirTx], kring.New(fmt.Sprintf("%s TX%d", name, i),
			abi.DirTx, i, shape.TxSlots, take))
	}
	for i := range shape.RxRings {
		p.rings[abi.DirRx] = append(p.rings[abi.DirRx], kring.New(fmt.Sprintf("%s RX%d", name, i),
			abi.DirRx, i, shape.RxSlots, take))
	}
	return p
}

// take is the sync of a null ring: slots stay where they are, and those that were handed over do
// not come back.
func take(r *kring.Ring, _ kring.Memory) error {
	r.HwCur.Store(r.Head())
	return nil
}

// Rings are the rings of a direction.
func (p *Port) Rings(dir kring.Dir) []*kring.Ring { return p.rings[dir] }

// Start gives a ring its memory.
func (p *Port) Start(r *kring.Ring) error { return r.Alloc(p.region, true) }

// Stop takes it back.
func (p *Port) Stop(r *kring.Ring) { r.Free(0, r.N) }

// Close has nothing left to do.
func (p *Port) Close() error { return nil }
