package frames

import "unsafe"

// address returns the address at which the framework reads memory. Until it has been read, the
// caller must keep a reference to memory. Go's garbage collector does not move memory.
func address(memory []byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
}
