//go:build linux

package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// busyBudget is how many frames a system call may receive that polls the driver. It is the most
// that drivers expect. // NAPI_POLL_WEIGHT
const busyBudget = 64

const busyOp = "set busy polling of"

// preferBusyPoll has the kernel run the driver's receive loop in our system calls, and do without
// its interrupts as far as the interface allows.
func (s *Socket) preferBusyPoll(microseconds int) error {
	s.busy = true
	return errors.Join(
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL, 1),
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, microseconds),
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL_BUDGET, busyBudget),
	)
}

// checkBusyPoll says EOPNOTSUPP for a bound socket whose receive loop the kernel will never know.
// Until Linux 6.12 it learns that from the first frame, since 6.13 from the driver, in bind.
func (s *Socket) checkBusyPoll() error {
	if !s.busy || !knowsLoopAtBind() {
		return nil
	}
	if id, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID); err != nil ||
		id > 0 {
		return fail(busyOp, s.on, err, nil)
	}
	return fail(busyOp, s.on, unix.EOPNOTSUPP, busyHints)
}

// knowsLoopAtBind says whether the kernel is one that learns of a queue's receive loop in bind.
func knowsLoopAtBind() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 13
}
