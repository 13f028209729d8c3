package abi

import (
	"sync/atomic"
	"unsafe"
)

// Bytes returns the memory of a structure of this package, to be sent or received as it stands.
func Bytes[T any](p *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p))
}

// View is the structure that lies in b, the inverse of Bytes. It panics when b is too short for it or not aligned.
func View[T any](b []byte) *T {
	var t T
	if p := unsafe.Pointer(unsafe.SliceData(b)); uintptr(len(b)) >= unsafe.Sizeof(t) && uintptr(p)%unsafe.Alignof(t) == 0 {
		return (*T)(p)
	}
	panic("abi: View of bytes that hold no such structure")
}

// SlotWord is the first half of a slot, everything but Ptr, as one value.
type SlotWord uint64

// MakeSlotWord is the SlotWord of a slot with these fields.
func MakeSlotWord(bufIdx uint32, length, flags uint16) SlotWord {
	return SlotWord(bufIdx) | SlotWord(length)<<32 | SlotWord(flags)<<48
}

// BufIdx is the buffer index.
func (w SlotWord) BufIdx() uint32 { return uint32(w) }

// Len is the length in bytes.
func (w SlotWord) Len() uint16 { return uint16(w >> 32) }

// Flags are the NS_* flags.
func (w SlotWord) Flags() uint16 { return uint16(w >> 48) }

// Word reads the first half of the slot in a single load: the peer may write it at any time, and what was checked has
// to be what is used.
func (s *Slot) Word() SlotWord {
	return SlotWord(atomic.LoadUint64((*uint64)(unsafe.Pointer(s))))
}

// SetWord writes the first half of the slot in a single store. Publishing the slot is up to the ring's tail.
func (s *Slot) SetWord(w SlotWord) {
	*(*uint64)(unsafe.Pointer(s)) = uint64(w)
}
