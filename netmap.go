// Package netmap sends and receives frames through netmap rings: slots and buffers in memory that
// the program shares with the framework, so that a frame costs a few nanoseconds and a system
// call, if any, moves hundreds of them.
//
//	port, err := netmap.Open("netmap:eth0")
//	…
//	for {
//		ready, err := port.Poll(ctx, netmap.In, -1)
//		…
//		for _, ring := range port.Rx() {
//			for slot, frame := range ring.Frames() {
//				use(frame) // valid until the loop goes on
//			}
//		}
//	}
//
// Open speaks to /dev/netmap: that of "netmap serve", or that of the kernel on FreeBSD and where
// netmap's module is loaded. Package embed carries the whole framework inside the process instead;
// its ports are the same type.
//
// # Rings
//
// A ring is a circle of slots; each slot names a buffer and the length of the frame in it. The
// slots from head to tail are the program's: free ones in a tx ring, received frames in an rx
// ring. All others are the framework's. Window is the way to the program's slots. Moving on hands
// slots over, but nothing happens before a sync: TxSync, RxSync, or Poll, which includes both.
//
// # Zero copy
//
// Buffers belong to slots only by their index. Window.MoveTo exchanges the buffers of slots, which
// passes a frame from one port to another without copying it, if both are in the same memory
// region (Ring.CanSwap), and else copies it.
//
// # Whole frames
//
// A frame longer than a buffer lies in several slots, all but the last with abi.NSMoreFrag.
// Window.MoveTo, Reader and Ring.Send know about that; Ring.Frames, Window.Frame and Swap are
// about single slots.
//
// A Port and its rings are for one goroutine at a time, with the exception of Close. One that was
// opened without SyncLoop may have two: a goroutine that receives (Rx, RxSync, Poll for In) and
// one that sends (Tx, Poll for Out, which unlike TxSync waits for a ring that the other's Poll is
// just syncing). Several ports may be bound to the rings of one interface, each used by a
// goroutine of its own.
//
// Package packet makes a net.PacketConn of a port, package source a source of packets for
// gopacket, and package netmaptest stands in for the framework in tests.
package netmap

import (
	"context"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/portname"
)

// Events are what Poll waits for and reports.
type Events int16

// The events, with the values of poll(2).
const (
	In  Events = 0x1 // POLLIN: there are frames in an rx ring
	Out Events = 0x4 // POLLOUT: there is room in a tx ring
	Err Events = 0x8 // POLLERR: head or cur made no sense, or the port is down or gone; a sync says which
)

// Transport carries a port's requests to whoever implements the framework: a device, or an engine in this process. Open
// and package embed provide it.
type Transport interface {
	// Register is the answer to the request that opened the port.
	Register() abi.Register
	// Memory is the region that the answer's offsets refer to.
	Memory() []byte
	// TxSync and RxSync are NIOCTXSYNC and NIOCRXSYNC.
	TxSync() error
	RxSync() error
	// Wait is poll(2). A negative timeout is for ever, 0 does not wait. After a timeout it returns no events.
	Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error)
	// Close ends the binding.
	Close() error
}

// Opening is what Open asks for.
type Opening struct {
	abi.Register        // the request
	Port         string // the port's name
	Loop         bool   // SyncLoop
	Offsets      *abi.OptionOffsets
	Extmem       *Extmem
}

// Extmem is memory that is to be the region of a port, instead of the framework's.
type Extmem struct {
	Memory []byte        // starts at a page; stays mapped until all ports in it are closed
	File   string        // is mapped instead, if there is no Memory
	Pools  abi.PoolsInfo // how many interfaces, rings and buffers of which size; 0 leaves the choice to the framework
}

// Option changes what Open asks for.
type Option func(*Opening)

// Exclusive wants the rings alone: EBUSY when anybody has them. // NR_EXCLUSIVE
func Exclusive() Option { return func(o *Opening) { o.Flags |= abi.NRExclusive } }

// RxOnly leaves the tx rings alone, TxOnly the rx rings. // NR_RX_RINGS_ONLY, NR_TX_RINGS_ONLY
func RxOnly() Option { return func(o *Opening) { o.Flags |= abi.NRRxRingsOnly } }

// TxOnly leaves the rx rings alone. // NR_TX_RINGS_ONLY
func TxOnly() Option { return func(o *Opening) { o.Flags |= abi.NRTxRingsOnly } }

// NoTxPoll keeps Poll from sending pending frames unless it waits for Out. // NR_NO_TX_POLL
func NoTxPoll() Option { return func(o *Opening) { o.Flags |= abi.NRNoTxPoll } }

