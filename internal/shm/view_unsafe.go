//go:build unix

package shm

import (
	"fmt"
	"unsafe"
)

// SameStart reports whether two slices start at the same byte.
func SameStart(a, b []byte) bool { return unsafe.SliceData(a) == unsafe.SliceData(b) }

// Address is the address of a slice, for requests to the framework.
func Address(m []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(m)))) }

// place is the type of an offset in memory. Offsets in requests have 64 bits, more than a uintptr
// has on a 32-bit machine.
type place interface{ int | uintptr | uint64 }

// At returns a view of the T that starts at byte ofs. It panics if the T is outside mem or not
// aligned: the caller must have checked ofs.
func At[T any, O place](mem []byte, ofs O) *T {
	return &Slice[T](mem, ofs, 1)[0]
}

// Slice returns a view of n consecutive T that start at byte ofs, and panics as At does.
func Slice[T any, O place](mem []byte, ofs O, n int) []T {
	var t T
	size, align := unsafe.Sizeof(t), uintptr(unsafe.Alignof(t))
	all := uint64(len(mem))
	if n < 0 || uint64(ofs) > all || uint64(n) > (all-uint64(ofs))/uint64(size) {
		panic(fmt.Sprintf("shm: %d objects of %d bytes at %d do not fit in %d bytes", n, size, ofs,
			len(mem)))
	}
	p := unsafe.Add(unsafe.Pointer(unsafe.SliceData(mem)), ofs)
	if uintptr(p)%align != 0 {
		panic(fmt.Sprintf("shm: object at %d is not aligned to %d", ofs, align))
	}
	return unsafe.Slice((*T)(p), n)
}
