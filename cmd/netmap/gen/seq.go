package gen

import (
	"context"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

// seqReceiver receives the frames of txseq, which have sequence numbers. It counts slots, as
// pkt-gen does.
type seqReceiver struct {
	*receiver
	expect    []sequence // by ring
	lastSlots int        // slots of the last packet; 0 if unknown
	slots     int        // slots of the current packet so far
	say       func(format string, args ...any)
	lastSay   time.Time
}

type sequence struct {
	next  uint32
	known bool
}

func (j *job) newSeqReceiver(p *netmap.Port) *seqReceiver {
	s := &seqReceiver{receiver: j.newReceiver(p), expect: make([]sequence, len(p.Rx()))}
	s.say = func(format string, args ...any) {
		if now := time.Now(); now.Sub(s.lastSay) > 500*time.Millisecond {
			s.lastSay = now
			j.say("rxseq_body", format, args...)
		}
	}
	return s
}

func (s *seqReceiver) run(ctx context.Context) error {
	return s.loop(ctx, func() {
		for i, ring := range s.port.Rx() {
			s.drain(ring, &s.expect[i])
		}
	})
}

func (s *seqReceiver) drain(ring *netmap.Ring, e *sequence) {
	w := ring.Window()
	for most := s.most(); s.frames < most && w.Len() > 0; w.Next() {
		f := w.Frame()
		s.countSlot(w.Slot().Flags&abi.NSMoreFrag != 0)
		s.bytes += len(f)
		s.frames++
		if number, ok := testframe.Number(f[min(s.header, len(f)):]); !ok {
			s.say("packet too small (len=%d)", len(f))
		} else {
			s.compare(e, number)
		}
	}
	s.finish(ring, w)
}

// countSlot counts a slot, and writes a line if a packet has more or fewer slots than the last one.
func (s *seqReceiver) countSlot(more bool) {
	if s.slots++; more {
		return
	}
	if s.lastSlots > 0 && s.slots != s.lastSlots {
		s.say("Received packets with %d frags, expected %d", s.slots, s.lastSlots)
	}
	s.lastSlots, s.slots = s.slots, 0
}

func (s *seqReceiver) compare(e *sequence, number uint32) {
	if gap := number - e.next; e.known && gap != 0 {
		if gap < 1<<31 {
			s.n.dropped.Add(uint64(gap))
			s.say("Sequence GAP: exp %d found %d", e.next, number)
		} else {
			s.n.disorder.Add(1)
			s.say("Sequence OUT OF ORDER: exp %d found %d", e.next, number)
		}
	}
	*e = sequence{number + 1, true}
}

// finish releases the slots of a batch, and counts the batch.
func (s *seqReceiver) finish(ring *netmap.Ring, w netmap.Window) {
	if s.frames == 0 {
		return
	}
	s.n.addSpace(ring.NumSlots() - 1 - ring.Len())
	if s.dump != nil {
		s.dump.Slots(ring, ring.Head(), w.Index())
	}
	w.Commit()
	s.now = time.Now()
	s.endBatch()
}
