package lb

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

const (
	// retryTime bounds the sleep of the balancer while frames wait for room in a pipe.
	retryTime = time.Millisecond
	// dropBatch is the number of buffers freed at once by dropping frames that wait.
	dropBatch = 150
	// fetchAhead is the number of frames loaded into the cache at a time.
	fetchAhead = 32
)

// balancer spreads the frames of a port over pipes. Every group of pipes gets every frame.
type balancer struct {
	in        *netmap.Port
	groups    [][]*output
	outputs   []*output // of all groups
	by        hashing
	batch     int
	busy      bool     // poll without sleeping
	extra     int      // extra buffers
	free      []uint32 // extra buffers without a frame
	received  atomic.Uint64
	bytes     atomic.Uint64
	nonIP     atomic.Uint64
	tooLong   atomic.Uint64 // slots dropped: frames longer than the ring
	malformed atomic.Uint64 // frames dropped: a slot was invalid
	unused    atomic.Uint64 // extra buffers without a frame, for the reporter
	seen      byte          // has no meaning: fetch writes it so that the compiler keeps the loads
}

// open opens the input and the pipes.
func (o *flags) open(open cli.Opener) (*balancer, error) {
	in, err := open(o.port, netmap.RxOnly(), netmap.ExtraBufs(o.extra))
	if err != nil {
		return nil, err
	}
	b := &balancer{in: in, by: o.by, batch: o.batch, busy: o.busy, free: in.TakeExtra()}
	b.extra = len(b.free)
	b.unused.Store(uint64(b.extra))
	if b.extra < o.extra {
		fmt.Fprintf(o.err, "Only %s can be reserved, not %d.\n",
			cli.Count(uint64(b.extra), "extra buffer"), o.extra)
	}
	for _, g := range o.groups {
		var group []*output
		for i := range g.pipes {
			p, err := b.openPipe(open, fmt.Sprintf("%s{%d", g.name, g.first+i))
			if err != nil {
				b.in.ReturnExtra(b.free...)
				return nil, err
			}
			group = append(group, p)
		}
		b.groups = append(b.groups, group)
		b.outputs = append(b.outputs, group...)
	}
	return b, nil
}

// openPipe opens the tx ring of a pipe, exclusively.
func (b *balancer) openPipe(open cli.Opener, name string) (*output, error) {
	p, err := open(name + "/xT")
	if err != nil {
		return nil, err
	}
	if !p.SameRegion(b.in) {
		return nil, fmt.Errorf("%s is in another memory region than %s, so frames cannot be moved: "+
			"close the programs that have it open", name, b.in.Name())
	}
	o := &output{name: name, port: p, ring: p.Tx()[0],
		wait: queue{slots: make([]abi.SlotWord, b.extra)}}
	o.room = o.ring.Window()
	return o, nil
}

// run balances until the context ends or a port fails. At the end it returns the extra buffers to
// the port.
func (b *balancer) run(ctx context.Context) error {
	defer b.returnExtra()
	for ctx.Err() == nil {
		if err := b.await(ctx); err != nil {
			return err
		}
		if err := b.round(); err != nil {
			return err
		}
	}
	return nil
}

// await sleeps until frames come, or until it is time to retry frames that wait for room.
func (b *balancer) await(ctx context.Context) error {
	if b.busy {
		return b.in.RxSync()
	}
	timeout := cli.PollTime
	if len(b.free) < b.extra {
		timeout = retryTime
	}
	return cli.Await(ctx, b.in, netmap.In, timeout)
}

// round forwards the frames that wait, and the frames of the input.
func (b *balancer) round() error {
	for _, o := range b.outputs {
		if o.synced = false; o.wait.n > 0 {
			if err := o.sync(); err != nil {
				return err
			}
			b.free = o.drain(b.free)
		}
	}
	for _, ring := range b.in.Rx() {
		if err := b.spread(ring); err != nil {
			return err
		}
	}
	for _, o := range b.outputs {
		if o.dirty {
			if err := o.sync(); err != nil {
				return err
			}
		}
		o.endRound()
	}
	b.unused.Store(uint64(len(b.free)))
	return nil
}

