// Package latency keeps the distribution of many measured times.
package latency

import (
	"fmt"
	"io"
	"math/bits"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range of times that are kept, and their precision. Times outside count as odd.
const (
	longest = 10 * time.Second
	digits  = 3
)

// Histogram is a distribution of times. Its methods may be called from several goroutines.
type Histogram struct {
	mu            sync.Mutex
	recent, total *hdrhistogram.Histogram
	odd           uint64
}

// New returns an empty distribution.
func New() *Histogram {
	h := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(longest), digits) }
	return &Histogram{recent: h(), total: h()}
}

// Add adds n frames that took this time.
func (l *Histogram) Add(d time.Duration, n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d < 0 || d > longest {
		l.odd += n
		return
	}
	l.recent.RecordValues(int64(d), int64(n)) // cannot fail: d is in range
}

// Recent returns the distribution since the last call.
func (l *Histogram) Recent() Distribution {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := distribution(l.recent)
	l.flush()
	return d
}

// Total returns the distribution of everything. Odd is how many times were negative or too long.
// That happens when the clocks of two machines differ.
func (l *Histogram) Total() (d Distribution, odd uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	return distribution(l.total), l.odd
}

func (l *Histogram) flush() {
	l.total.Merge(l.recent)
	l.recent.Reset()
}

// Distribution sums up many times, in nanoseconds.
type Distribution struct {
	Count uint64  `json:"count"`
	Min   int64   `json:"min"`
	Mean  float64 `json:"mean"`
	P50   int64   `json:"p50"`
	P90   int64   `json:"p90"`
	P99   int64   `json:"p99"`
	P999  int64   `json:"p999"`
	Max   int64   `json:"max"`

	Octaves []Octave `json:"octaves,omitempty"`
}

// Octave counts the times from a power of two, in nanoseconds, to the next.
type Octave struct {
	From  int64  `json:"from"`
	Count uint64 `json:"count"`
}

func distribution(h *hdrhistogram.Histogram) Distribution {
	if h.TotalCount() == 0 {
		return Distribution{}
	}
	at := h.ValueAtQuantile
	return Distribution{
		Count: uint64(h.TotalCount()), Min: h.Min(), Mean: h.Mean(),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: h.Max(), Octaves: octaves(h),
	}
}

// octaves returns the powers of two from the first to the last that have any times.
func octaves(h *hdrhistogram.Histogram) []Octave {
	first, last := bits.Len64(uint64(h.Min())|1)-1, bits.Len64(uint64(h.Max())|1)-1
	list := make([]Octave, last-first+1)
	for i := range list {
		list[i].From = 1 << (first + i)
	}
	for _, bar := range h.Distribution() {
		if bar.Count > 0 {
			at := bits.Len64(uint64(bar.From)|1) - 1 - first
			list[min(max(at, 0), len(list)-1)].Count += uint64(bar.Count)
		}
	}
	return list
}

// WriteHistogram writes the distribution of everything, in microseconds, in the format of
// HdrHistogram's plotter.
func (l *Histogram) WriteHistogram(w io.Writer) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	_, err := l.total.PercentilesPrint(w, 5, 1000)
	return err
}

// String formats the distribution in one line.
func (d Distribution) String() string {
	if d.Count == 0 {
		return "none"
	}
	return fmt.Sprintf("min %s, mean %s, p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", short(d.Min),
		short(int64(d.Mean)),
		short(d.P50), short(d.P90), short(d.P99), short(d.P999), short(d.Max))
}

// Brief is a shorter form of String.
func (d Distribution) Brief() string {
	return fmt.Sprintf("min/p50/p99/max %s/%s/%s/%s", short(d.Min), short(d.P50), short(d.P99),
		short(d.Max))
}

// short writes a time with about four digits.
func short(ns int64) string {
	switch d := time.Duration(ns); {
	case d < 10*time.Microsecond:
		return d.String()
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Nanosecond).String()
	default:
		return d.Round(10 * time.Microsecond).String()
	}
}
