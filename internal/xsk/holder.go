//go:build linux

package xsk

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// queueID is a queue of an interface of any network namespace.
type queueID struct {
	namespace      uint64 // cookie
	ifindex, queue int
}

// holds is what this process knows of the queues that it holds or held: the kernel says only that a
// queue is busy, not who has it, and frees the queue of a closed socket later, in a work queue,
// after a grace period and under rtnl_lock.
var holds = struct {
	mu     sync.Mutex
	open   map[queueID]int       // sockets that are bound
	closed map[queueID]time.Time // when the last was closed
}{open: map[queueID]int{}, closed: map[queueID]time.Time{}}

// patience is how long bind waits for a queue that is busy: whoever had it may have just ended.
var patience = time.Second

// memorable is how long after its last close a queue counts as ours.
const memorable = time.Minute

// id is what tells the socket's queue from all others.
func (s *Socket) id() queueID {
	cookie, _ := unix.GetsockoptUint64(s.fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE) // since Linux 5.14
	return queueID{cookie, s.ifindex, s.queue}
}

// took notes that a socket is bound to the queue.
func took(q queueID) {
	holds.mu.Lock()
	defer holds.mu.Unlock()
	holds.open[q]++
}

// gave notes that it has been closed.
func gave(q queueID) {
	holds.mu.Lock()
	defer holds.mu.Unlock()
	if holds.open[q]--; holds.open[q] == 0 {
		delete(holds.open, q)
	}
	for q, t := range holds.closed {
		if time.Since(t) > memorable {
			delete(holds.closed, q)
		}
	}
	holds.closed[q] = time.Now()
}

// closing marks the error of a queue that this process has closed and that the kernel has not let
// go.
type closing struct{ error }

func (c closing) Unwrap() error { return c.error }

// WillBeFree says whether an error of Open is that of a queue which will be free in some seconds at
// most, so that it is worth while to try again: this process has closed its socket there.
func WillBeFree(err error) bool { return errors.As(err, &closing{}) }

// busy is the error of a queue that was waited for in vain.
func busy(q queueID, on string, err error) error {
	holds.mu.Lock()
	defer holds.mu.Unlock()
	t, ours := holds.closed[q]
	since := time.Since(t)
	tell := func(err error, hint string) error {
		return fail(fmt.Sprintf("wait %v for", patience), on, err, hints{unix.EBUSY: hint})
	}
	switch {
	case holds.open[q] > 0:
		return tell(err, "this program has it open already: close that socket or use another queue")
	case ours && since <= memorable:
		return tell(closing{err},
			fmt.Sprintf("this program closed it %v ago, and the kernel has not let "+
				"it go yet: try again", since.Round(time.Millisecond)))
	}
	return tell(err, "the queue is in use by another program, or by one that has just ended: "+
		"stop that program, try again, or use another queue")
}
