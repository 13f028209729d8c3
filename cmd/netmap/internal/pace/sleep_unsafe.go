//go:build linux

package pace

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sleep sleeps for d, or until a signal comes. Go's runtime does not know of a short sleep: to give
// up a processor and to get one again takes longer than the error that the caller wants to avoid.
func sleep(d time.Duration, short bool) {
	t := unix.NsecToTimespec(int64(d))
	if short {
		unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
		return
	}
	unix.Nanosleep(&t, nil)
}
