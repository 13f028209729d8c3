//go:build linux

package daemon

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// copyMemory is process_vm_readv(2) or process_vm_writev(2) with one piece on either side. It does
// not allocate.
func copyMemory(call uintptr, pid int, addr uint64, b []byte) (int, syscall.Errno) {
	local := unix.Iovec{Base: &b[0]}
	local.SetLen(len(b))
	remote := unix.RemoteIovec{Base: uintptr(addr), Len: len(b)}
	n, _, e := unix.Syscall6(call, uintptr(pid), uintptr(unsafe.Pointer(&local)), 1,
		uintptr(unsafe.Pointer(&remote)), 1, 0)
	return int(n), e
}
