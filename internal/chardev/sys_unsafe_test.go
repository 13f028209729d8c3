//go:build linux

package chardev

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl is ioctl(2) with data, or without.
func ioctl(fd int, request uint32, data []byte) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request),
		uintptr(unsafe.Pointer(unsafe.SliceData(data))))
	return e
}

// epollAdd is EPOLL_CTL_ADD. Adding a file sends a request to the device, which is in the same
// process, and unix.EpollCtl does not tell Go's scheduler that it may block.
func epollAdd(epoll, fd int, events uint32) syscall.Errno {
	e := unix.EpollEvent{Events: events}
	_, _, errno := unix.Syscall6(unix.SYS_EPOLL_CTL, uintptr(epoll), unix.EPOLL_CTL_ADD, uintptr(fd),
		uintptr(unsafe.Pointer(&e)), 0, 0)
	return errno
}
