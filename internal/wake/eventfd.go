//go:build linux

package wake

import (
	"time"

	"golang.org/x/sys/unix"
)

// one increases the counter of an eventfd by 1 when it is written.
var one = [8]byte{1}

// Eventfd is an eventfd of this process. Wake makes it readable until the next Drain. No method
// blocks.
type Eventfd int32

// NewEventfd makes an eventfd that is not readable yet.
func NewEventfd() (Eventfd, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	return Eventfd(fd), err
}

// Wake makes the eventfd readable.
func (e Eventfd) Wake() { unix.Write(int(e), one[:]) }

// Drain makes the eventfd unreadable until the next Wake.
func (e Eventfd) Drain() {
	var counter [8]byte
	unix.Read(int(e), counter[:])
}

// In returns the argument with which poll(2) waits for Wake.
func (e Eventfd) In() unix.PollFd { return unix.PollFd{Fd: int32(e), Events: unix.POLLIN} }

// Close closes the descriptor.
func (e Eventfd) Close() error { return unix.Close(int(e)) }

// Poll is poll(2) with a time.Duration; a negative one has no end. It returns how many descriptors
// are ready: 0 if the time is over, or after a signal.
func Poll(fds []unix.PollFd, left time.Duration) int {
	var timeout *unix.Timespec
	if left >= 0 {
		t := unix.NsecToTimespec(int64(left))
		timeout = &t
	}
	n, err := unix.Ppoll(fds, timeout, nil)
	if err != nil {
		return 0
	}
	return n
}
