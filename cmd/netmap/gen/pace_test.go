package gen

import (
	"testing"
	"time"
)

// TestPacer asks at odd moments and wants the frames that a ruler would give.
func TestPacer(t *testing.T) {
	for _, rate := range []float64{1, 1000, 1e6, 14.88e6} {
		p, start, sent := pacer{rate: rate}, time.Now(), 0
		for i := range 10000 {
			at := time.Duration(i) * 37 * time.Microsecond
			n := p.due(start.Add(at))
			p.took(n)
			sent += n
			if want := int(at.Seconds()*rate) + 1; sent != want {
				t.Fatalf("rate %v: %d frames after %v, want %d", rate, sent, at, want)
			}
		}
	}
}

// After a pause a pacer makes up for a second, and never goes faster than twice its pace.
func TestPacerMakesUpForLostTime(t *testing.T) {
	p, start, sent := pacer{rate: 1000}, time.Now(), 0
	p.took(p.due(start))
	const step = 10 * time.Millisecond
	for at := 5 * time.Second; at < 10*time.Second; at += step {
		n := p.due(start.Add(at))
		p.took(n)
		if sent += n; at > 5*time.Second && n > 20 {
			t.Fatalf("%d frames within %v", n, step)
		}
	}
	if sent < 5980 || sent > 6010 {
		t.Errorf("%d frames in the 5 seconds after a pause, want those of 6", sent)
	}
}

func TestPacerWithoutRate(t *testing.T) {
	p := pacer{}
	if n := p.due(time.Now()); n < 1e6 {
		t.Errorf("only %d frames are due", n)
	}
}

func TestPacerNaps(t *testing.T) {
	p, start, sent := pacer{rate: 200}, time.Now(), 0
	for time.Since(start) < 50*time.Millisecond {
		now := time.Now()
		n := p.due(now)
		p.took(n)
		if sent += n; n == 0 {
			p.nap(now)
		}
	}
	if most := int(time.Since(start).Seconds()*200) + 1; sent < 2 || sent > most { // how many less is up to the machine
		t.Errorf("%d frames, want up to %d", sent, most)
	}
}
