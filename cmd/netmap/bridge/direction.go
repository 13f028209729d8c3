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

// retryTime is the time that a direction with several rings waits for room in one of them. Other
// rings may have frames to forward and room for them.
const retryTime = time.Millisecond

// direction is one direction of a bridge: from the rx rings of a port to the tx rings of another.
// Each direction has its own goroutine and ports, so that two run in parallel.
type direction struct {
	from, to *netmap.Port
	filter   *filter.Program
	burst    int
	copy     bool // copy frames even if buffers can be swapped
	zeroCopy bool // frames are forwarded by swapping buffers
	unsent   *cli.Unsent
	n        counters
}

// counters are the counts of a direction, which writes them once a batch. The reporter reads them.
type counters struct {
	frames, bytes atomic.Uint64 // forwarded
	filtered      atomic.Uint64 // frames dropped by the filter
	tooLong       atomic.Uint64 // slots dropped: frames longer than a ring
	malformed     atomic.Uint64 // frames dropped: a slot was invalid
	_             [24]byte      // the counters of two directions share no cache line
}

// tally has the counts of a batch.
type tally struct{ frames, bytes, filtered, tooLong, malformed uint64 }

func (c *counters) add(t tally) {
	c.frames.Add(t.frames)
	c.bytes.Add(t.bytes)
	c.filtered.Add(t.filtered)
	c.tooLong.Add(t.tooLong)
	c.malformed.Add(t.malformed)
}

// open opens the ports of each direction: one that receives and one that sends.
func (o *flags) open(open cli.Opener) (directions []*direction, err error) {
	pairs := [][2]portname.Name{{o.a, o.b}, {o.b, o.a}}
	if o.loop {
		pairs = pairs[:1]
	}
	for _, p := range pairs {
		if !receives(p[0]) || !sends(p[1]) {
			continue
		}
		d := &direction{filter: o.filter, burst: o.burst, copy: o.copy}
		if d.from, err = open(p[0].String(), netmap.RxOnly()); err != nil {
			return nil, err
		}
		if d.to, err = open(p[1].String(), netmap.TxOnly()); err != nil {
			return nil, err
		}
		if len(d.from.Rx()) == 0 || len(d.to.Tx()) == 0 {
			return nil, fmt.Errorf("there are no rings to forward from %v to %v", p[0], p[1])
		}
		d.zeroCopy = !o.copy && d.from.Rx()[0].CanSwap(d.to.Tx()[0])
		d.unsent = cli.NewUnsent(d.to)
		directions = append(directions, d)
	}
	return directions, nil
}

// run forwards until the context ends. Frames without room wait in the rx ring.
func (d *direction) run(ctx context.Context) error {
	for ctx.Err() == nil {
		moved, noRoom := d.move()
		var err error
		switch {
		case moved:
			if err = d.to.TxSync(); err == nil {
				err = cli.Await(ctx, d.from, netmap.In, cli.PollTime)
			}
		case noRoom:
			err = d.awaitRoom(ctx)
		default:
			err = cli.Await(ctx, d.from, netmap.In, cli.PollTime)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// awaitRoom sleeps until a tx ring gets more room.
func (d *direction) awaitRoom(ctx context.Context) error {
	for _, r := range d.to.Tx() {
		r.SetCur(r.Tail())
	}
	timeout := cli.PollTime
	if len(d.from.Rx()) > 1 {
		timeout = retryTime
	}
	return cli.Await(ctx, d.to, netmap.Out, timeout)
}

// move moves at most a burst from each ring. It reports whether frames were moved, and whether
// frames were left because there is no room.
func (d *direction) move() (moved, noRoom bool) {
	tx := d.to.Tx()
	for i, from := range d.from.Rx() {
		var t tally
		full := d.moveRing(from, tx[i%len(tx)], &t)
		moved = moved || t.frames > 0
		noRoom = noRoom || full
		d.n.add(t)
	}
	return moved, noRoom
}

// moveRing moves frames between two rings, and reports whether it ended because there was no room.
func (d *direction) moveRing(from, to *netmap.Ring, t *tally) (full bool) {
	r, s := from.Window(), to.Window()
	stop := r.Len() - min(d.burst, r.Len())
	for more := true; more && r.Len() > stop; {
		if d.filter != nil {
			if n, size, m := r.Measure(); m == netmap.Moved && !d.filter.MatchPart(r.Frame(), size) {
				t.filtered++
				r.Skip(n)
				continue
			}
		}
		more, full = d.moveFrame(&r, &s, t)
	}
	s.Commit() // first: until then, these buffers belong to frames that are not handed over
	r.Commit()
	return full
}

// moveFrame moves the next frame. It reports whether the caller can go on with another frame, and
// whether there was no room.
func (d *direction) moveFrame(r, s *netmap.Window, t *tally) (more, full bool) {
	before := r.Len()
	var size int
	var m netmap.Move
	if d.copy {
		size, m = r.CopyTo(s)
	} else {
		size, m = r.MoveTo(s)
	}
	switch m {
	case netmap.Moved:
		t.frames++
		t.bytes += uint64(size)
	case netmap.TooLong:
		t.tooLong += uint64(before - r.Len())
	case netmap.Malformed:
		t.malformed++
	default:
		return false, m == netmap.NoRoom
	}
	return true, false
}