// spread forwards the frames of one ring, at most a batch.
func (b *balancer) spread(ring *netmap.Ring) (err error) {
	r := ring.Window()
	var frames, sum, nonIP, malformed uint64
	incomplete, fetched := false, 0
	for r.Len() > 0 && frames < uint64(b.batch) && !incomplete && err == nil {
		if fetched == 0 {
			fetched = b.fetch(r)
		}
		n, size, m := r.Measure()
		switch m {
		case netmap.Incomplete:
			incomplete = true // the rest of the frame has not come yet
			continue
		case netmap.TooLong:
			b.tooLong.Add(uint64(n))
		case netmap.Malformed:
			malformed++
		default:
			h, ip := b.by.hash(r.Frame())
			if frames++; !ip {
				nonIP++
			}
			err = b.dispatch(&r, n, size, h)
		}
		sum += uint64(size)
		r.Skip(n)
		fetched = max(0, fetched-n)
	}
	r.Commit()
	b.received.Add(frames)
	b.bytes.Add(sum)
	b.nonIP.Add(nonIP)
	b.malformed.Add(malformed)
	return err
}

// fetch loads the headers of the next frames into the cache, and returns the number of frames. The
// headers are in another core's cache: loading all at once takes little longer than loading one.
func (b *balancer) fetch(r netmap.Window) int {
	n := min(fetchAhead, r.Len())
	for range n {
		if f := r.Frame(); len(f) > 0 {
			b.seen ^= f[0]
		}
		r.Next()
	}
	return n
}

// dispatch forwards a frame of n slots to one pipe of each group. The last group gets the buffers,
// the other groups get copies.
func (b *balancer) dispatch(r *netmap.Window, n, size int, h uint64) error {
	last := len(b.groups) - 1
	for i, group := range b.groups {
		o, w := group[pipeOf(h, len(group))], *r
		if o.move(&w, i == last) == netmap.Moved { // the usual case
			continue
		}
		if err := b.retry(o, *r, n, size, i == last); err != nil {
			return err
		}
	}
	return nil
}

// retry forwards a frame that move refused: it syncs the pipe and tries again, enqueues the frame,
// or drops it.
func (b *balancer) retry(o *output, r netmap.Window, n, size int, swap bool) error {
	m := netmap.NoRoom
	if !o.synced { // there may be room after a sync
		if err := o.sync(); err != nil {
			return err
		}
		b.free = o.drain(b.free)
		w := r
		m = o.move(&w, swap)
	}
	switch {
	case m == netmap.Moved:
	case m == netmap.NoRoom && n < o.ring.NumSlots() && b.makeFree(n):
		b.enqueue(o, r, n, swap)
	default:
		o.n.dropped.frames++
		o.n.dropped.bytes += uint64(size)
	}
	return nil
}

// enqueue adds a frame to the queue of a pipe. With swap, the queue takes the frame's buffers, and
// extra buffers replace them in the rx ring. Without swap, or if the frame has an offset in its
// buffers, the queue takes a copy: queued frames start at the beginning of their buffers.
func (b *balancer) enqueue(o *output, r netmap.Window, n int, swap bool) {
	for range n {
		last := len(b.free) - 1
		spare := b.free[last]
		b.free = b.free[:last]
		slot := r.Slot()
		w := slot.Word()
		frame := r.Frame()
		flags := w.Flags()&abi.NSMoreFrag | abi.NSBufChanged
		if swap && len(r.Buf()) == len(b.in.Buf(w.BufIdx())) {
			o.wait.push(abi.MakeSlotWord(w.BufIdx(), uint16(len(frame)), flags))
			slot.SetWord(abi.MakeSlotWord(spare, w.Len(), w.Flags()|abi.NSBufChanged))
		} else {
			o.wait.push(abi.MakeSlotWord(spare, uint16(copy(b.in.Buf(spare), frame)), flags))
		}
		r.Next()
	}
}

// makeFree makes n extra buffers free, if possible, and reports whether it did. If need be, it
// drops the oldest frames of the longest queue: newer frames matter more than old ones, and a pipe
// that nobody reads must not keep all buffers.
func (b *balancer) makeFree(n int) bool {
	if len(b.free) >= n || n > b.extra {
		return len(b.free) >= n
	}
	longest := b.outputs[0]
	for _, o := range b.outputs {
		if o.wait.n > longest.wait.n {
			longest = o
		}
	}
	most := max(n, min(dropBatch, longest.wait.n/2))
	for longest.wait.n > 0 && len(b.free) < most {
		b.free = longest.dropOldest(b.free)
	}
	return len(b.free) >= n
}

// returnExtra returns the extra buffers to the port. Frames that still wait in them are dropped and
// counted.
func (b *balancer) returnExtra() {
	for _, o := range b.outputs {
		for o.wait.n > 0 {
			b.free = o.dropOldest(b.free)
		}
		o.endRound()
	}
	b.in.ReturnExtra(b.free...)
	b.free = nil
}
