package oldapi

import (
	"math"
	"sync/atomic"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// shape is a port.Shape by direction.
type shape struct {
	rings [2]int
	slots [2]uint32
}

// Port holds the old-API rings beside all rings of a port, in one layout, and one host ring in each
// direction: programs of that time expect all of them, whatever they have bound. Sessions with the
// same layout share a Port.
type Port struct {
	API    *abi.API
	Users  int // sessions; under the registry's lock
	region *mem.Region
	object mem.Object
	real   [2]int     // hardware rings of the port
	rings  [2][]*Ring // the host ring is the last
}

// New makes the rings. Errors: EINVAL for buffers whose size programs of the API do not support,
// ENOMEM.
func New(api *abi.API, region *mem.Region, name string, is port.Shape) (*Port, error) {
	_, bufs, stride := region.BufPool()
	switch {
	case api.Stride != 0 && uint32(api.Stride) != stride:
		return nil, fault.New(syscall.EINVAL, "open", name,
			"the buffers have %d bytes; programs of API %v have %d built "+
				"in", stride, api, api.Stride)
	case stride > math.MaxUint16:
		return nil, fault.New(syscall.EINVAL, "open", name,
			"the buffers have %d bytes, more than API %v can say", stride, api)
	}
	p := &Port{API: api, region: region, real: [2]int{int(is.TxRings), int(is.RxRings)}}
	sh := shapeFor(api, is)
	var total uint64
	for dir, n := range sh.rings {
		total += uint64(n+1) * size(api, sh.length(dir))
	}
	var err error
	if p.object, err = region.NewRingObject(name, int(total)); err != nil {
		return nil, err
	}
	at := p.object.Offset
	for dir, n := range sh.rings {
		for range n + 1 {
			p.rings[dir] = append(p.rings[dir],
				newRing(api, region.Bytes(), at, bufs, stride, kring.Dir(dir), sh.length(dir)))
			at += size(api, sh.length(dir))
		}
	}
	return p, nil
}

// shapeFor returns the shape as the API can express it. The first APIs count ring pairs; a ring
// that only completes a pair is empty.
func shapeFor(api *abi.API, is port.Shape) shape {
	sh := shape{[2]int{int(is.TxRings), int(is.RxRings)}, [2]uint32{is.TxSlots, is.RxSlots}}
	if api.If.NumQueues != 0 {
		n := max(sh.rings[abi.DirTx], sh.rings[abi.DirRx])
		sh.rings = [2]int{n, n}
	}
	return sh
}

// length returns the number of slots of a direction's rings, also if there is only a host ring.
func (sh *shape) length(dir int) uint32 { return max(sh.slots[dir], 2) }

// Ring returns the ring with that direction and number, nil for host rings after the first.
func (p *Port) Ring(dir kring.Dir, id uint16) *Ring {
	rings := p.rings[dir]
	switch n := int(id); {
	case n < p.real[dir]:
		return rings[n]
	case n == p.real[dir]:
		return rings[len(rings)-1]
	}
	return nil
}

// Free frees the memory.
func (p *Port) Free() { p.region.FreeObject(p.object) }

// Offsets returns where the rings are in the region, in bytes: tx rings first, in the order of a
// netmap_if.
func (p *Port) Offsets() (offsets []uint64) {
	for _, rings := range p.rings {
		for _, r := range rings {
			offsets = append(offsets, r.offset)
		}
	}
	return offsets
}

// NewIf makes a netmap_if in the API's layout, for a port of that shape. The offsets of rings are
// those in the region, or 0 for a ring that the program is not to find.
func NewIf(api *abi.API, region *mem.Region, name string, is port.Shape,
	offsets []uint64) (mem.Object, error) {
	l := api.If
	o, err := region.NewIfObject(name, l.Size+8*len(offsets))
	if err != nil {
		return o, err
	}
	copy(o.Bytes[:abi.IfNameSize-1], name)
	set := func(at, v int) {
		if at != 0 {
			shm.At[atomic.Uint32](o.Bytes, uintptr(at)).Store(uint32(v))
		}
	}
	sh := shapeFor(api, is)
	set(l.NumQueues, sh.rings[abi.DirTx])
	set(l.TxRings, sh.rings[abi.DirTx])
	set(l.RxRings, sh.rings[abi.DirRx])
	SetOffsets(api, o, offsets)
	return o, nil
}

// SetOffsets replaces the ring offsets of an interface. Their number stays the same.
func SetOffsets(api *abi.API, o mem.Object, offsets []uint64) {
	for i, at := range offsets {
		if at != 0 {
			at -= o.Offset
		}
		*shm.At[uint64](o.Bytes, uintptr(api.If.Size+8*i)) = at
	}
}
