package cli

import (
	"bytes"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
)

// listVale walks the ports of all switches of a device.
func listVale(f *os.File) (names []string) {
	at := new(abi.ValeList)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(at)
	const most = 1000 // of them are more than anybody reads
	for len(names) < most {
		h := abi.Header{Version: abi.Version, Type: abi.ReqValeList, Body: uint64(uintptr(unsafe.Pointer(at)))}
		if _, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), uintptr(uint(abi.NIOCCTRL)), uintptr(unsafe.Pointer(&h))); e != 0 {
			break // ENOENT after the last one
		}
		name, _, _ := bytes.Cut(h.Name[:], []byte{0})
		names = append(names, string(name))
		at.PortIdx++
	}
	return names
}
