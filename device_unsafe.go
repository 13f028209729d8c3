//go:build linux || freebsd

package netmap

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
)

// voidBit is set in the numbers of requests without a structure on FreeBSD.
const voidBit = freebsdBit & abi.FreeBSDVoid

func ioctl(fd int, request uint, arg unsafe.Pointer) syscall.Errno {
	for {
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(arg)); e != unix.EINTR {
			return e
		}
	}
}

// control sends a request with its body, which the answer replaces. The framework reads both through their addresses.
func control[T any](fd int, h *abi.Header, body *T) error { return controlWith(fd, h, body, nil) }

// controlWith is control with an option, if there is one. A body of no size is none.
func controlWith[T any](fd int, h *abi.Header, body *T, option []byte) error {
	var pin runtime.Pinner
	defer pin.Unpin()
	if unsafe.Sizeof(*body) > 0 {
		pin.Pin(body)
		h.Body = uint64(uintptr(unsafe.Pointer(body)))
	}
	if len(option) > 0 {
		pin.Pin(&option[0])
		h.Options = uint64(uintptr(unsafe.Pointer(&option[0])))
	}
	if e := ioctl(fd, abi.NIOCCTRL, unsafe.Pointer(h)); e != 0 {
		return e
	}
	return nil
}
