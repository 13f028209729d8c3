//go:build linux

package pace

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sleep sleeps until a signal comes at the latest. A short sleep is one that the runtime does not
// hear of: to be taken off its processor and to look for one again takes as long as the sleep is
// wrong by.
func sleep(d time.Duration, short bool) {
	t := unix.NsecToTimespec(int64(d))
	if short {
		unix.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&t)), 0, 0)
		return
	}
	unix.Nanosleep(&t, nil)
}
