package gen

import (
	"context"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

// sequel receives the frames of txseq, each of which has a number. It counts slots, as pkt-gen does.
type sequel struct {
	*receiver
	expect  []sequence // by ring
	shape   int        // slots of the packet before; 0 is not known
	slots   int        // of this one so far
	say     func(format string, args ...any)
	lastSay time.Time
}

type sequence struct {
	next  uint32
	known bool
}

func (j *job) newSequel(p *netmap.Port) *sequel {
	s := &sequel{receiver: j.newReceiver(p), expect: make([]sequence, len(p.Rx()))}
	s.say = func(format string, args ...any) {
		if now := time.Now(); now.Sub(s.lastSay) > 500*time.Millisecond {
			s.lastSay = now
			j.say("rxseq_body", format, args...)
		}
	}
	return s
}

func (s *sequel) run(ctx context.Context) error {
	return s.loop(ctx, func() {
		for i, ring := range s.port.Rx() {
			s.drain(ring, &s.expect[i])
		}
	})
}

func (s *sequel) drain(ring *netmap.Ring, e *sequence) {
	w := ring.Window()
	for most := s.most(); s.frames < most && w.Len() > 0; w.Next() {
		f := w.Frame()
		s.shapes(w.Slot().Flags&abi.NSMoreFrag != 0)
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

// shapes tells when a packet has another number of slots than the one before.
func (s *sequel) shapes(more bool) {
	if s.slots++; more {
		return
	}
	if s.shape > 0 && s.slots != s.shape {
		s.say("Received packets with %d frags, expected %d", s.slots, s.shape)
	}
	s.shape, s.slots = s.slots, 0
}

func (s *sequel) compare(e *sequence, number uint32) {
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

// finish gives back what was read, and books it.
func (s *sequel) finish(ring *netmap.Ring, w netmap.Window) {
	if s.frames == 0 {
		return
	}
	s.n.noteSpace(ring.NumSlots() - 1 - ring.Len())
	if s.dump != nil {
		s.dump.Slots(ring, ring.Head(), w.Index())
	}
	w.Commit()
	s.now = time.Now()
	s.book()
}
