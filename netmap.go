// Package netmap sends and receives frames through netmap rings: slots and buffers in memory that
// the program shares with the framework. A frame costs a few nanoseconds, and a system call, if
// any, moves hundreds of frames.
//
//	port, err := netmap.Open("netmap:eth0")
//	…
//	for {
//		ready, err := port.Poll(ctx, netmap.In, -1)
//		…
//		for _, ring := range port.Rx() {
//			for slot, frame := range ring.Frames() {
//				use(frame) // valid until the loop continues
//			}
//		}
//	}
//
// Open opens a port of /dev/netmap: the device of "netmap serve", or that of the kernel on FreeBSD
// and with netmap's module. Package embed has the whole framework inside the process instead; its
// ports are of the same type.
//
// # Rings
//
// A ring is a circular array of slots. A slot has the index of a buffer and the length of the frame
// in it. The program owns the slots from head to before tail: free slots in a tx ring, received
// frames in an rx ring. The framework owns the others. Window gives access to the program's slots.
// Moving head hands slots over, but nothing happens before a sync: TxSync, RxSync, or Poll, which
// does both.
//
// # Zero copy
//
// Slots refer to buffers only by index. Window.MoveTo exchanges the buffers of slots, and so passes
// a frame from one port to another without a copy if both are in the same memory region
// (Ring.CanSwap). Otherwise it copies the frame.
//
// # Whole frames
//
// A frame longer than a buffer takes several slots, all but the last with abi.NSMoreFrag.
// Window.MoveTo, Reader and Ring.Send handle such frames. Ring.Frames, Window.Frame and Swap handle
// single slots.
//
// # Goroutines
//
// One goroutine at a time may use a Port and its rings. Only Close may be called from others. A
// port opened without SyncLoop may have two goroutines: one that receives (Rx, RxSync, Poll for In)
// and one that sends (Tx, Poll for Out). The sender must use Poll and not TxSync, because only Poll
// waits for a ring that the other goroutine's Poll is syncing. Several ports may be bound to the
// rings of one interface, and each may have a goroutine of its own.
//
// Package packet makes a net.PacketConn of a port, package source a source of packets for gopacket,
// and package netmaptest replaces the framework in tests.
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
	Err Events = 0x8 // POLLERR: bad head or cur, or the port is down or gone; a sync returns which
)

// Transport carries a port's requests to an implementation of the framework: a device, or an engine
// in this process. Open and package embed provide transports.
type Transport interface {
	// Register is the answer to the request that opened the port.
	Register() abi.Register
	// Memory is the region to which the answer's offsets refer.
	Memory() []byte
	// TxSync and RxSync are NIOCTXSYNC and NIOCRXSYNC.
	TxSync() error
	RxSync() error
	// Wait is poll(2). A negative timeout has no end, 0 does not wait. At the end of a timeout it
	// returns no events.
	Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error)
	// Close ends the binding.
	Close() error
}

// Opening holds the arguments of Open.
type Opening struct {
	abi.Register        // the request
	Port         string // the port's name
	Loop         bool   // set by SyncLoop
	Offsets      *abi.OptionOffsets
	Extmem       *Extmem
}

// Extmem is memory for the region of a port, instead of the framework's.
type Extmem struct {
	Memory []byte        // starts at a page boundary; stays mapped until all ports in it are closed
	File   string        // mapped if Memory is empty
	Pools  abi.PoolsInfo // of interfaces, rings and buffers; 0 lets the framework choose
}

// Option changes an Opening.
type Option func(*Opening)

// Exclusive opens the rings exclusively. Open returns EBUSY if another program has them open
// (NR_EXCLUSIVE).
func Exclusive() Option { return func(o *Opening) { o.Flags |= abi.NRExclusive } }

// RxOnly binds only rx rings (NR_RX_RINGS_ONLY).
func RxOnly() Option { return func(o *Opening) { o.Flags |= abi.NRRxRingsOnly } }

// TxOnly binds only tx rings (NR_TX_RINGS_ONLY).
func TxOnly() Option { return func(o *Opening) { o.Flags |= abi.NRTxRingsOnly } }

// NoTxPoll prevents Poll from sending frames unless it waits for Out (NR_NO_TX_POLL).
func NoTxPoll() Option { return func(o *Opening) { o.Flags |= abi.NRNoTxPoll } }

