package replay

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/pace"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

const (
	// flushTime bounds the time that the sender waits at its end for frames to leave the ring.
	flushTime = time.Second
	// pause is the longest delay that a late wake-up explains. A frame that is later was held up by
	// something else.
	pause = 100 * time.Microsecond
)

// sender sends frames through one ring, so that they keep their order. It waits for room, and loses
// no frame.
type sender struct {
	port  *netmap.Port
	ring  *netmap.Ring
	plan  *schedule
	burst int
	left  uint64 // frames still to send

	pacer   *pace.Pacer
	begin   time.Time
	start   time.Time // begin, plus the pauses
	now     time.Time
	pending []int64 // due times of the frames that are not synced yet
	lag     *latency.Histogram
	long    uint64 // frames that do not fit into the ring
	lost    uint64 // by the model
	paused  time.Duration
	unsent  int // slots still in the ring at the end
	counts      // of the chunks received

	frames, bytes atomic.Uint64 // sent; the reporter reads them
	end           time.Time
}

func newSender(p *netmap.Port, plan *schedule, burst int, left uint64) *sender {
	return &sender{port: p, ring: p.Tx()[0], plan: plan, burst: burst, left: left, lag: latency.New(),
		pending: make([]int64, 0, burst)}
}

// run sends the feed's chunks until there are no more, or the context ends. The error may be the
// file's.
func (s *sender) run(ctx context.Context, f *feed) error {
	s.pacer = pace.New()
	s.begin = time.Now()
	s.start, s.now = s.begin, s.begin
	for c := range f.full {
		if c.first {
			s.plan.pass()
		}
		s.counts.add(c.counts)
		if err := s.send(ctx, c); err != nil {
			return err
		}
		err := c.err
		f.done(c)
		if err != nil || s.left == 0 || ctx.Err() != nil {
			return firstOf(s.finish(), err)
		}
	}
	return s.finish()
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// send sends a chunk.
func (s *sender) send(ctx context.Context, c *chunk) (err error) {
	for i := range c.packets {
		p := &c.packets[i]
		if s.left == 0 {
			break
		}
		s.left--
		due, lost := s.plan.next(p)
		if lost {
			s.lost++
			continue
		}
		if due, err = s.await(ctx, due); err != nil {
			return err
		}
		if ctx.Err() != nil {
			break
		}
		if err = s.put(ctx, c.frame(p), due); err != nil {
			return err
		}
	}
	return s.sync()
}

// await waits until a frame is due, and returns the time at which it should be sent. Frames that
// are already due are sent together.
func (s *sender) await(ctx context.Context, due int64) (int64, error) {
	if len(s.pending) == s.burst {
		if err := s.sync(); err != nil {
			return due, err
		}
	}
	if s.plan.kind == top {
		return due, nil
	}
	if s.lateness(due) < 0 {
		s.now = time.Now()
	}
	if s.lateness(due) < 0 {
		if err := s.sync(); err != nil {
			return due, err
		}
		s.now = s.pacer.Until(ctx, s.start.Add(time.Duration(due)))
	}
	if s.plan.kind == real && s.lateness(due) >= pause {
		return s.putOff(due)
	}
	return due, nil
}

func (s *sender) lateness(due int64) time.Duration {
	return s.now.Sub(s.start) - time.Duration(due)
}

// putOff delays a late frame and all after it, so that frames keep their gaps. Catching up instead
// would send a burst of frames that were apart in the file.
func (s *sender) putOff(due int64) (int64, error) {
	err := s.sync() // the frames before are late by the old time
	late := s.lateness(due)
	s.start = s.start.Add(late)
	s.paused += late
	return due - int64(late), err
}

// put puts a frame into the ring. It waits for room.
func (s *sender) put(ctx context.Context, frame []byte, due int64) error {
	for s.ring.Send(frame) == 0 {
		if len(frame) > s.ring.MaxFrame() {
			s.long++
			return nil
		}
		if err := s.sync(); err != nil {
			return err
		}
		if s.ring.Send(frame) > 0 {
			break
		}
		s.ring.SetCur(s.ring.Tail()) // the available room is not enough
		if err := cli.Await(ctx, s.port, netmap.Out, cli.PollTime); err != nil || ctx.Err() != nil {
			return err
		}
	}
	s.pending = append(s.pending, due)
	s.bytes.Add(uint64(len(frame)))
	return nil
}

// sync hands the frames in the ring to the port, and notes how late they are.
func (s *sender) sync() error {
	if len(s.pending) == 0 {
		return nil
	}
	s.now = time.Now()
	at := int64(s.now.Sub(s.start))
	if s.plan.kind != top {
		for _, due := range s.pending {
			s.lag.Add(time.Duration(max(at-due, 0)), 1)
		}
	}
	s.frames.Add(uint64(len(s.pending)))
	s.pending = s.pending[:0]
	return s.port.TxSync()
}

// finish waits until the frames have left the ring, for a bounded time.
func (s *sender) finish() error {
	for end := time.Now().Add(flushTime); ; time.Sleep(100 * time.Microsecond) {
		if err := s.port.TxSync(); err != nil {
			return err
		}
		s.end = time.Now()
		if s.unsent = s.ring.NumSlots() - 1 - s.ring.Len(); s.unsent == 0 || s.end.After(end) {
			return nil
		}
	}
}

// progress describes what has been sent so far.
func (s *sender) progress() string {
	return fmt.Sprintf("sent %s, %sB", cli.Count(s.frames.Load(), "frame"),
		cli.Norm(float64(s.bytes.Load())))
}
