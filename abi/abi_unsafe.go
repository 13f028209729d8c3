package abi

import (
	"sync/atomic"
	"unsafe"
)

// Bytes returns the memory of a structure of this package, for example to send it.
func Bytes[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

// View returns the structure in b; it is the inverse of Bytes. It panics if b is too short or not
// aligned.
func View[T any](b []byte) *T {
	var t T
	p := unsafe.Pointer(unsafe.SliceData(b))
	if uintptr(len(b)) >= unsafe.Sizeof(t) && uintptr(p)%unsafe.Alignof(t) == 0 {
		return (*T)(p)
	}
	panic("abi: View of bytes that hold no such structure")
}

// SlotWord is the first half of a slot, all fields but Ptr, as one value.
type SlotWord uint64

// MakeSlotWord returns the SlotWord of a slot with these fields.
func MakeSlotWord(bufIdx uint32, length, flags uint16) SlotWord {
	return SlotWord(bufIdx) | SlotWord(length)<<32 | SlotWord(flags)<<48
}

// BufIdx is the index of the buffer.
func (w SlotWord) BufIdx() uint32 { return uint32(w) }

// Len is the length in bytes.
func (w SlotWord) Len() uint16 { return uint16(w >> 32) }

// Flags are the NS_* flags.
func (w SlotWord) Flags() uint16 { return uint16(w >> 48) }

// Word reads the first half of the slot in a single load. The peer may write the slot at any time,
// so a value must be checked and used from the same load.
func (s *Slot) Word() SlotWord {
	return SlotWord(atomic.LoadUint64((*uint64)(unsafe.Pointer(s))))
}

// SetWord writes the first half of the slot in a single store. The slot is published by a store to
// the ring's tail or head, not by this.
func (s *Slot) SetWord(w SlotWord) {
	*(*uint64)(unsafe.Pointer(s)) = uint64(w)
}
