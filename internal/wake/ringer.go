//go:build linux

package wake

import (
	"os"
	"strconv"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// IsEventfd reports whether the descriptor is an eventfd.
func IsEventfd(fd int) bool {
	name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	return err == nil && name == "anon_inode:[eventfd]"
}

// Ringer adds to the counters of eventfds of other processes, without ever waiting for their
// owners. It is for one goroutine at a time.
//
// A write(2) to an eventfd blocks while its counter is full, unless the open file is non-blocking,
// which the owner determines. The kernel itself adds to a counter without blocking when an
// asynchronous request that names the eventfd completes. So the Ringer makes requests that complete
// at once.
type Ringer struct {
	context uintptr
	done    int // requests whose completion has not been collected
}

// room is how many completed requests the kernel keeps.
const room = 64

// NewRinger makes a Ringer. Errors: ENOSYS on a kernel without asynchronous I/O, EAGAIN if the
// system has used up fs.aio-max-nr.
func NewRinger() (*Ringer, error) {
	r := &Ringer{}
	if e := setup(room, &r.context); e != 0 {
		return nil, fault.New(e, "prepare to signal", "eventfds",
			"the kernel needs CONFIG_AIO and room below fs.aio-max-nr")
	}
	return r, nil
}

// Ring adds 1 to the counter. A full counter stays full. It returns EINVAL if the descriptor is not
// an eventfd.
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

// Close frees what the kernel keeps for the Ringer.
func (r *Ringer) Close() { destroy(r.context) }
