//go:build linux

package xsk

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// queueID identifies a queue among the interfaces of all network namespaces.
type queueID struct {
	namespace      uint64 // SO_NETNS_COOKIE
	ifindex, queue int
}

// holds is what this process knows of the queues that it has or had open. The kernel returns only
// EBUSY, not which process has the queue. It frees the queue of a closed socket later, in a work
// queue, after a grace period and under rtnl_lock.
var holds = struct {
	mu     sync.Mutex
	open   map[queueID]int       // sockets that are bound
	closed map[queueID]time.Time // when the last was closed
}{open: map[queueID]int{}, closed: map[queueID]time.Time{}}

// patience is how long bind waits for a busy queue: the process that had it may have just ended.
var patience = time.Second

// memorable is how long this process remembers that it closed a queue.
const memorable = time.Minute

// id returns the identity of the socket's queue.
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

// gave notes that such a socket has been closed.
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

// closing marks the error of a queue that this process has closed and the kernel has not freed.
type closing struct{ error }

func (c closing) Unwrap() error { return c.error }

// WillBeFree tells whether an error of Open means that the queue will be free within seconds, so
// that the caller should try again: this process has closed its socket there.
func WillBeFree(err error) bool { return errors.As(err, &closing{}) }

// busy is the error of a queue that stayed busy while bind waited.
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
			fmt.Sprintf("this program closed it %v ago, and the kernel has not freed "+
				"it yet: try again", since.Round(time.Millisecond)))
	}
	return tell(err, "the queue is in use by another program, or by one that has just ended: "+
		"stop that program, try again, or use another queue")
}
