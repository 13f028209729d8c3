package latency

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestLatency(t *testing.T) {
	l := New()
	for i := 1; i <= 1000; i++ {
		l.Add(time.Duration(i)*time.Microsecond, 1)
	}
	for _, d := range []Distribution{l.Recent(), first(l.Total())} {
		if d.Count != 1000 {
			t.Errorf("%d times, want 1000", d.Count)
		}
		for _, v := range []struct {
			name      string
			got, want float64
		}{
			{"min", float64(d.Min), 1e3}, {"mean", d.Mean, 500.5e3},
			{"p50", float64(d.P50), 500e3}, {"p90", float64(d.P90), 900e3},
			{"p99", float64(d.P99), 990e3}, {"p99.9", float64(d.P999), 999e3},
			{"max", float64(d.Max), 1000e3},
		} {
			if math.Abs(v.got-v.want) > v.want/500 {
				t.Errorf("%s is %v, want %v", v.name, v.got, v.want)
			}
		}
	}
	if d := l.Recent(); d.Count != 0 {
		t.Errorf("recent times after they were read: %v", d)
	}
	l.Add(5*time.Millisecond, 1000)
	if d := l.Recent(); d.Count != 1000 {
		t.Errorf("%d recent times, want 1000", d.Count)
	}
	if d, _ := l.Total(); d.Count != 2000 {
		t.Errorf("%d times in total, want 2000", d.Count)
	}
}

func first(d Distribution, _ uint64) Distribution { return d }

func TestLatencyOdd(t *testing.T) {
	l := New()
	l.Add(-1, 3)
	l.Add(time.Minute, 4)
	l.Add(0, 1)
	if d, odd := l.Total(); odd != 7 || d.Count != 1 {
		t.Errorf("%d odd times and %d others, want 7 and 1", odd, d.Count)
	}
}

func TestDistributionString(t *testing.T) {
	if got := (Distribution{}).String(); got != "none" {
		t.Errorf("empty: %q", got)
	}
	d := Distribution{Count: 1, Min: 999, Mean: 12345.6, P50: 1234567, P90: 12345678, P99: 123456789,
		P999: 1e9, Max: 2e9}
	want := "min 999ns, mean 12.35µs, p50 1.23457ms, p90 12.35ms, p99 123.46ms, p99.9 1s, max 2s"
	if got := d.String(); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestOctaves(t *testing.T) {
	l := New()
	l.Add(0, 1)
	l.Add(1000, 2) // 2^9 to 2^10-1
	l.Add(1024, 3)
	l.Add(5000, 4) // 2^12
	d, _ := l.Total()
	if n := len(d.Octaves); n != 13 || d.Octaves[0] != (Octave{1, 1}) ||
		d.Octaves[9] != (Octave{512, 2}) || d.Octaves[10] != (Octave{1024, 3}) ||
		d.Octaves[12] != (Octave{4096, 4}) {
		t.Errorf("%v", d.Octaves)
	}
}

func TestWriteHistogram(t *testing.T) {
	l := New()
	l.Add(2*time.Millisecond, 7)
	var b strings.Builder
	if err := l.WriteHistogram(&b); err != nil || !strings.Contains(b.String(), "2000.") ||
		!strings.Contains(b.String(), "Total count    =            7") {
		t.Errorf("%v\n%s", err, b.String())
	}
}