// RxTimestamps wants to know when each frame arrived: Ptr of a received slot, of a packet's first if it has several, is the
// time in nanoseconds by the clock of the card, 0 for a frame of which the driver does not say. The framework has to be
// made for it (netmap serve --rx-timestamps, embed.Config.RxTimestamps). EOPNOTSUPP where it was not, for ports that are no
// interfaces, and for drivers that cannot tell. The kernel's own netmap passes over the wish.
func RxTimestamps() Option { return func(o *Opening) { o.Flags |= abi.NRRxStamps } }

// SyncLoop has the framework sync the port's rings by itself, in a loop of its own: a program that keeps busy then makes no
// system calls at all. It costs a thread of the framework's while there is traffic. The port is opened exclusively.
//
// TxSync and RxSync pass on what the program did and see what the loop has done so far, but wait for nothing: frames may be
// sent, and slots come back, a little later. Poll waits as ever. EOPNOTSUPP on FreeBSD.
// // NETMAP_REQ_OPT_CSB, NETMAP_REQ_SYNC_KLOOP_START
func SyncLoop() Option {
	return func(o *Opening) {
		o.Flags |= abi.NRExclusive
		o.Loop = true
	}
}

// Offsets lets frames start inside their buffers, up to most bytes from the start, where each slot says. Slots of rings that
// nobody else has begin with the initial offset. A Window honours offsets; who works with buffers by their index looks at
// Ring.Offset. EINVAL for more than a buffer, EBUSY for more than a ring has that is in use, EOPNOTSUPP for zero-copy
// monitors. // NETMAP_REQ_OPT_OFFSETS
func Offsets(most, initial int) Option {
	return func(o *Opening) {
		o.Offsets = &abi.OptionOffsets{MaxOffset: uint64(max(most, 0)), InitialOffset: uint64(max(initial, 0))}
	}
}

// ExternalMemory has rings and buffers in memory of the program's own, which may hold other data besides. Ports that are to
// swap buffers name the same memory. A device takes memory that was mapped with MAP_SHARED|MAP_ANONYMOUS, or from a memfd
// that may be sealed (MFD_ALLOW_SEALING); EOPNOTSUPP for any other. // NETMAP_REQ_OPT_EXTMEM
func ExternalMemory(memory []byte, pools abi.PoolsInfo) Option {
	return func(o *Opening) { o.Extmem = &Extmem{Memory: memory, Pools: pools} }
}

// Rings asks for that many tx and rx rings on a port that is made by opening it, such as a VALE port or a pipe. An
// interface has as many as it has queues.
func Rings(tx, rx int) Option {
	return func(o *Opening) { o.TxRings, o.RxRings = clip[uint16](tx), clip[uint16](rx) }
}

// Slots asks for that many slots in each tx and rx ring, with the same limits.
func Slots(tx, rx int) Option {
	return func(o *Opening) { o.TxSlots, o.RxSlots = clip[uint32](tx), clip[uint32](rx) }
}

// ExtraBufs asks for buffers beyond those in the rings. Port.TakeExtra returns as many as there were.
func ExtraBufs(n int) Option {
	return func(o *Opening) { o.ExtraBufs = clip[uint32](n) }
}

// AcceptHeaders says that the program knows what to do with frames that start with virtio-net headers, as Port.Header
// tells. Without it a port that has them does not open. // NR_ACCEPT_VNET_HDR
func AcceptHeaders() Option { return func(o *Opening) { o.Flags |= abi.NRAcceptVnetHdr } }

// HostRings asks for that many tx and rx host rings on an interface that nobody has open yet; 1 and 1 is the default.
func HostRings(tx, rx int) Option {
	return func(o *Opening) {
		o.HostTxRings, o.HostRxRings = clip[uint16](tx), clip[uint16](rx)
	}
}

// clip is n as a request's field can hold it: 0 for less, the field's largest value for more.
func clip[T uint16 | uint32](n int) T { return T(max(0, min(int64(n), int64(^T(0))))) }

// Request takes a port name apart and applies the options: what Open asks for. Errors are those of
// portname.Parse. A name that is an interface's as a whole, in spite of a - in it, means that
// interface: see portname.ParseWith. It is for those who implement a Transport.
func Request(name string, options ...Option) (Opening, error) {
	n, err := portname.ParseWith(name, netdev.Exists)
	if err != nil {
		return Opening{}, err
	}
	o := Opening{Register: n.Register(), Port: n.Port}
	if n.Offset.Bits > 0 {
		offsets := n.Offset.Option()
		o.Offsets = &offsets
	}
	if n.Extmem.File != "" {
		o.Extmem = &Extmem{File: n.Extmem.File, Pools: n.Extmem.Option(0, 0).Info}
	}
	for _, option := range options {
		option(&o)
	}
	return o, nil
}
