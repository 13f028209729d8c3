package testframe

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// model counts the same as Tracker, in the simplest way.
type model map[uint16]*modelStream

type modelStream struct {
	base, top uint64
	seen      map[uint64]bool
	c         Counts
}

func (m model) add(stream uint16, seq uint64) {
	s := m[stream]
	if s == nil {
		s = &modelStream{base: seq, top: seq, seen: map[uint64]bool{}}
		m[stream] = s
	}
	switch {
	case seq >= s.top:
		s.top = seq + 1
		s.seen[seq] = true
	case s.top-seq > Window:
		s.c.Late++
	case s.seen[seq]:
		s.c.Duplicated++
	default:
		s.seen[seq] = true
		s.c.Reordered++
		s.base = min(s.base, seq)
	}
}

func (m model) counts() (sum Counts) {
	for _, s := range m {
		for seq := s.base; seq < s.top; seq++ {
			if !s.seen[seq] {
				sum.Lost++
			}
		}
		sum.Seen += uint64(len(s.seen))
		sum.Duplicated += s.c.Duplicated
		sum.Reordered += s.c.Reordered
		sum.Late += s.c.Late
	}
	return sum
}

// The test loses, repeats, delays and reorders frames of several streams.
func TestTrackerAgainstModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var tr Tracker
			m := model{}
			next := []uint64{0, 1 << 40, rnd.Uint64N(1 << 20)}
			for range 3000 {
				r := Run{Stream: uint16(rnd.IntN(len(next))), N: 1 + rnd.Uint64N(200)}
				at := &next[r.Stream]
				r.First = *at
				switch rnd.IntN(12) {
				case 0:
					r.First += rnd.Uint64N(100) // a loss
				case 1, 2:
					r.First -= min(r.First, rnd.Uint64N(2000)) // late ones
				case 3:
					r.First -= min(r.First, Window+rnd.Uint64N(2000)-1000)
				case 4:
					if rnd.IntN(20) == 0 {
						r.First += rnd.Uint64N(3 * Window)
					}
				}
				*at = max(*at, r.First+r.N)
				tr.Add(r)
				for i := range r.N {
					m.add(r.Stream, r.First+i)
				}
			}
			if got, want := tr.Counts(), m.counts(); got != want {
				t.Errorf("counts\n%+v, want\n%+v", got, want)
			}
		})
	}
}

func TestTrackerCases(t *testing.T) {
	for _, tt := range []struct {
		name string
		runs []Run
		want Counts
	}{
		{"in order", []Run{{1, 0, 10}, {1, 10, 10}}, Counts{Seen: 20}},
		{"starts late", []Run{{1, 1000, 10}}, Counts{Seen: 10}},
		{"a gap", []Run{{1, 0, 10}, {1, 12, 1}}, Counts{Seen: 11, Lost: 2}},
		{"a gap filled", []Run{{1, 0, 10}, {1, 12, 1}, {1, 10, 2}}, Counts{Seen: 13, Reordered: 2}},
		{"twice", []Run{{1, 0, 10}, {1, 5, 10}}, Counts{Seen: 15, Duplicated: 5}},
		{"two queues", []Run{{1, 4, 4}, {1, 0, 4}, {1, 12, 4}, {1, 8, 4}},
			Counts{Seen: 16, Reordered: 8}},
		{"two streams", []Run{{1, 0, 4}, {2, 0, 4}}, Counts{Seen: 8}},
		{"too late", []Run{{1, 0, 1}, {1, 2 + Window, 1}, {1, 1, 1}},
			Counts{Seen: 2, Lost: Window + 1, Late: 1}},
		{"just in time", []Run{{1, 0, 1}, {1, 1 + Window, 1}, {1, 2, 1}},
			Counts{Seen: 3, Lost: Window - 1, Reordered: 1}},
		{"a run longer than the window", []Run{{1, 0, 3 * Window}, {1, 3*Window - 1, 1}},
			Counts{Seen: 3 * Window, Duplicated: 1}},
	} {
		var tr Tracker
		tr.Add(tt.runs...)
		if got := tr.Counts(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestTrackerBoundsStreams(t *testing.T) {
	var tr Tracker
	for i := range uint16(MaxStreams + 10) {
		tr.Add(Run{i, 0, 2})
	}
	if got, want := tr.Counts(), (Counts{Seen: 2 * MaxStreams, Untracked: 20}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

func BenchmarkTracker(b *testing.B) {
	var tr Tracker
	for i := 0; i < b.N; i += 512 {
		tr.Add(Run{1, uint64(i), 512})
	}
}
