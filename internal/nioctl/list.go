//go:build linux || freebsd

package nioctl

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
)

// ValePorts calls yield with each port of all switches until yield returns false. It may miss ports
// that appear or disappear meanwhile.
func ValePorts(fd int, yield func(name string, at abi.ValeList) bool) error {
	at := abi.ValeList{}
	for {
		h := abi.Header{Version: abi.Version, Type: abi.ReqValeList}
		if err := Control(fd, &h, &at); err != nil {
			if errors.Is(err, syscall.ENOENT) { // no more ports
				return nil
			}
			return err
		}
		if !yield(unix.ByteSliceToString(h.Name[:]), at) {
			return nil
		}
		at.PortIdx++
	}
}
