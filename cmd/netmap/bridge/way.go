package bridge

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/filter"
	"github.com/seed-48afdc40/netmap/portname"
)

// crampedTime is how long a direction waits for room where other rings may have frames for which
// there is room.
const crampedTime = time.Millisecond

// way is one direction of a bridge: from the rx rings of a port to the tx rings of another. Each has a goroutine and ports of its
// own, so that the two directions run side by side.
type way struct {
	from, to *netmap.Port
	filter   *filter.Program
	burst    int
	copy     bool // frames are copied, even where their buffers could go
	zeroCopy bool // frames go in their buffers
	unsent   *cli.Unsent
	n        counters
}

// counters are what a way counts, written once a batch by the way, read by the reporter.
type counters struct {
	frames, bytes atomic.Uint64 // forwarded
	filtered      atomic.Uint64 // dropped by the filter, frames
	endless       atomic.Uint64 // dropped because a frame was longer than a ring, slots
	malformed     atomic.Uint64 // dropped because a slot made no sense, frames
	_             [24]byte      // the counters of two ways share no cache line
}

// tally is what a batch adds to the counters.
type tally struct{ frames, bytes, filtered, endless, malformed uint64 }

func (c *counters) add(t tally) {
	c.frames.Add(t.frames)
	c.bytes.Add(t.bytes)
	c.filtered.Add(t.filtered)
	c.endless.Add(t.endless)
	c.malformed.Add(t.malformed)
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
		w := &way{filter: o.filter, burst: o.burst, copy: o.copy}
		if w.from, err = open(p[0].String(), netmap.RxOnly()); err != nil {
			return nil, err
		}
		if w.to, err = open(p[1].String(), netmap.TxOnly()); err != nil {
			return nil, err
		}
		if len(w.from.Rx()) == 0 || len(w.to.Tx()) == 0 {
			return nil, fmt.Errorf("there are no rings to forward from %v to %v", p[0], p[1])
		}
		w.zeroCopy = !o.copy && w.from.Rx()[0].CanSwap(w.to.Tx()[0])
		w.unsent = cli.NewUnsent(w.to)
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
				err = cli.Await(ctx, w.from, netmap.In, cli.PollTime)
			}
		case cramped:
			err = w.awaitRoom(ctx)
		default:
			err = cli.Await(ctx, w.from, netmap.In, cli.PollTime)
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
	timeout := cli.PollTime
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
	for more := true; more && r.Len() > stop; {
		if w.filter != nil {
			if n, size, m := r.Measure(); m == netmap.Moved && !w.filter.MatchPart(r.Frame(), size) {
				t.filtered++
				r.Skip(n)
				continue
			}
		}
		more, full = w.moveFrame(&r, &s, t)
	}
	s.Commit() // first: nobody is to get the buffers of frames that are not handed over yet
	r.Commit()
	return full
}

// moveFrame moves the next frame. It says whether there may be more to move, and whether there was
// no room.
func (w *way) moveFrame(r, s *netmap.Window, t *tally) (more, full bool) {
	before := r.Len()
	var size int
	var m netmap.Move
	if w.copy {
		size, m = r.CopyTo(s)
	} else {
		size, m = r.MoveTo(s)
	}
	switch m {
	case netmap.Moved:
		t.frames++
		t.bytes += uint64(size)
	case netmap.TooLong:
		t.endless += uint64(before - r.Len())
	case netmap.Malformed:
		t.malformed++
	default:
		return false, m == netmap.NoRoom
	}
	return true, false
}
