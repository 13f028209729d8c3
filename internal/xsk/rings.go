//go:build linux

package xsk

import (
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A ring is an array of 2^n entries and two free-running 32-bit indexes. The producer writes
// entries, then its index; the consumer reads entries, then writes its index. Which side is ours
// depends on the ring (see Socket). The cache line of a shared index moves between two CPUs, which
// is slow. So producer and consumer read the peer's index only when the value that they remember
// does not satisfy the batch, and write their own once per batch.
//
//	      tail            head
//	       v               v
//	+---+---+---+---+---+---+---+---+
//	|   | x | x | x | x |   |   |   |      x: entries that the consumer may read
//	+---+---+---+---+---+---+---+---+
//	      consumer        producer
//	      index           index

// producer is our end of a ring whose consumer is the kernel: fill and TX.
type producer struct {
	prod  *atomic.Uint32 // shared, written by us: entries before it are the kernel's
	cons  *atomic.Uint32 // shared, written by the kernel: entries before it are ours again
	flags *atomic.Uint32 // shared, written by the kernel: XDP_RING_NEED_WAKEUP
	head  uint32         // what we last wrote to prod
	tail  uint32         // entries before it are ours again: what we last read from cons, or later
	size  uint32         // entries
}

// room is the number of entries that may be written, at most max.
func (p *producer) room(max uint32) uint32 {
	free := p.size - (p.head - p.tail)
	if free < max {
		p.look()
		free = p.size - (p.head - p.tail)
	}
	return min(free, max)
}

// commit hands the next n entries to the kernel.
func (p *producer) commit(n uint32) {
	p.head += n
	p.prod.Store(p.head)
}

// pending is the number of entries that the kernel has not taken yet.
func (p *producer) pending() uint32 {
	p.look()
	return p.head - p.tail
}

// look reads the peer's index. After a refusal that index may lag behind what the peer is known to
// have taken, see Socket.refuse.
func (p *producer) look() {
	if v := p.cons.Load(); int32(v-p.tail) > 0 {
		p.tail = v
	}
}

// needWakeup tells whether the kernel waits for a system call before it looks at the ring again.
// The load of the flag must not overtake the store of the index. Go's atomics are sequentially
// consistent, so it does not.
func (p *producer) needWakeup() bool {
	return p.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0
}

// consumer is our end of a ring whose producer is the kernel: RX and completion.
type consumer struct {
	prod *atomic.Uint32 // shared, written by the kernel: entries before it are ours
	cons *atomic.Uint32 // shared, written by us: entries before it are the kernel's again
	head uint32         // what we last read from prod
	tail uint32         // what we last wrote to cons
}

// ready is the number of entries that may be read, at most max.
func (c *consumer) ready(max uint32) uint32 {
	if c.head-c.tail < max {
		c.head = c.prod.Load()
	}
	return min(c.head-c.tail, max)
}

// release gives the next n entries back to the kernel.
func (c *consumer) release(n uint32) {
	c.tail += n
	c.cons.Store(c.tail)
}
