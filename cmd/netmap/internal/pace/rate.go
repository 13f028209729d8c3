//go:build linux

package pace

import (
	"runtime"
	"time"
)

const (
	// memory is how much lost time a Rate makes up for, at twice its rate. A burst after a pause
	// would measure the pause, not the receiver.
	memory = time.Second
	// napMargin is how much shorter than needed a sleep is, because it may last longer than asked.
	napMargin = 150 * time.Microsecond
)

// Rate spreads frames evenly over time: frame n is due n/PerSecond seconds after the first. A
// PerSecond of 0 is no limit. A Rate is for batches of frames: unlike a Pacer, it shares its thread
// with other goroutines, and is less exact.
type Rate struct {
	PerSecond float64

	start time.Time
	last  time.Time // time of the last call of Due
	sent  float64   // frames since start, with those that are not made up for
}

// Due returns how many frames are due now.
func (p *Rate) Due(now time.Time) int {
	const unlimited = 1 << 30
	if p.PerSecond == 0 {
		return unlimited
	}
	if p.start.IsZero() {
		p.start, p.last = now, now
	}
	due := float64(int64(now.Sub(p.start).Seconds()*p.PerSecond)) + 1 - p.sent
	if most := max(1, p.PerSecond*memory.Seconds()); due > most {
		p.sent += due - most
		due = most
	}
	most := max(1, 2*p.PerSecond*now.Sub(p.last).Seconds())
	p.last = now
	return int(max(min(due, most), 0))
}

// Took counts n frames as sent.
func (p *Rate) Took(n int) { p.sent += float64(n) }

// Nap sleeps at most until the next frame is due.
func (p *Rate) Nap(now time.Time) {
	at := p.start.Add(time.Duration(p.sent / p.PerSecond * float64(time.Second)))
	if left := at.Sub(now) - napMargin; left > napMargin {
		time.Sleep(min(left, longestNap))
	} else {
		runtime.Gosched() // too short for a sleep: the caller reads the clock again
	}
}
