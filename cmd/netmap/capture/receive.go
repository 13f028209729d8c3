package capture

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/filter"
)

const (
	// flushTime bounds the time that a frame stays in a block that is not full.
	flushTime = 100 * time.Millisecond
	// restTime bounds the time that a capture takes to end while frames still arrive.
	restTime = 500 * time.Millisecond
	// burst is the number of slots of a ring that are read before the clock is read again.
	burst = 512
)

// totals count frames by how far they got.
type totals struct {
	received uint64 // all that the port received
	accepted uint64 // by the filter
	captured uint64 // put into blocks
}

// receiver reads frames from a port, and makes records of them.
type receiver struct {
	port   *netmap.Port
	rings  []*netmap.Reader
	filter *filter.Program // nil to accept every frame
	format capfile.Format
	snap   int
	left   uint64 // frames still to capture
	flush  time.Duration
	cuts   cuts
	rate   rate

	blocks blocks
	block  *block // nil if there is none yet
	since  time.Time
	now    time.Time
	stamp  int64 // the time now, as files have it
	n      totals
	seen   atomic.Uint64 // captured so far; other goroutines read it
}

// readers read the rings of a port. They limit a frame in several slots to what a file can hold.
func readers(p *netmap.Port) (all []*netmap.Reader) {
	for _, ring := range p.Rx() {
		all = append(all, ring.Reader(capfile.MaxSnap))
	}
	return all
}

// run captures until the context ends, or enough frames are captured. At the end it reads the
// frames that have arrived by then.
func (r *receiver) run(ctx context.Context) error {
	defer r.hand()
	for r.left > 0 && ctx.Err() == nil {
		if err := cli.Await(ctx, r.port, netmap.In, r.patience()); err != nil {
			return err
		}
		before := r.n.received
		if r.look(); r.rate.isHigh(r.now, r.n.received) && r.n.received-before < burst/2 {
			doze()
		}
	}
	return r.rest()
}

// rate detects when a wake-up for each frame would cost more than the rest of the work.
type rate struct {
	since time.Time
	then  uint64
	many  bool
}

const (
	rateTime   = 10 * time.Millisecond
	rateFrames = 500 // frames in that time
	dozeTime   = 100 * time.Microsecond
)

// isHigh reports whether the rate is at least rateFrames per rateTime. Frames is the total so far.
func (c *rate) isHigh(now time.Time, frames uint64) bool {
	if now.Sub(c.since) >= rateTime {
		c.many = frames-c.then >= rateFrames
		c.since, c.then = now, frames
	}
	return c.many
}

// doze lets frames gather. The runtime's own sleep has a resolution of a millisecond.
func doze() {
	t := unix.NsecToTimespec(int64(dozeTime))
	unix.Nanosleep(&t, nil)
}

// rest reads the frames that had arrived at the end of the capture, for a bounded time.
func (r *receiver) rest() error {
	for end := time.Now().Add(restTime); r.left > 0 && time.Now().Before(end); {
		if err := r.port.RxSync(); err != nil {
			return err
		}
		before := r.n.received
		if r.look(); r.n.received == before {
			break
		}
	}
	return nil
}

// look reads the frames that have arrived.
func (r *receiver) look() {
	r.now = time.Now()
	r.stamp = r.now.UnixNano()
	for _, ring := range r.rings {
		r.drain(ring)
	}
	r.seen.Store(r.n.captured)
	if r.block != nil && len(r.block.data) > 0 && r.now.Sub(r.since) >= r.flush {
		r.hand()
	}
}

// patience returns the time that the receiver may wait for frames.
func (r *receiver) patience() time.Duration {
	if r.block == nil || len(r.block.data) == 0 {
		return cli.PollTime
	}
	return max(0, r.flush-time.Since(r.since))
}

// drain reads a burst of frames from a ring. Frames get the current time: the ring's time is older.
func (r *receiver) drain(ring *netmap.Reader) {
	ring.Fill(burst)
	for {
		frame, ok := ring.Next()
		if !ok {
			break
		}
		r.take(frame, ring.Size())
	}
	ring.Commit()
}

// take captures a frame if the filter accepts it. Frame has its first bytes; length is its length.
func (r *receiver) take(frame []byte, length int) {
	if r.left == 0 {
		return
	}
	r.n.received++
	if r.filter != nil && !r.filter.MatchPart(frame, length) {
		return
	}
	if len(frame) > r.snap {
		frame = frame[:r.snap]
	}
	size := r.format.RecordSize(len(frame))
	ends := r.cuts.due(r.now, size)
	if ends && r.cuts.last() {
		r.left = 0
		return
	}
	then := r.n
	r.n.accepted++
	if !r.room(size) {
		return
	}
	b := r.block
	if ends {
		b.cuts = append(b.cuts, cut{len(b.data), r.cuts.next(r.now), then})
	}
	b.data = r.format.AppendRecord(b.data, r.stamp, frame, length)
	r.cuts.size += uint64(size)
	r.n.captured++
	r.left--
}

// room makes sure that the block has room for a record and a cut. It returns false if the writer
// has all blocks.
func (r *receiver) room(size int) bool {
	if b := r.block; b != nil && (len(b.data)+size > cap(b.data) || len(b.cuts) == cap(b.cuts)) {
		r.hand()
	}
	if r.block == nil {
		if r.block = r.blocks.take(); r.block == nil {
			return false
		}
		r.since = r.now
	}
	return true
}

// hand gives the block to the writer.
func (r *receiver) hand() {
	if r.block != nil {
		r.blocks.full <- r.block
		r.block = nil
	}
}
