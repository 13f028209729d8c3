//go:build linux

package device

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

func addressOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// ioctl makes a request; data is its structure.
func ioctl(fd int, request uint32, data []byte) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request),
		uintptr(unsafe.Pointer(unsafe.SliceData(data))))
	return e
}
