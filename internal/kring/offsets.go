package kring

import "github.com/seed-48afdc40/netmap/abi"

// Offsets say how far into their buffers the frames of a ring may start. A slot's ptr has the offset, in the bits of the
// mask. Without a mask frames start where buffers do.
type Offsets struct {
	Mask     uint64
	Max, Gap uint32 // bytes; Gap is what may be written from an offset on, 0 for all up to the buffer's end
}

// Offsets are the ring's.
func (r *Ring) Offsets() Offsets {
	if o := r.offsets.Load(); o != nil {
		return *o
	}
	return Offsets{}
}

// HasOffsets says whether frames may start elsewhere than at the start of a buffer. Loops ask once.
func (r *Ring) HasOffsets() bool { return r.offsets.Load() != nil }

// SetOffsets changes them, in a ring that is held and has memory.
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

// OffsetOf is how far into its buffer the frame of a slot starts: never more than the largest that was agreed on, whatever
// the program wrote. The slot is read once.
func (r *Ring) OffsetOf(s *abi.Slot) uint32 { return r.Offsets().in(s.Ptr) }

func (o Offsets) in(ptr uint64) uint32 { return uint32(min(ptr&o.Mask, uint64(o.Max))) }

// Span is where a frame may be written in a slot's buffer: from where on, and how many bytes.
func (r *Ring) Span(s *abi.Slot) (offset, room uint32) {
	o := r.Offsets()
	offset = o.in(s.Ptr)
	return offset, o.room(r.bufs.Size() - offset)
}

// room is how much may be written of what is left of a buffer.
func (o Offsets) room(left uint32) uint32 {
	if o.Gap > 0 {
		return min(left, o.Gap)
	}
	return left
}

// LeastRoom is how much every slot has room for, whatever offset the program writes.
func (r *Ring) LeastRoom() uint32 {
	o := r.Offsets()
	return o.room(r.bufs.Size() - o.Max)
}
