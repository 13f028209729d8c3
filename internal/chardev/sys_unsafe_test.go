//go:build linux

package chardev

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl is ioctl(2) with data, or without.
func ioctl(fd int, request uint32, data []byte) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(unsafe.SliceData(data))))
	return e
}
