//go:build linux

package pace

import (
	"testing"
	"time"
)

// At each moment, the number of frames is that of the elapsed time.
func TestRate(t *testing.T) {
	for _, rate := range []float64{1, 1000, 1e6, 14.88e6} {
		p, start, sent := Rate{PerSecond: rate}, time.Now(), 0
		for i := range 10000 {
			at := time.Duration(i) * 37 * time.Microsecond
			n := p.Due(start.Add(at))
			p.Took(n)
			sent += n
			if want := int(at.Seconds()*rate) + 1; sent != want {
				t.Fatalf("rate %v: %d frames after %v, want %d", rate, sent, at, want)
			}
		}
	}
}

// After a pause, a Rate makes up for a second, at most at twice its rate.
func TestRateMakesUpForLostTime(t *testing.T) {
	p, start, sent := Rate{PerSecond: 1000}, time.Now(), 0
	p.Took(p.Due(start))
	const step = 10 * time.Millisecond
	for at := 5 * time.Second; at < 10*time.Second; at += step {
		n := p.Due(start.Add(at))
		p.Took(n)
		if sent += n; at > 5*time.Second && n > 20 {
			t.Fatalf("%d frames within %v", n, step)
		}
	}
	if sent < 5980 || sent > 6010 {
		t.Errorf("%d frames in the 5 seconds after a pause, want those of 6", sent)
	}
}

func TestNoRate(t *testing.T) {
	p := Rate{}
	if n := p.Due(time.Now()); n < 1e6 {
		t.Errorf("only %d frames are due", n)
	}
}

func TestRateNaps(t *testing.T) {
	p, start, sent := Rate{PerSecond: 200}, time.Now(), 0
	for time.Since(start) < 50*time.Millisecond {
		now := time.Now()
		n := p.Due(now)
		p.Took(n)
		if sent += n; n == 0 {
			p.Nap(now)
		}
	}
	// A slow machine may have fewer.
	if most := int(time.Since(start).Seconds()*200) + 1; sent < 2 || sent > most {
		t.Errorf("%d frames, want up to %d", sent, most)
	}
}
