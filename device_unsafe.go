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

// control sends a request with its body, which the answer replaces, and options. The framework reads them through their
// addresses. A body of no size is none.
func control[T any](fd int, h *abi.Header, body *T, options ...[]byte) error {
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
	if e := ioctl(fd, abi.NIOCCTRL, unsafe.Pointer(h)); e != 0 {
		return e
	}
	return nil
}

// legacyIoctl sends a request without pointers, which the answer replaces.
func legacyIoctl(fd int, request uint, m *abi.Nmreq) syscall.Errno {
	return ioctl(fd, request, unsafe.Pointer(m))
}
