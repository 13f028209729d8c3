//go:build linux

package xsk

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// busyBudget is how many frames one polling system call may receive: the most that drivers expect
// (NAPI_POLL_WEIGHT).
const busyBudget = 64

const busyOp = "set busy polling of"

// preferBusyPoll makes our system calls run the driver's receive loop, and the driver do without
// interrupts as far as the interface allows.
func (s *Socket) preferBusyPoll(microseconds int) error {
	s.busy = true
	return errors.Join(
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_PREFER_BUSY_POLL, 1),
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL, microseconds),
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_BUSY_POLL_BUDGET, busyBudget),
	)
}

// checkBusyPoll returns EOPNOTSUPP for a bound socket if the kernel cannot learn which receive loop
// its queue has. Until Linux 6.12 the kernel learns that from the first frame, since 6.13 from the
// driver, in bind.
func (s *Socket) checkBusyPoll() error {
	if !s.busy || !knowsLoopAtBind() {
		return nil
	}
	id, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_INCOMING_NAPI_ID)
	if err != nil || id > 0 {
		return fail(busyOp, s.on, err, nil)
	}
	return fail(busyOp, s.on, unix.EOPNOTSUPP, busyHints)
}

// knowsLoopAtBind tells whether the kernel learns of a queue's receive loop in bind.
func knowsLoopAtBind() bool {
	var u unix.Utsname
	var major, minor int
	if unix.Uname(&u) != nil {
		return false
	}
	fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor)
	return major > 6 || major == 6 && minor >= 13
}
