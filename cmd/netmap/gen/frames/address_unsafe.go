package frames

import "unsafe"

// address is where memory lies, for a framework that is to read it there. It must be kept, and does not move: the garbage
// collector leaves things where they are.
func address(memory []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(memory)))) }
