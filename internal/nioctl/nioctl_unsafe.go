//go:build linux || freebsd

// Package nioctl sends requests to a netmap device, of netmap serve or of the kernel module.
package nioctl

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
)

// Do sends a request. arg is its structure or nil; the answer overwrites it.
func Do[T any](fd int, request uint, arg *T) syscall.Errno {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request),
			uintptr(unsafe.Pointer(arg)))
		if e != unix.EINTR {
			return e
		}
	}
}

// Control sends a request of NIOCCTRL with its body and options. The answer overwrites the body. A
// body of size 0 is not sent. The framework reads body and options through their addresses.
func Control[T any](fd int, h *abi.Header, body *T, options ...[]byte) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	if unsafe.Sizeof(*body) > 0 {
		pin.Pin(body)
		h.Body = uint64(uintptr(unsafe.Pointer(body)))
	}
	next := &h.Options
	for _, o := range options {
		pin.Pin(&o[0])
		*next = uint64(uintptr(unsafe.Pointer(&o[0])))
		next = &abi.View[abi.Option](o).Next
	}
	if e := Do(fd, abi.NIOCCTRL, h); e != 0 {
		return e
	}
	return nil
}
