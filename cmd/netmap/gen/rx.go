package gen

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/pace"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// receiver receives from the rx rings of a port. Once a batch it adds its counts to the tracker and
// the histogram, which all receivers share.
type receiver struct {
	port    *netmap.Port
	burst   int
	left    *atomic.Int64 // frames that all receivers together still have to receive; nil: no limit
	stop    func()        // stops all receivers
	window  *pace.Window  // of the sender in this process; may be nil
	n       *counters
	tracker *testframe.Tracker // nil to check no frames
	latency *latency.Histogram
	header  int          // bytes of virtio-net header before each frame
	dump    *frames.Dump // may be nil
	silent  func() bool  // reports whether frames have stopped; nil to wait forever

	checker  testframe.Checker
	rings    []*netmap.Reader
	runs     []testframe.Run // of the batch; the last one may grow
	now      time.Time       // time when the batch was read
	time     uint64          // time in the frames that sameTime counts
	sameTime uint64
	bytes    int
	frames   int
	total    uint64 // frames read since the start
	foreign  uint64
	corrupt  uint64
}

// run receives frames until the context ends.
func (r *receiver) run(ctx context.Context) error {
	return r.loop(ctx, func() {
		for i, ring := range r.port.Rx() {
			r.drain(ring, r.rings[i])
		}
	})
}

// loop calls drain whenever the rings have frames.
func (r *receiver) loop(ctx context.Context, drain func()) error {
	for ctx.Err() == nil {
		if err := cli.Await(ctx, r.port, netmap.In, cli.PollTime); err != nil {
			return err
		}
		drain()
		if r.window != nil {
			if err := r.port.RxSync(); err != nil { // releases the slots for the sender
				return err
			}
			r.window.Release(r.total)
		}
		if r.silent != nil && r.silent() {
			r.stop()
		}
	}
	r.port.RxSync() // releases the last slots for the sender; if the port is gone, nobody needs them
	return nil
}

// most returns the upper bound for the frames of the next batch.
func (r *receiver) most() int {
	if r.left == nil {
		return r.burst
	}
	return int(min(int64(r.burst), max(r.left.Load(), 0)))
}

// drain receives a batch from a ring.
func (r *receiver) drain(ring *netmap.Ring, from *netmap.Reader) {
	n := from.Fill(r.most())
	if n == 0 {
		return
	}
	r.n.addSpace(ring.NumSlots() - 1 - ring.Len())
	r.now = time.Now()
	for {
		f, ok := from.Next()
		if !ok {
			break
		}
		r.frames++
		r.bytes += from.Size()
		if r.tracker != nil {
			r.check(f[min(r.header, len(f)):])
		}
	}
	if r.dump != nil {
		r.dump.Slots(ring, ring.Head(), (ring.Head()+uint32(n))%uint32(ring.NumSlots()))
	}
	from.Commit()
	r.total += uint64(r.frames)
	r.endBatch()
}

// readers returns a reader for each rx ring of a port. Frames of gen have at most testframe.MaxLen
// bytes, so readers keep one byte more: that shows that a frame is longer.
func readers(p *netmap.Port) (all []*netmap.Reader) {
	for _, ring := range p.Rx() {
		all = append(all, ring.Reader(testframe.MaxLen+1))
	}
	return all
}

func (r *receiver) check(f []byte) {
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
		r.addLatency()
		r.time = m.Time
	}
	r.sameTime++
}

// addLatency adds the latency of frames that carry the same time, as the frames of one batch do.
func (r *receiver) addLatency() {
	if r.sameTime > 0 {
		r.latency.Add(time.Duration(testframe.Since(uint64(r.now.UnixNano()), r.time)), r.sameTime)
		r.sameTime = 0
	}
}

// endBatch adds the counts of the batch to the shared ones.
func (r *receiver) endBatch() {
	if r.tracker != nil {
		r.addLatency()
		r.tracker.Add(r.runs...)
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
