package gen

import (
	"context"
	"math"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/frame"
)

const (
	// pollTime is how long a worker sleeps before it looks whether it is to stop.
	pollTime = time.Second
	// flushTime is how long a sender waits at its end for frames to leave the rings.
	flushTime = time.Second
)

// sender sends the frames of one stream through the tx rings of a port.
type sender struct {
	port   *netmap.Port
	build  *frame.Builder
	pace   pacer
	burst  int
	left   uint64  // frames to send
	window *window // holds the sender back, if it is not nil
	seq    uint64  // of the next frame
	turn   int     // calls of fill
	long   []byte  // a frame that takes several slots, in the making
	n      *counters
}

// newSender is the sender of thread i.
func (o *flags) newSender(i int, port *netmap.Port, build *frame.Builder) *sender {
	s := &sender{port: port, build: build, burst: o.burst, left: math.MaxUint64, n: &counters{}}
	if n := build.Len(); n > room(port.Tx()[0]) {
		s.long = make([]byte, n)
	}
	s.pace.rate = o.rate / float64(o.threads)
	if n := uint64(o.threads); o.count > 0 {
		s.left = o.count / n
		if uint64(i) < o.count%n {
			s.left++
		}
	}
	return s
}

// run sends until the context ends or everything is sent.
func (s *sender) run(ctx context.Context) error {
	for s.left > 0 && ctx.Err() == nil {
		now := time.Now()
		due := s.pace.due(now)
		if due == 0 {
			s.pace.nap(now)
			continue
		}
		if s.window != nil {
			if due = min(due, s.window.room(s.seq)); due == 0 {
				s.window.wait()
				continue
			}
		}
		s.build.SetTime(uint64(now.UnixNano()))
		if n := s.fill(int(min(uint64(due), s.left))); n > 0 {
			s.book(now, n)
			if err := s.port.TxSync(); err != nil {
				return err
			}
			continue
		}
		if err := awaitEvent(ctx, s.port, netmap.Out); err != nil {
			return err
		}
	}
	return s.finish()
}

// fill puts up to n frames into the rings, a burst at most into each, and returns how many. Each call starts with another
// ring, so that a slow pace uses all of them, and with them all of the receiver's.
func (s *sender) fill(n int) int {
	first, rings := s.seq, s.port.Tx()
	s.turn++
	for i := range rings {
		ring := rings[(s.turn+i)%len(rings)]
		if s.long != nil {
			s.putLong(ring, min(n-int(s.seq-first), s.burst))
			continue
		}
		one, two := ring.Batch(min(n-int(s.seq-first), s.burst))
		s.put(ring, one)
		s.put(ring, two)
		ring.Advance(len(one) + len(two))
	}
	return int(s.seq - first)
}

// put makes a frame in each slot.
func (s *sender) put(ring *netmap.Ring, slots []abi.Slot) {
	build, seq, length, bufs := s.build, s.seq, uint16(s.build.Len()), ring.Buffers()
	for i := range slots {
		slot := &slots[i]
		word := slot.Word()
		buf := bufs.Of(slot)
		if len(buf) < int(length) { // the other end of a pipe has given it back with an offset of its own
			ring.SetOffset(slot, 0)
			buf = bufs.Of(slot)
		}
		build.Put(buf, seq+uint64(i))
		slot.SetWord(abi.MakeSlotWord(word.BufIdx(), length, word.Flags()&abi.NSBufChanged))
	}
	if n := len(slots); n > 0 {
		slots[n-1].Flags |= abi.NSReport // a driver need not tell of each frame that it is out
	}
	s.seq += uint64(len(slots))
}

// putLong makes up to n frames of several slots each.
func (s *sender) putLong(ring *netmap.Ring, n int) {
	for slots := slotsFor(len(s.long), room(ring)); n > 0 && ring.Len() >= slots; n-- {
		s.build.Put(s.long, s.seq)
		ring.Send(s.long)
		s.seq++
	}
}

func (s *sender) book(now time.Time, n int) {
	s.left -= uint64(n)
	s.pace.took(n)
	s.n.add(now, n, n*s.build.Len())
}

// finish waits until the frames are out: sending ends there, not with the last batch.
func (s *sender) finish() error {
	err := flush(s.port, s.n)
	if s.n.batches.Load() > 0 {
		s.n.last.Store(int64(time.Since(epoch)))
	}
	return err
}

// flush waits until the tx rings are empty, for a bounded time, and counts what is still in them then.
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

// pending is how many slots of the tx rings are not free.
func pending(p *netmap.Port) (n int) {
	for _, ring := range p.Tx() {
		n += ring.NumSlots() - 1 - ring.Len()
	}
	return n
}

// awaitEvent sleeps until the event is there, the context ends or some time is over: the caller looks again. A port that
// is in trouble is synced, because the sync says what it is.
func awaitEvent(ctx context.Context, p *netmap.Port, want netmap.Events) error {
	got, err := p.Poll(ctx, want, pollTime)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case got&netmap.Err == 0:
		return nil
	case want == netmap.In:
		return p.RxSync()
	}
	return p.TxSync()
}
