package testframe

import "sync"

const (
	// Window is how far back a stream remembers which frames it has seen.
	Window = 1 << 16
	// MaxStreams is how many streams are told apart.
	MaxStreams = 256
)

// Run is frames of one stream whose sequence numbers follow each other.
type Run struct {
	Stream uint16
	First  uint64
	N      uint64
}

// Extends says whether the frame is the next one of the run.
func (r Run) Extends(m Mark) bool { return m.Seq == r.First+r.N && m.Stream == r.Stream && r.N > 0 }

// Counts is what became of the frames of all streams.
type Counts struct {
	Seen       uint64 `json:"seen"`       // good frames, each counted once
	Lost       uint64 `json:"lost"`       // that never came, though later ones did
	Duplicated uint64 `json:"duplicated"` // that came once more
	Reordered  uint64 `json:"reordered"`  // of those seen: came after a later one
	Late       uint64 `json:"late"`       // came more than Window frames after a later one: counted as lost, too
	Untracked  uint64 `json:"untracked"`  // of streams beyond MaxStreams
}

// Tracker keeps the books of what arrives, in any number of streams and through any number of
// queues. Its methods may be called from several goroutines.
type Tracker struct {
	mu        sync.Mutex
	streams   map[uint16]*stream
	untracked uint64
}

// stream is the books of one. Bit n of the bitmap, modulo its length, says whether frame n was
// seen, for those of the last Window frames before top.
type stream struct {
	base, top                     uint64 // the first frame seen, and the one after the last
	seen, dup, reordered, tooLate uint64
	bits                          [Window / 64]uint64
}

// Note books frames, in the order in which they came.
func (t *Tracker) Note(runs ...Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range runs {
		if s := t.stream(r); s != nil {
			s.note(r.First, r.N)
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

func (s *stream) note(first, n uint64) {
	for ; n > 0 && first < s.top; first, n = first+1, n-1 {
		s.old(first)
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

// old books a frame that comes after a later one.
func (s *stream) old(seq uint64) {
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

// mark sets or clears the bits of frames from to to-1, of which there are at most Window.
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

// Counts are the books of all streams together.
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
