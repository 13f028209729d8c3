package gen

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// receiver receives from the rx rings of a port. What it learns of a frame goes to books that all receivers share, once a
// batch.
type receiver struct {
	port    *netmap.Port
	burst   int
	left    *atomic.Int64 // frames that all receivers together are to receive; nil is for ever
	stop    func()        // ends all of them
	window  *window       // of the sender in this process, if there is one
	n       *counters
	tracker *testframe.Tracker // nil counts only
	latency *latency.Histogram
	header  int          // bytes before each frame
	dump    *frames.Dump // nil dumps nothing
	silent  func() bool  // says that nothing comes any more; nil waits for ever

	checker  testframe.Checker
	rings    []*netmap.Reader
	runs     []testframe.Run // of the batch, the last one still growing
	now      time.Time       // when the batch was read
	time     uint64          // of the frames counted in sameTime
	sameTime uint64
	bytes    int
	frames   int
	total    uint64 // frames read, ever
	foreign  uint64
	corrupt  uint64
}

// run receives until the context ends.
func (r *receiver) run(ctx context.Context) error {
	return r.loop(ctx, func() {
		for i, ring := range r.port.Rx() {
			r.drain(ring, r.rings[i])
		}
	})
}

// loop drains the rings whenever there is something in them.
func (r *receiver) loop(ctx context.Context, drain func()) error {
	for ctx.Err() == nil {
		if err := cli.Await(ctx, r.port, netmap.In, cli.PollTime); err != nil {
			return err
		}
		drain()
		if r.window != nil {
			if err := r.port.RxSync(); err != nil { // from here on the sender may use the slots again
				return err
			}
			r.window.read.Store(r.total)
		}
		if r.silent != nil && r.silent() {
			r.stop()
		}
	}
	r.port.RxSync() // the sender is to see that all was taken; one whose port has gone needs not
	return nil
}

// most is how many frames may be read now.
func (r *receiver) most() int {
	if r.left == nil {
		return r.burst
	}
	return int(min(int64(r.burst), max(r.left.Load(), 0)))
}

// drain reads a batch from a ring.
func (r *receiver) drain(ring *netmap.Ring, from *netmap.Reader) {
	n := from.Fill(r.most())
	if n == 0 {
		return
	}
	r.n.noteSpace(ring.NumSlots() - 1 - ring.Len())
	r.now = time.Now()
	for {
		f, ok := from.Next()
		if !ok {
			break
		}
		r.frames++
		r.bytes += from.Size()
		if r.tracker != nil {
			r.look(f[min(r.header, len(f)):])
		}
	}
	if r.dump != nil {
		r.dump.Slots(ring, ring.Head(), (ring.Head()+uint32(n))%uint32(ring.NumSlots()))
	}
	from.Commit()
	r.total += uint64(r.frames)
	r.book()
}

// readers read the rings of a port. A frame that is gen's own has at most testframe.MaxLen bytes: of
// others, that much and one byte is kept.
func readers(p *netmap.Port) (all []*netmap.Reader) {
	for _, ring := range p.Rx() {
		all = append(all, ring.Reader(testframe.MaxLen+1))
	}
	return all
}

func (r *receiver) look(f []byte) {
	m, verdict := r.checker.Check(f)
	switch verdict {
	case testframe.Foreign:
		r.foreign++
		return
	case testframe.Corrupt:
		r.corrupt++
		return
	}
	if last := len(r.runs) - 1; last >= 0 && r.runs[last].Extends(m) {
		r.runs[last].N++
	} else {
		r.runs = append(r.runs, testframe.Run{Stream: m.Stream, First: m.Seq, N: 1})
	}
	if m.Time != r.time {
		r.bookTime()
		r.time = m.Time
	}
	r.sameTime++
}

// bookTime books the latency of frames that were made at the same time: frames of one batch.
func (r *receiver) bookTime() {
	if r.sameTime > 0 {
		r.latency.Add(time.Duration(testframe.Since(uint64(r.now.UnixNano()), r.time)), r.sameTime)
		r.sameTime = 0
	}
}

// book books a batch.
func (r *receiver) book() {
	if r.tracker != nil {
		r.bookTime()
		r.tracker.Note(r.runs...)
		r.runs = r.runs[:0]
		r.n.foreign.Store(r.foreign)
		r.n.corrupt.Store(r.corrupt)
	}
	r.n.add(r.now, r.frames, r.bytes)
	if r.left != nil && r.left.Add(-int64(r.frames)) <= 0 {
		r.stop()
	}
	r.frames, r.bytes = 0, 0
}
