// Package abi is the binary interface of /dev/netmap: the structures in shared memory, the requests
// of ioctl(2), and their numbers and flags. The layouts are those of netmap's C headers on a
// little-endian machine with 64-bit pointers.
//
// The package contains definitions only. It allocates nothing, opens nothing, and imports only the
// standard library. Names follow Go's spelling. The C name stands beside each, so that a search
// finds both.
package abi

import "sync/atomic"

// Version is the NETMAP_API of these structures. Upstream's NIOCCTRL accepts versions from
// MinVersion to MaxVersion. NIOCCTRL exists since OldestControl.
const (
	OldestControl = 12

	Version    = 14 // NETMAP_API
	MinVersion = 14 // NETMAP_MIN_API
	MaxVersion = 15 // NETMAP_MAX_API
)

const (
	// IfNameSize is the size of an interface name with its terminating zero (IFNAMSIZ).
	IfNameSize = 16
	// ReqNameSize is the size of a port name in a Header, with its terminating zero
	// (NETMAP_REQ_IFNAMSIZ).
	ReqNameSize = 64
	// MaxFrags is the largest number of slots of a packet (NETMAP_MAX_FRAGS).
	MaxFrags = 64
	// ReservedBufs is the number of buffers, from index 0, that never hold a packet. Index 0 ends a
	// list of buffers.
	ReservedBufs = 2
)

// Slot describes one packet buffer in a ring (struct netmap_slot).
//
// It is in shared memory: the owner of the slot (see Ring) may write all of it at any time. The
// framework reads the first eight bytes in one load (Word), so that the values that it checks are
// those that it uses.
type Slot struct {
	BufIdx uint32 // buf_idx: index of the buffer
	Len    uint16 // len: bytes of the packet in the buffer
	Flags  uint16 // flags: NS_*
	Ptr    uint64 // ptr: user address (NSIndirect) or offset of the packet in the buffer
}

// SlotSize is sizeof(struct netmap_slot).
const SlotSize = 16

// Flags of a slot.
const (
	NSBufChanged = 0x0001 // NS_BUF_CHANGED: buf_idx has changed
	NSReport     = 0x0002 // NS_REPORT: report completion of this slot
	NSForward    = 0x0004 // NS_FORWARD: pass to the other side (host or NIC)
	NSNoLearn    = 0x0008 // NS_NO_LEARN: defined, but has no effect
	NSIndirect   = 0x0010 // NS_INDIRECT: data at Ptr in the sender's memory (VALE)
	NSMoreFrag   = 0x0020 // NS_MOREFRAG: the packet continues in the next slot
	NSTxMon      = 0x0040 // NS_TXMON: a monitor took this frame from a tx ring

	NSPortShift = 8                   // NS_PORT_SHIFT
	NSPortMask  = 0xff << NSPortShift // NS_PORT_MASK: slots of the packet, on VALE rx rings
)

// Ring is the head of a ring in shared memory (struct netmap_ring). NumSlots slots follow it.
//
//	        head         cur          tail
//	         v            v            v
//	---+-----+------------+------------+-----
//	   |     |  the program's slots    |        everything else belongs to the framework
//	---+-----+------------+------------+-----
//
// A program fills (tx) or reads (rx) slots from Head on, then moves Head past those that it has
// finished. poll reports the ring ready when Cur != Tail, so Cur is where the program wants to be
// woken. All indexes wrap at NumSlots.
type Ring struct {
	BufOfs     int64         // buf_ofs: from the ring to buffer 0 of the region; framework, constant
	NumSlots   uint32        // num_slots; framework, constant
	BufSize    uint32        // nr_buf_size; framework, constant
	RingID     uint16        // ringid; framework, constant
	Dir        uint16        // dir: RingTx or RingRx; framework, constant
	Head       atomic.Uint32 // head: first slot that the program keeps; written by the program
	Cur        atomic.Uint32 // cur: where the program wants to be woken; written by the program
	Tail       atomic.Uint32 // tail: first slot after the program's; written by the framework
	Flags      atomic.Uint32 // flags: NR_*; written by the program
	_          [4]byte
	Ts         Timeval // ts: time of the last rxsync; framework
	OffsetMask uint64  // offset_mask: bits of Slot.Ptr that are a packet offset; framework, constant
	BufAlign   uint64  // buf_align: required alignment of an offset; framework, constant
	_          [56]byte
	Sem        [128]byte // sem: for the framework
}

// RingSize is sizeof(struct netmap_ring), where the slots start.
const RingSize = 256

// Directions, as indexes.
const (
	DirTx = 0
	DirRx = 1
)

// Values of Ring.Dir. They are those that the kernel module writes, not those in its header's
// comment.
const (
	RingTx = 1 // NR_TX
	RingRx = 0 // NR_RX
)

// Flags of a ring.
const (
	NRTimestamp = 0x0002 // NR_TIMESTAMP: set Ts in every sync
	NRForward   = 0x0004 // NR_FORWARD: let NSForward slots pass to the other side
)

// Timeval is the C struct timeval of a 64-bit system.
type Timeval struct {
	Sec  int64 // tv_sec: seconds since 1970
	Usec int64 // tv_usec: microseconds
}

// If describes the rings of a binding's port (struct netmap_if). The offsets of the rings follow it
// in memory. They are one int64 for each tx ring, host tx ring, rx ring and host rx ring, in bytes
// from the If, and 0 for a ring that the binding did not ask for.
type If struct {
	Name        [IfNameSize]byte // ni_name
	Version     uint32           // ni_version: 0, written by no netmap
	Flags       uint32           // ni_flags: NIPrivMem
	TxRings     uint32           // ni_tx_rings: hardware rings
	RxRings     uint32           // ni_rx_rings
	BufsHead    atomic.Uint32    // ni_bufs_head: first extra buffer, 0 for none; written by both sides
	HostTxRings uint32           // ni_host_tx_rings: at least 1, also on ports without host rings
	HostRxRings uint32           // ni_host_rx_rings
	_           [3]uint32        // ni_spare1
}

// IfSize is sizeof(struct netmap_if), where the ring offsets start.
const IfSize = 56

// NIPrivMem means that the port's memory is a region of its own (NI_PRIV_MEM).
const NIPrivMem = 0x1
