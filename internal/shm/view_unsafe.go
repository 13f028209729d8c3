//go:build unix

package shm

import (
	"fmt"
	"unsafe"
)

// SameStart says whether two pieces of memory start at the same byte.
func SameStart(a, b []byte) bool { return unsafe.SliceData(a) == unsafe.SliceData(b) }

// Address is where a piece of memory starts, as a request to the framework names it.
func Address(m []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(m)))) }

// place is what an offset into memory may be given as. Offsets in requests have 64 bits, which a uintptr
// of a 32-bit machine would cut.
type place interface{ int | uintptr | uint64 }

// At views the T that starts at byte ofs. A view outside the memory or not aligned for T is a bug of the caller, not
// input: At panics.
func At[T any, O place](mem []byte, ofs O) *T {
	return &Slice[T](mem, ofs, 1)[0]
}

// Slice views n consecutive T that start at byte ofs, with the terms of At.
func Slice[T any, O place](mem []byte, ofs O, n int) []T {
	var t T
	size, align := unsafe.Sizeof(t), uintptr(unsafe.Alignof(t))
	all := uint64(len(mem))
	if n < 0 || uint64(ofs) > all || uint64(n) > (all-uint64(ofs))/uint64(size) {
		panic(fmt.Sprintf("shm: %d objects of %d bytes at %d do not fit in %d bytes", n, size, ofs, len(mem)))
	}
	p := unsafe.Add(unsafe.Pointer(unsafe.SliceData(mem)), ofs)
	if uintptr(p)%align != 0 {
		panic(fmt.Sprintf("shm: object at %d is not aligned to %d", ofs, align))
	}
	return unsafe.Slice((*T)(p), n)
}
