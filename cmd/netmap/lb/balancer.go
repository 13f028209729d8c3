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
	// retryTime is how long it is waited for while frames wait for room in a pipe.
	retryTime = time.Millisecond
	// revokeBatch is how many buffers are taken back at once from the pipe with the most frames waiting.
	revokeBatch = 150
	// fetchAhead is how many frames are looked into at a time.
	fetchAhead = 32
)

// balancer spreads the frames of a port over pipes. Every group of pipes gets every frame.
type balancer struct {
	in        *netmap.Port
	groups    [][]*output
	outputs   []*output // of all groups
	by        hashing
	batch     int
	busy      bool     // never sleeps
	extra     int      // extra buffers
	free      []uint32 // those of them that hold no frame
	received  atomic.Uint64
	bytes     atomic.Uint64
	nonIP     atomic.Uint64
	endless   atomic.Uint64 // slots dropped because a frame was longer than its ring
	malformed atomic.Uint64 // frames dropped because a slot made no sense
	unused    atomic.Uint64 // extra buffers that hold no frame
	seen      byte          // of no meaning, but has fetch load something
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
		fmt.Fprintf(o.err, "There are %s to be had, not %d.\n", cli.Count(uint64(b.extra), "extra buffer"), o.extra)
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

// openPipe opens the sending end of a pipe, alone.
func (b *balancer) openPipe(open cli.Opener, name string) (*output, error) {
	p, err := open(name + "/xT")
	if err != nil {
		return nil, err
	}
	if !p.SameRegion(b.in) {
		return nil, fmt.Errorf("%s is in another memory than %s, and frames cannot be passed on: close the programs that have it open", name, b.in.Name())
	}
	o := &output{name: name, port: p, ring: p.Tx()[0], wait: queue{slots: make([]abi.SlotWord, b.extra)}}
	o.room = o.ring.Window()
	return o, nil
}

// run balances until the context ends or a port fails. The extra buffers are the port's again afterwards.
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

// await waits for frames, or for a time to try again with those that have no room yet.
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

// round passes on what waits, and what the input has.
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
		o.book()
	}
	b.unused.Store(uint64(len(b.free)))
	return nil
}

// spread passes on the frames of one ring, a batch at most.
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
			incomplete = true // and no more follows
			continue
		case netmap.TooLong:
			b.endless.Add(uint64(n))
		case netmap.Malformed:
			malformed++
		default:
			h, ip := b.by.hash(r.Frame())
			if frames++; !ip {
				nonIP++
			}
			err = b.deal(&r, n, size, h)
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

// fetch looks into the next frames, and says how many. Their headers lie in another core's cache, and loads that do not wait for
// each other take little longer than one.
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

// deal gives a frame of n slots to one pipe of each group: copies to all groups but the last,
// which gets the buffers.
func (b *balancer) deal(r *netmap.Window, n, size int, h uint64) error {
	last := len(b.groups) - 1
	for i, group := range b.groups {
		o, w := group[pipeOf(h, len(group))], *r
		if o.move(&w, i == last) == netmap.Moved { // what nearly all of them are
			continue
		}
		if err := b.forward(o, *r, n, size, i == last); err != nil {
			return err
		}
	}
	return nil
}

// forward puts a frame that does not go into a pipe at once there when there is room, or behind
// those that wait for it.
func (b *balancer) forward(o *output, r netmap.Window, n, size int, swap bool) error {
	m := netmap.NoRoom
	if !o.synced { // there may be room by now
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

// enqueue has a frame wait: in its own buffers, which others replace in the rx ring, or as a copy.
// What waits starts where its buffers do.
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

// makeFree sees to it that n extra buffers are free, and takes some from the pipe with the most slots waiting if need be: newer
// frames matter more than old ones, and a pipe that nobody reads is not to have them all. It says whether there are as many.
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
	most := max(n, min(revokeBatch, longest.wait.n/2))
	for longest.wait.n > 0 && len(b.free) < most {
		b.free = longest.revoke(b.free)
	}
	return len(b.free) >= n
}

// returnExtra gives the extra buffers back. Frames that still wait in them are lost, and counted so.
func (b *balancer) returnExtra() {
	for _, o := range b.outputs {
		for o.wait.n > 0 {
			b.free = o.revoke(b.free)
		}
		o.book()
	}
	b.in.ReturnExtra(b.free...)
	b.free = nil
}
