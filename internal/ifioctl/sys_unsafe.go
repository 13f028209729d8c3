//go:build linux

package ifioctl

import (
	"encoding/binary"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// word is the number after the name.
func (r *ifreq) word() uint32 { return native.Uint32(r[unix.IFNAMSIZ:]) }

// data is the address after the name.
func (r *ifreq) data() uint64 { return native.Uint64(r[unix.IFNAMSIZ:]) }

func ioctl(fd int, request uint32, r *ifreq) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request),
		uintptr(unsafe.Pointer(r)))
	return e
}

// ioctlData is ioctl with data that are not in Go's heap.
func ioctlData(fd int, request uint32, r ifreq, data []byte) syscall.Errno {
	native.PutUint64(r[unix.IFNAMSIZ:], uint64(uintptr(unsafe.Pointer(&data[0]))))
	e := ioctl(fd, request, &r)
	runtime.KeepAlive(data)
	return e
}
