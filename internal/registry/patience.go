package registry

import (
	"errors"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Of an interface's queue that this process has just closed: how long it is waited for, and the
// pause between two tries, in which others open ports. The kernel frees it later, after some
// seconds where the machine is busy.
const (
	QueuePatience = 5 * time.Second
	QueuePause    = 20 * time.Millisecond
)

// Patiently tries again for a while, with pauses in which no lock is held, as long as try says that
// this may help.
func Patiently(patience, pause time.Duration, try func() (again bool, err error)) error {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		if again, err := try(); !again || time.Now().After(end) {
			return err
		}
	}
}

// NoInterface is the error for a name that means no interface. ENXIO when there is none.
func NoInterface(op, name string, err error) error {
	if errors.Is(err, syscall.ENODEV) {
		return fault.New(syscall.ENXIO, op, name,
			"there is no such interface in this network namespace; 'netmap info' lists those there are")
	}
	return fault.Wrap(err, op, name, "")
}
