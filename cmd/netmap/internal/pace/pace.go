//go:build linux

// Package pace waits for points in time as exactly as a program can: it sleeps, and looks at the
// clock again and again at the end.
package pace

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A sleep ends a margin early, because it may last longer than asked. The margin follows what
	// nine of ten sleeps need on this machine, within these bounds: what the tenth needs is no
	// fault of sleeping, and to look at the clock for longer costs a thread the time slice that it
	// may need soon.
	leastMargin = 10 * time.Microsecond
	mostMargin  = 100 * time.Microsecond
	step        = 100 * time.Nanosecond
	// longestNap bounds how long it takes to see that the context ended.
	longestNap = 50 * time.Millisecond
	// shortNap is how long the runtime may miss a thread without anybody noticing.
	shortNap = 2 * time.Millisecond
)

// Pacer waits, on the goroutine that made it.
type Pacer struct{ margin time.Duration }

// New makes the calling goroutine's sleeps as exact as the kernel can, for as long as the goroutine
// lives: it keeps its thread for itself, and the thread comes before others where that is
// permitted.
func New() *Pacer {
	runtime.LockOSThread() // for good: what is set below belongs to the thread
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
	return &Pacer{margin: mostMargin / 2}
}

// Until returns when it is that time, or the context ended, and says what time it is.
func (p *Pacer) Until(ctx context.Context, at time.Time) time.Time {
	for {
		now := time.Now()
		left := at.Sub(now)
		switch {
		case left <= 0:
			return now
		case left > p.margin:
			if ctx.Err() != nil {
				return now
			}
			p.nap(now, min(left-p.margin, longestNap))
		}
	}
}

// nap sleeps, and learns from how long it took. The runtime's own sleep counts in milliseconds when
// nothing else is to be done.
func (p *Pacer) nap(now time.Time, d time.Duration) {
	sleep(d, d <= shortNap)
	if late := time.Since(now) - d; late > p.margin {
		p.margin = min(p.margin+9*step, mostMargin)
	} else {
		p.margin = max(p.margin-step, leastMargin)
	}
}
