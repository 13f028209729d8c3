//go:build linux

package wake

import (
	"os"
	"strconv"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// IsEventfd says whether the descriptor is an eventfd.
func IsEventfd(fd int) bool {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return err == nil && name == "anon_inode:[eventfd]"
}

// Ringer wakes whoever waits for eventfds of other processes, and never waits for their owners. It
// is for one goroutine at a time.
//
// write(2) to an eventfd waits while its counter is full, unless the open file says otherwise, which
// we share with the owner. The kernel itself adds to a counter without waiting when an asynchronous
// request that names the eventfd is complete. So the Ringer makes requests that complete at once.
type Ringer struct {
	context uintptr
	done    int // requests whose completion has not been collected
}

// room is how many completed requests the kernel keeps for us.
const room = 64

// NewRinger makes a Ringer. ENOSYS where the kernel has no asynchronous I/O, EAGAIN where the system
// has used up fs.aio-max-nr.
func NewRinger() (*Ringer, error) {
	r := &Ringer{}
	if e := setup(room, &r.context); e != 0 {
		return nil, fault.New(e, "prepare to ring", "eventfds", "the kernel needs CONFIG_AIO and room below fs.aio-max-nr")
	}
	return r, nil
}

// Ring adds 1 to the counter. A full one stays full. EINVAL when the descriptor is no eventfd.
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
