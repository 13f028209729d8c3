package gen

import (
	"runtime"
	"time"
)

const (
	// memory is how much lost time a pacer makes up for, at twice its pace: a burst after a pause would tell more about the
	// pause than about the receiver.
	memory = time.Second
	// napMargin is how much earlier than asked a sleep ends, because it may last longer than asked.
	napMargin = 150 * time.Microsecond
	// longestNap bounds how long a sender takes to see that it is to stop.
	longestNap = 50 * time.Millisecond
)

// pacer spreads frames evenly over time: frame n is due n/rate after the first. A pacer without a rate lets everything go.
type pacer struct {
	rate  float64 // frames a second
	start time.Time
	last  time.Time // when due was called
	sent  float64   // frames since start, with those given up
}

// due is how many frames are due now.
func (p *pacer) due(now time.Time) int {
	const unlimited = 1 << 30
	if p.rate == 0 {
		return unlimited
	}
	if p.start.IsZero() {
		p.start, p.last = now, now
	}
	due := float64(int64(now.Sub(p.start).Seconds()*p.rate)) + 1 - p.sent
	if most := max(1, p.rate*memory.Seconds()); due > most {
		p.sent += due - most
		due = most
	}
	most := max(1, 2*p.rate*now.Sub(p.last).Seconds())
	p.last = now
	return int(max(min(due, most), 0))
}

// took notes that n frames went.
func (p *pacer) took(n int) { p.sent += float64(n) }

// nap waits a while, but not longer than until the next frame is due.
func (p *pacer) nap(now time.Time) {
	at := p.start.Add(time.Duration(p.sent / p.rate * float64(time.Second)))
	if left := at.Sub(now) - napMargin; left > napMargin {
		time.Sleep(min(left, longestNap))
	} else {
		runtime.Gosched() // too short for a sleep: look again and again
	}
}