// RxTimestamps requests the arrival time of each frame. The Ptr of a received slot, or of a frame's
// first slot, then holds the time in nanoseconds by the card's clock, or 0 if the driver has no
// time for the frame. The framework must be started with time stamps (netmap serve --rx-timestamps,
// embed.Config.RxTimestamps). Open returns EOPNOTSUPP if it was not, for ports that are not
// interfaces, and for drivers without time stamps. The kernel's own netmap ignores the request.
func RxTimestamps() Option { return func(o *Opening) { o.Flags |= abi.NRRxStamps } }

// SyncLoop makes the framework sync the port's rings in a loop of its own, so that a busy program
// makes no system calls. The loop uses a thread of the framework while there is traffic. The port
// is opened exclusively. Open returns EOPNOTSUPP on FreeBSD.
//
// TxSync and RxSync then exchange head and tail with the loop without waiting for it: frames are
// sent, and slots come back, a little later. Poll waits as without a loop (NETMAP_REQ_OPT_CSB,
// NETMAP_REQ_SYNC_KLOOP_START).
func SyncLoop() Option {
	return func(o *Opening) {
		o.Flags |= abi.NRExclusive
		o.Loop = true
	}
}

// Offsets lets frames start inside their buffers, up to most bytes from the start, as each slot
// states. If no other program has a ring, its slots start with the initial offset. Window handles
// offsets. A program that uses buffers by index needs Ring.Offset. Errors of Open: EINVAL if most
// is larger than a buffer, EBUSY if it is larger than the limit of a ring in use, EOPNOTSUPP for
// zero-copy monitors (NETMAP_REQ_OPT_OFFSETS).
func Offsets(most, initial int) Option {
	return func(o *Opening) {
		o.Offsets = &abi.OptionOffsets{MaxOffset: uint64(max(most, 0)),
			InitialOffset: uint64(max(initial, 0))}
	}
}

// ExternalMemory puts rings and buffers into the program's own memory, which may also hold other
// data. Ports that are to swap buffers must have the same memory. A device accepts memory mapped
// with MAP_SHARED|MAP_ANONYMOUS, or from a memfd that may be sealed (MFD_ALLOW_SEALING). For other
// memory Open returns EOPNOTSUPP (NETMAP_REQ_OPT_EXTMEM).
func ExternalMemory(memory []byte, pools abi.PoolsInfo) Option {
	return func(o *Opening) { o.Extmem = &Extmem{Memory: memory, Pools: pools} }
}

// Rings sets the numbers of tx and rx rings of a port that opening creates: 1 to 16 for a VALE
// port, 1 to 256 for a pipe. Larger numbers are reduced; 0 lets the framework choose. An interface
// has one ring for each queue.
func Rings(tx, rx int) Option {
	return func(o *Opening) { o.TxRings, o.RxRings = clip[uint16](tx), clip[uint16](rx) }
}

// Slots sets the number of slots of each tx and rx ring of a port that opening creates. Numbers
// above 4096 are reduced; 0 lets the framework choose. One slot of each ring stays empty.
func Slots(tx, rx int) Option {
	return func(o *Opening) { o.TxSlots, o.RxSlots = clip[uint32](tx), clip[uint32](rx) }
}

// ExtraBufs requests buffers in addition to those in the rings. Port.TakeExtra returns as many as
// were available.
func ExtraBufs(n int) Option {
	return func(o *Opening) { o.ExtraBufs = clip[uint32](n) }
}

// AcceptHeaders declares that the program handles frames that start with a virtio-net header of
// Port.Header bytes. Without it, ports with such headers cannot be opened (NR_ACCEPT_VNET_HDR).
func AcceptHeaders() Option { return func(o *Opening) { o.Flags |= abi.NRAcceptVnetHdr } }

// HostRings sets the numbers of tx and rx host rings of an interface that is not open yet. The
// default is 1 and 1.
func HostRings(tx, rx int) Option {
	return func(o *Opening) {
		o.HostTxRings, o.HostRxRings = clip[uint16](tx), clip[uint16](rx)
	}
}

// clip returns n as a field can hold it: 0 if n is less, the field's largest value if n is more.
func clip[T uint16 | uint32](n int) T { return T(max(0, min(int64(n), int64(^T(0))))) }

// Request parses a port name and applies the options. The result is what Open asks for. Errors are
// those of portname.Parse. If the whole name is an interface's, even with a - in it, it means that
// interface: see portname.ParseWith. Request is for implementations of a Transport.
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
