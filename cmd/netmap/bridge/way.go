package bridge

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/filter"
	"github.com/seed-48afdc40/netmap/portname"
)

const (
	// pollTime is how long a direction sleeps before it looks whether it is to stop.
	pollTime = time.Second
	// crampedTime is how long it waits for room where other rings may have frames for which there is room.
	crampedTime = time.Millisecond
)

// way is one direction of a bridge: from the rx rings of a port to the tx rings of another. Each has a goroutine and ports of its
// own, so that the two directions run side by side.
type way struct {
	from, to *netmap.Port
	filter   *filter.Program
	burst    int
	swap     bool // buffers are exchanged, not copied
	n        counters
}

// counters are what a way counts, written once a batch by the way, read by the reporter.
type counters struct {
	frames, bytes atomic.Uint64 // forwarded
	filtered      atomic.Uint64 // dropped by the filter, frames
	endless       atomic.Uint64 // dropped because a frame was longer than its ring, slots
	_             [32]byte      // the counters of two ways share no cache line
}

// tally is what a batch adds to the counters.
type tally struct{ frames, bytes, filtered, endless uint64 }

func (c *counters) add(t tally) {
	c.frames.Add(t.frames)
	c.bytes.Add(t.bytes)
	c.filtered.Add(t.filtered)
	c.endless.Add(t.endless)
}

// open opens the ports of the directions that there are, receiving and sending ends apart.
func (o *flags) open(open cli.Opener) (ways []*way, err error) {
	pairs := [][2]portname.Name{{o.a, o.b}, {o.b, o.a}}
	if o.loop {
		pairs = pairs[:1]
	}
	for _, p := range pairs {
		if !receives(p[0]) || !sends(p[1]) {
			continue
		}
		w := &way{filter: o.filter, burst: o.burst}
		if w.from, err = open(p[0].String(), netmap.RxOnly()); err != nil {
			return nil, err
		}
		if w.to, err = open(p[1].String(), netmap.TxOnly()); err != nil {
			return nil, err
		}
		if len(w.from.Rx()) == 0 || len(w.to.Tx()) == 0 {
			return nil, fmt.Errorf("there are no rings to forward from %v to %v", p[0], p[1])
		}
		w.swap = !o.copy && w.from.SameRegion(w.to)
		ways = append(ways, w)
	}
	return ways, nil
}

// run forwards until the context ends. Frames that have no room wait in the rx ring.
func (w *way) run(ctx context.Context) error {
	for ctx.Err() == nil {
		moved, cramped := w.move()
		var err error
		switch {
		case moved:
			if err = w.to.TxSync(); err == nil {
				err = cli.Await(ctx, w.from, netmap.In, pollTime)
			}
		case cramped:
			err = w.awaitRoom(ctx)
		default:
			err = cli.Await(ctx, w.from, netmap.In, pollTime)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitRoom waits until a tx ring has more room than now.
func (w *way) awaitRoom(ctx context.Context) error {
	for _, r := range w.to.Tx() {
		r.SetCur(r.Tail())
	}
	timeout := pollTime
	if len(w.from.Rx()) > 1 {
		timeout = crampedTime
	}
	return cli.Await(ctx, w.to, netmap.Out, timeout)
}

// move moves what is there, a burst at most from each ring. It says whether there is anything to send, and whether frames stay
// for want of room.
func (w *way) move() (moved, cramped bool) {
	tx := w.to.Tx()
	for i, from := range w.from.Rx() {
		var t tally
		full := w.moveRing(from, tx[i%len(tx)], &t)
		moved = moved || t.frames > 0
		cramped = cramped || full
		w.n.add(t)
	}
	return moved, cramped
}

// moveRing moves frames between two rings, and says whether it ended for want of room.
func (w *way) moveRing(from, to *netmap.Ring, t *tally) (full bool) {
	r, s := from.Window(), to.Window()
	stop := r.Len() - min(w.burst, r.Len())
	incomplete := false
	for r.Len() > stop && !full && !incomplete {
		n := r.Slots()
		switch {
		case n == 0 && r.Len() < from.NumSlots()-1:
			incomplete = true
		case n == 0:
			t.endless += uint64(r.Len())
			skip(&r, r.Len())
		case w.filter != nil && !w.filter.MatchPart(r.Frame(), length(r, n)):
			t.filtered++
			skip(&r, n)
		case w.swap:
			full = !swap(&s, &r, n, t)
		default:
			full = !copyFrame(&s, &r, n, to.BufSize(), t)
		}
	}
	s.Commit() // first: nobody is to get the buffers of frames that are not handed over yet
	r.Commit()
	if incomplete {
		from.SetCur(from.Tail()) // Poll is to wait for the rest
	}
	return full
}

func skip(r *netmap.Window, n int) {
	for range n {
		r.Next()
	}
}

// length is that of a frame of n slots.
func length(r netmap.Window, n int) (sum int) {
	for range n {
		sum += len(r.Frame())
		r.Next()
	}
	return sum
}

// swap moves a frame of n slots by exchanging buffers, if there is room.
func swap(s, r *netmap.Window, n int, t *tally) bool {
	if n > s.Len() {
		return false
	}
	for range n {
		slot := s.Slot()
		netmap.Swap(slot, r.Slot())
		t.bytes += uint64(slot.Word().Len())
		s.Next()
		r.Next()
	}
	t.frames++
	return true
}

// copyFrame copies a frame of n slots, if there is room. The buffers that it goes to may have another size.
func copyFrame(s, r *netmap.Window, n, size int, t *tally) bool {
	left, used := length(*r, n), 0
	if max((left+size-1)/size, 1) > s.Len() {
		return false
	}
	t.frames++
	for range n {
		from := r.Frame()
		from = from[:min(len(from), left)] // whoever shares the memory may have made it longer meanwhile
		left -= len(from)
		t.bytes += uint64(len(from))
		for len(from) > 0 {
			if used == size {
				s.SetLen(used)
				s.Slot().Flags |= abi.NSMoreFrag
				s.Next()
				used = 0
			}
			k := copy(s.Buf()[used:], from)
			from, used = from[k:], used+k
		}
		r.Next()
	}
	s.SetLen(used)
	s.Next()
	return true
}
