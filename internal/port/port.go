// Package port defines what every kind of port must do, and what some kinds can do beyond that.
//
// A port has rings, and brings each into use when its first user comes and out of use when the last
// one goes. It makes its rings with kring.New, and declares for each ring how its waiters learn of
// news (kring.Ring.News) and whether its syncs lead to other rings (kring.Ring.Leaf). The sync
// functions of the rings do the rest. Each further ability of a port is an interface of its own
// below: callers ask for the ability, never for the kind.
//
// The framework calls Start, Stop and Close one at a time. It holds the ring during Start and Stop,
// so that no sync of the ring runs. kringtest.TestPort tests these rules.
package port

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Port is a port of any kind.
type Port interface {
	// Rings returns the hardware rings of a direction, from ring 0 on. The result is always the same.
	Rings(kring.Dir) []*kring.Ring
	// Start brings a ring into use: afterwards it has memory and moves packets. On an error the
	// ring is as before, without memory.
	Start(*kring.Ring) error
	// Stop takes a ring out of use: afterwards all its buffers are back in the pool.
	Stop(*kring.Ring)
	// Close ends the port. All rings are stopped.
	Close() error
}

// Hosted is a port with host rings.
type Hosted interface {
	// HostRings returns the host rings of a direction. Their numbers follow those of the hardware
	// rings.
	HostRings(kring.Dir) []*kring.Ring
}

// HostOwner is a port whose host stack can be attached to a switch as a port of its own.
type HostOwner interface {
	// Host returns the host stack as a port, whose rings are the host rings.
	Host() Port
}

// HostSender is a port whose host receives what a program releases in transparent mode.
type HostSender interface {
	Hosted
	// SendToHost passes the packet that starts at slot k of an rx ring, and ends before slot end,
	// to the host, and returns the slot after it.
	SendToHost(r *kring.Ring, k, end uint32) uint32
}

// Describer is a port that has a description and drop counters besides those of its rings.
type Describer interface {
	// Describe returns how the port works, and how many frames were lost outside of the rings. It
	// does not wait for a ring that is being started.
	Describe() (detail string, drops map[string]uint64)
}

// OffsetAcceptor is a port that does not accept every offset.
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
	// Header returns the length of the headers in bytes; 0 for none.
	Header() uint32
	// SetHeader sets the length: 0, 10 or 12. EINVAL for other lengths, EOPNOTSUPP if the port's
	// frames have no headers.
	SetHeader(length uint32) error
}

// Abandoner is a port that has to know when its interface is gone.
type Abandoner interface {
	// Abandon is called when the interface is gone. Afterwards the port moves no frames. It exists
	// until it is closed.
	Abandon()
}

// HostRings returns the host rings of a port of any kind; nil if it has none.
func HostRings(p Port, dir kring.Dir) []*kring.Ring {
	if h, ok := p.(Hosted); ok {
		return h.HostRings(dir)
	}
	return nil
}

// HostShape returns the number of host rings of a port of any kind in each direction.
func HostShape(p Port) (tx, rx uint16) {
	return uint16(len(HostRings(p, abi.DirTx))), uint16(len(HostRings(p, abi.DirRx)))
}

// Header returns the length of the virtio-net headers of a port of any kind; 0 for none.
func Header(p Port) uint32 {
	if h, ok := p.(Headed); ok {
		return h.Header()
	}
	return 0
}

// Shape is the number of hardware rings of a port, and the number of slots of each ring.
type Shape struct {
	TxRings, RxRings uint16
	TxSlots, RxSlots uint32
}

// ShapeOf returns the shape of a port. A direction without rings has no slots.
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
