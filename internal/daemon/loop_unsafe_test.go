//go:build linux

package daemon

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// request makes an NIOCCTRL request with a body and an option, both of which may be nil.
func request(fd int, kind uint16, name string, body, option []byte) syscall.Errno {
	var pin runtime.Pinner
	defer pin.Unpin()
	h := abi.Header{Version: abi.Version, Type: kind}
	copy(h.Name[:], name)
	if len(body) > 0 {
		pin.Pin(&body[0])
		h.Body = shm.Address(body)
	}
	if len(option) > 0 {
		pin.Pin(&option[0])
		h.Options = shm.Address(option)
	}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), abi.NIOCCTRL, uintptr(unsafe.Pointer(&h)))
	return e
}
