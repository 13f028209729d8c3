package frames

import "unsafe"

// address is the address of memory, at which the framework reads it. The caller must keep a
// reference to memory as long. Go's garbage collector does not move it.
func address(memory []byte) uint64 {
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory))))
}
