package testframe

import "sync"

const (
	// Window is for how many frames back a stream remembers which it has seen.
	Window = 1 << 16
	// MaxStreams is how many streams a Tracker tracks.
	MaxStreams = 256
)

// Run is a number of frames of one stream with consecutive sequence numbers.
type Run struct {
	Stream uint16
	First  uint64
	N      uint64
}

// Extends reports whether the frame is the next one of the run.
func (r Run) Extends(m Mark) bool { return m.Seq == r.First+r.N && m.Stream == r.Stream && r.N > 0 }

// Counts are the counts of the frames of all streams.
type Counts struct {
	Seen       uint64 `json:"seen"`       // good frames, without repetitions
	Lost       uint64 `json:"lost"`       // frames that did not come, although later ones did
	Duplicated uint64 `json:"duplicated"` // frames that had come before
	Reordered  uint64 `json:"reordered"`  // seen frames that came after a later one
	Late       uint64 `json:"late"`       // more than Window behind a later frame; also in Lost
	Untracked  uint64 `json:"untracked"`  // frames of streams beyond MaxStreams
}

// Tracker counts the frames that arrive, in any number of streams and from any number of queues.
// Its methods may be called from several goroutines.
type Tracker struct {
	mu        sync.Mutex
	streams   map[uint16]*stream
	untracked uint64
}

// stream is the state of one stream. Bit n of the bitmap, modulo its length, is set if frame n was
// seen. The bits are valid for the last Window frames before top.
type stream struct {
	base, top                     uint64 // the first number seen, and the last one plus 1
	seen, dup, reordered, tooLate uint64
	bits                          [Window / 64]uint64
}

// Add counts frames, in the order in which they came.
func (t *Tracker) Add(runs ...Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range runs {
		if s := t.stream(r); s != nil {
			s.add(r.First, r.N)
		} else {
			t.untracked += r.N
		}
	}
}

func (t *Tracker) stream(r Run) *stream {
	s := t.streams[r.Stream]
	if s != nil || len(t.streams) == MaxStreams {
		return s
	}
	if t.streams == nil {
		t.streams = make(map[uint16]*stream)
	}
	s = &stream{base: r.First, top: r.First}
	t.streams[r.Stream] = s
	return s
}

func (s *stream) add(first, n uint64) {
	for ; n > 0 && first < s.top; first, n = first+1, n-1 {
		s.addOld(first)
	}
	if n == 0 {
		return
	}
	if first-s.top >= Window {
		clear(s.bits[:])
	} else {
		s.mark(s.top, first, false)
	}
	s.top = first + n
	s.mark(s.top-min(n, Window), s.top, true)
	s.seen += n
}

// addOld counts a frame that comes after a later one.
func (s *stream) addOld(seq uint64) {
	switch word, bit := &s.bits[seq/64%(Window/64)], uint64(1)<<(seq%64); {
	case s.top-seq > Window:
		s.tooLate++
	case *word&bit != 0:
		s.dup++
	default:
		*word |= bit
		s.seen++
		s.reordered++
		s.base = min(s.base, seq)
	}
}

// mark sets or clears the bits of the frames from from to to-1, at most Window of them.
func (s *stream) mark(from, to uint64, seen bool) {
	for from != to {
		word, bit := &s.bits[from/64%(Window/64)], from%64
		n := min(64-bit, to-from)
		mask := ^uint64(0) >> (64 - n) << bit
		if seen {
			*word |= mask
		} else {
			*word &^= mask
		}
		from += n
	}
}

// Counts returns the sums over all streams.
func (t *Tracker) Counts() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := Counts{Untracked: t.untracked}
	for _, s := range t.streams {
		c.Seen += s.seen
		c.Lost += s.top - s.base - s.seen
		c.Duplicated += s.dup
		c.Reordered += s.reordered
		c.Late += s.tooLate
	}
	return c
}
