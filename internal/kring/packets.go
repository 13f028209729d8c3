package kring

import "github.com/seed-48afdc40/netmap/abi"

// Fragment is a slot of a packet, read once. Its part of the packet starts at Offset in the buffer;
// Room is the number of bytes from there on.
type Fragment struct {
	abi.SlotWord
	Offset, Room uint32
}

// Gather reads the slots of the packet that starts at slot k, as long as they are before end and
// fit in memory. It reports whether they include the packet's last slot. Callers check and use only
// these copies, because the program may write to slots at any time.
func (r *Ring) Gather(k, end uint32, memory []Fragment) (packet []Fragment, whole bool) {
	n := 0
	for ; k != end && n < len(memory) && !whole; k = r.Next(k) {
		slot := r.Slot(k)
		w, offset := slot.Word(), r.OffsetOf(slot)
		memory[n] = Fragment{w, offset, r.bufs.Size() - offset}
		whole = w.Flags()&abi.NSMoreFrag == 0
		n++
	}
	return memory[:n], whole
}

// Packets takes whole packets out of a tx ring that is held. For a packet with too many slots, it
// returns all its slots, to be dropped.
type Packets struct {
	memory  [abi.MaxFrags]Fragment
	endless bool // the next slots belong to a packet that is too long
}

// PacketState is the kind of the slots that Next returns.
type PacketState int

const (
	Whole   PacketState = iota // all slots of a packet
	Pending                    // slots of a packet whose last one is not handed over: they stay
	TooLong                    // the first slots of a packet that has too many, to be dropped
	Rest                       // more slots of that packet, to be dropped
)

// Next reads the slots of the next packet, from k on. A packet may have most slots, at most
// abi.MaxFrags. The result is valid until the next call.
func (p *Packets) Next(r *Ring, k, most uint32) (packet []Fragment, state PacketState) {
	packet, whole := r.Gather(k, r.Head(), p.memory[:most])
	switch n := uint32(len(packet)); {
	case p.endless:
		p.endless = !whole
		return packet, Rest
	case whole:
		return packet, Whole
	case n < most && n < r.N-1:
		return packet, Pending
	}
	p.endless = true
	return packet, TooLong
}

// InRest reports whether the next slots belong to a packet that was too long.
func (p *Packets) InRest() bool { return p.endless }

// Reset forgets a packet that was too long.
func (p *Packets) Reset() { p.endless = false }
