package gen

import (
	"context"
	"math"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/pace"
)

// flushTime bounds the time that a sender waits at its end for frames to leave the rings.
const flushTime = time.Second

// sender sends the frames of one stream through the tx rings of a port.
type sender struct {
	port   *netmap.Port
	rings  []*netmap.Ring
	make   frames.Maker
	pace   pace.Rate
	burst  int
	unit   int          // frames are sent in multiples of this number
	left   uint64       // frames to send
	window *pace.Window // bounds how far the sender runs ahead; may be nil
	seq    uint64       // sequence number of the next frame
	calls  int          // of fill
	n      *counters
}

// newSender returns the sender of thread i.
func (j *job) newSender(i int, port *netmap.Port, m frames.Maker) *sender {
	s := &sender{port: port, rings: port.Tx(), make: m, burst: j.Burst, unit: 1, left: math.MaxUint64,
		n: &counters{}}
	s.pace.PerSecond = j.PPS() / float64(j.Threads)
	if j.Function == "txseq" {
		s.rings, s.unit = s.rings[:1], j.Slots.Fragments
	}
	if n := uint64(j.Threads); j.Count > 0 {
		s.left = j.Count / n
		if uint64(i) < j.Count%n {
			s.left++
		}
	}
	return s
}

// run sends until the context ends or left is 0.
func (s *sender) run(ctx context.Context) error {
	for s.left > 0 && ctx.Err() == nil {
		now := time.Now()
		due := s.pace.Due(now)
		if due == 0 {
			s.pace.Nap(now)
			continue
		}
		if s.window != nil {
			if due = min(due, s.window.Room(s.seq)); due == 0 {
				s.window.Wait()
				continue
			}
		}
		s.make.SetTime(uint64(now.UnixNano()))
		if n, bytes := s.fill(int(min(uint64(due), s.left))); n > 0 {
			s.count(now, n, bytes)
			if err := s.port.TxSync(); err != nil {
				return err
			}
			continue
		}
		if err := cli.Await(ctx, s.port, netmap.Out, cli.PollTime); err != nil {
			return err
		}
	}
	return s.finish()
}

// fill puts up to n frames into the rings, at most a burst into each. It returns the numbers of
// frames and of bytes. Each call starts with the next ring, so that even at a low rate frames pass
// through all rings of both sides.
func (s *sender) fill(n int) (frames, bytes int) {
	n = (n + s.unit - 1) / s.unit * s.unit
	s.calls++
	for i := range s.rings {
		if frames == n {
			break
		}
		more, size := s.make.Put(s.rings[(s.calls+i)%len(s.rings)],
			min(n-frames, max(s.burst/s.unit, 1)*s.unit), s.seq)
		frames, bytes, s.seq = frames+more, bytes+size, s.seq+uint64(more)
	}
	return frames, bytes
}

func (s *sender) count(now time.Time, n, bytes int) {
	s.left -= uint64(n)
	s.pace.Took(n)
	s.n.add(now, n, bytes)
}

// finish waits until the frames have left the rings. Only then does sending end.
func (s *sender) finish() error {
	err := flush(s.port, s.n)
	if s.n.batches.Load() > 0 {
		s.n.last.Store(int64(time.Since(epoch)))
	}
	return err
}

// flush waits at most flushTime until the tx rings are empty, and counts the frames still in them.
func flush(p *netmap.Port, n *counters) error {
	for end := time.Now().Add(flushTime); ; time.Sleep(100 * time.Microsecond) {
		if err := p.TxSync(); err != nil {
			return err
		}
		left := pending(p)
		if left == 0 || time.Now().After(end) {
			n.unsent.Store(uint64(left))
			return nil
		}
	}
}

// pending returns the number of slots of the tx rings that are not free.
func pending(p *netmap.Port) (n int) {
	for _, ring := range p.Tx() {
		n += ring.NumSlots() - 1 - ring.Len()
	}
	return n
}
