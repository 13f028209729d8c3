package kring

import "github.com/seed-48afdc40/netmap/abi"

// Fragment is a slot of a packet as it was read: its part of the packet starts at an offset in its
// buffer, and has some room there, in bytes.
type Fragment struct {
	abi.SlotWord
	Offset, Room uint32
}

// Gather reads the slots of the packet that starts at slot k, as many as there are before slot end
// and find room in memory, and says whether the packet's end is among them. What is checked has to
// be what was read here: the program may write slots at any time.
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

// Packets takes packets out of a tx ring that is held, whole ones. Of one with more slots than a
// packet can have, all slots are taken, and are to be dropped.
type Packets struct {
	memory  [abi.MaxFrags]Fragment
	endless bool // the slots to come belong to a packet that is too long
}

// PacketState says what slots Next has found.
type PacketState int

const (
	Whole   PacketState = iota // all slots of a packet
	Pending                    // slots of one whose end has not been handed over: they stay
	TooLong                    // the first slots of one that has too many, to be dropped
	Rest                       // more slots of that one, to be dropped
)

// Next reads the slots from k on that are the next packet, which may have most slots, at most
// abi.MaxFrags. It is valid until the next call.
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

// InRest says whether the slots to come belong to a packet that was too long.
func (p *Packets) InRest() bool { return p.endless }

// Reset forgets what was read.
func (p *Packets) Reset() { p.endless = false }
