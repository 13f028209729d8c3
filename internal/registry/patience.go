package registry

import (
	"errors"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// The kernel frees an interface's queue some time after this process has closed it: on a busy
// machine, seconds later. Callers wait for up to QueuePatience, and try again after each
// QueuePause.
const (
	QueuePatience = 5 * time.Second
	QueuePause    = 20 * time.Millisecond
)

// Patiently calls try until it returns false or patience is over. It sleeps for pause between the
// calls.
func Patiently(patience, pause time.Duration, try func() (again bool, err error)) error {
	for end := time.Now().Add(patience); ; time.Sleep(pause) {
		if again, err := try(); !again || time.Now().After(end) {
			return err
		}
	}
}

// NoInterface returns the error for a name that means no interface: ENXIO if err is ENODEV.
func NoInterface(op, name string, err error) error {
	if errors.Is(err, syscall.ENODEV) {
		return fault.New(syscall.ENXIO, op, name,
			"there is no such interface in this network namespace; 'netmap info' lists those there are")
	}
	return fault.Wrap(err, op, name, "")
}
