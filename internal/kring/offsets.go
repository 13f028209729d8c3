package kring

import "github.com/seed-48afdc40/netmap/abi"

// Offsets limit how far into their buffers the frames of a ring may start. A slot's ptr holds the
// offset, in the bits of Mask. With an empty mask, frames start where buffers do.
type Offsets struct {
	Mask     uint64
	Max, Gap uint32 // in bytes; Gap is the room after an offset; 0 means the rest of the buffer
}

// Offsets returns the ring's offsets.
func (r *Ring) Offsets() Offsets {
	if o := r.offsets.Load(); o != nil {
		return *o
	}
	return Offsets{}
}

// HasOffsets reports whether frames may start inside their buffers. Loops call it once, not for
// each slot.
func (r *Ring) HasOffsets() bool { return r.offsets.Load() != nil }

// SetOffsets sets the offsets of a ring with memory. The caller holds the ring.
func (r *Ring) SetOffsets(o Offsets) {
	r.offsets.Store(&o)
	r.shared.OffsetMask = o.Mask
}

// SetInitialOffset writes an offset to all slots.
func (r *Ring) SetInitialOffset(offset uint32) {
	for i := range r.slots {
		r.SetOffset(&r.slots[i], offset)
	}
}

// SetOffset writes a slot's offset.
func (r *Ring) SetOffset(s *abi.Slot, offset uint32) {
	mask := r.Offsets().Mask
	s.Ptr = s.Ptr&^mask | uint64(offset)&mask
}

// OffsetOf returns where in its buffer the frame of a slot starts. The result is at most Max,
// whatever the program wrote. It reads the slot once.
func (r *Ring) OffsetOf(s *abi.Slot) uint32 { return r.Offsets().in(s.Ptr) }

func (o Offsets) in(ptr uint64) uint32 { return uint32(min(ptr&o.Mask, uint64(o.Max))) }

// Span returns where in a slot's buffer a frame may be written, and how many bytes fit.
func (r *Ring) Span(s *abi.Slot) (offset, room uint32) {
	o := r.Offsets()
	offset = o.in(s.Ptr)
	return offset, o.room(r.bufs.Size() - offset)
}

// room returns how many bytes may be written if left bytes of the buffer remain.
func (o Offsets) room(left uint32) uint32 {
	if o.Gap > 0 {
		return min(left, o.Gap)
	}
	return left
}

// LeastRoom returns how many bytes fit into every slot, whatever offset the program writes.
func (r *Ring) LeastRoom() uint32 {
	o := r.Offsets()
	return o.room(r.bufs.Size() - o.Max)
}
