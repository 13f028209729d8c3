//go:build linux || freebsd

package nioctl

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
)

// ValePorts calls yield with the ports of all switches, one after another, until it says no: a port that comes or goes meanwhile
// may be missing.
func ValePorts(fd int, yield func(name string, at abi.ValeList) bool) error {
	at := abi.ValeList{}
	for {
		h := abi.Header{Version: abi.Version, Type: abi.ReqValeList}
		if err := Control(fd, &h, &at); err != nil {
			if errors.Is(err, syscall.ENOENT) { // that was the last one
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
