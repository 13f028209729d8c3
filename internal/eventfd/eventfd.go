//go:build linux

// Package eventfd rings eventfds that somebody else owns, without ever waiting for their owner.
//
// write(2) to an eventfd waits while its counter is full, whoever filled it, and whether it may wait is a property of the
// open file that we share with the owner. The kernel itself can add to a counter without waiting, and does when an
// asynchronous request that names the eventfd is complete: so a request is made that is complete at once.
package eventfd

import (
	"os"
	"strconv"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Is says whether the descriptor is an eventfd.
func Is(fd int) bool {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return err == nil && name == "anon_inode:[eventfd]"
}

// Ringer rings eventfds. It is for one goroutine at a time.
type Ringer struct {
	context uintptr
	done    int // requests whose completion has not been collected
}

// room is how many completed requests the kernel keeps for us.
const room = 64

// New is a Ringer. ENOSYS where the kernel has no asynchronous I/O, EAGAIN where the system has used up fs.aio-max-nr.
func New() (*Ringer, error) {
	r := &Ringer{}
	if e := setup(room, &r.context); e != 0 {
		return nil, fault.New(e, "prepare to ring", "eventfds", "the kernel needs CONFIG_AIO and room below fs.aio-max-nr")
	}
	return r, nil
}

// Ring adds 1 to the counter, which stays at its most when it is full. EINVAL when the descriptor is no eventfd.
func (r *Ringer) Ring(fd int) syscall.Errno {
	if r.done >= room/2 {
		r.done -= collect(r.context)
	}
	e := submit(r.context, fd)
	if e == 0 {
		r.done++
	}
	return e
}

// Close gives back what the kernel keeps for the Ringer.
func (r *Ringer) Close() { destroy(r.context) }
