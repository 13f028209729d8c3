// Package port is the contract of kinds of port: what each must do, and what it may do beyond that.
//
// A port has rings, and brings each into use when its first user comes and out of use when the last
// one goes. It makes its rings with kring.New and declares of each how those who wait for it learn
// of news (kring.Ring.News) and whether its syncs lead to other rings (kring.Ring.Leaf). Its sync
// functions do the rest. What else a port can do is a facet, an interface of its own below: callers
// ask for the facet, never for the kind.
//
// The framework calls Start, Stop and Close one at a time, Start and Stop with the ring held, so
// that no sync of it runs. kringtest.TestPort tests all that.
package port

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Port is a port of any kind.
type Port interface {
	// Rings are the hardware rings of a direction, from ring 0 on. They stay the same.
	Rings(kring.Dir) []*kring.Ring
	// Start brings a ring into use: afterwards it has memory and moves packets. On an error the
	// ring is as before, without memory.
	Start(*kring.Ring) error
	// Stop is the inverse: all buffers are back in the pool.
	Stop(*kring.Ring)
	// Close ends the port. All rings are stopped.
	Close() error
}

// Hosted is a port with host rings.
type Hosted interface {
	// HostRings are the host rings of a direction. Their numbers follow those of the hardware
	// rings.
	HostRings(kring.Dir) []*kring.Ring
}

// HostOwner is a port whose host stack can be a port by itself, for a switch.
type HostOwner interface {
	// Host is that port. Its rings are the host rings.
	Host() Port
}

// HostSender is a port whose host receives what a program releases in transparent mode.
type HostSender interface {
	Hosted
	// SendToHost passes the packet that starts at slot k of an rx ring, and ends before slot end,
	// to the host, and returns the slot after it.
	SendToHost(r *kring.Ring, k, end uint32) uint32
}

// Describer is a port that has more to tell than its rings.
type Describer interface {
	// Describe says how the port works, and counts what was lost outside of the rings. It does not
	// wait for a ring that is being started.
	Describe() (detail string, drops map[string]uint64)
}

// OffsetAcceptor is a port for which not every offset is right.
type OffsetAcceptor interface {
	// AcceptOffsets returns an error if frames cannot start that many bytes after the start of their
	// buffers: EINVAL if a frame would have no room, EOPNOTSUPP if the port has no offsets at all.
	AcceptOffsets(most uint32) error
}

// Stamper is a port that may know when frames arrived.
type Stamper interface {
	// Stamps returns an error if received frames have no time stamps. At least one ring is started.
	Stamps() error
}

// Headed is a port whose frames may have a virtio-net header in front.
type Headed interface {
	// Header is the length of the headers in bytes, 0 for none.
	Header() uint32
	// SetHeader changes it: to 0, 10 or 12. EINVAL for others, EOPNOTSUPP where frames have none.
	SetHeader(length uint32) error
}

// Abandoner is a port that has to know when what is behind it is gone.
type Abandoner interface {
	// Abandon is called then. The port moves no frames any more, and stays until it is closed.
	Abandon()
}

// HostRings are the host rings of a port of any kind.
func HostRings(p Port, dir kring.Dir) []*kring.Ring {
	if h, ok := p.(Hosted); ok {
		return h.HostRings(dir)
	}
	return nil
}

// HostShape is how many host rings a port of any kind has in each direction.
func HostShape(p Port) (tx, rx uint16) {
	return uint16(len(HostRings(p, abi.DirTx))), uint16(len(HostRings(p, abi.DirRx)))
}

// Header is the length of the virtio-net headers of a port of any kind.
func Header(p Port) uint32 {
	if h, ok := p.(Headed); ok {
		return h.Header()
	}
	return 0
}

// Shape is how many rings a port has, host rings apart, and how many slots each of them has.
type Shape struct {
	TxRings, RxRings uint16
	TxSlots, RxSlots uint32
}

// ShapeOf is the shape of a port. A direction without rings has no slots.
func ShapeOf(p Port) (s Shape) {
	s.TxRings, s.TxSlots = size(p.Rings(abi.DirTx))
	s.RxRings, s.RxSlots = size(p.Rings(abi.DirRx))
	return s
}

func size(rings []*kring.Ring) (n uint16, slots uint32) {
	if len(rings) > 0 {
		slots = rings[0].N
	}
	return uint16(len(rings)), slots
}
