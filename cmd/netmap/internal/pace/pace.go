//go:build linux

// Package pace waits for points in time as exactly as a program can: it sleeps, and reads the clock
// in a loop at the end. It also spreads frames over time.
package pace

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// A sleep is asked to end a margin early, because it may last longer than asked. The margin
	// follows the lateness of nine of ten sleeps on this machine, within these bounds. The tenth
	// has other causes, and a thread that reads the clock for longer uses up its time slice, which
	// it may need soon.
	leastMargin = 10 * time.Microsecond
	mostMargin  = 100 * time.Microsecond
	step        = 100 * time.Nanosecond
	// longestNap bounds the time until a Pacer sees that the context ended.
	longestNap = 50 * time.Millisecond
	// shortNap is how long a thread may sleep without the knowledge of Go's runtime.
	shortNap = 2 * time.Millisecond
)

// Pacer waits, on the goroutine that called New.
type Pacer struct{ margin time.Duration }

// New makes the sleeps of the calling goroutine as exact as the kernel can, until the goroutine
// ends: it locks the goroutine to its thread, and raises the thread's priority if that is
// permitted.
func New() *Pacer {
	runtime.LockOSThread() // without unlocking: the settings below are the thread's
	unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	unix.Setpriority(unix.PRIO_PROCESS, 0, -20)
	return &Pacer{margin: mostMargin / 2}
}

// Until waits until at, or until the context ends, and returns the current time.
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

// nap sleeps, and adjusts the margin to its lateness. It does not use time.Sleep, whose resolution
// is milliseconds while no goroutine runs.
func (p *Pacer) nap(now time.Time, d time.Duration) {
	sleep(d, d <= shortNap)
	if late := time.Since(now) - d; late > p.margin {
		p.margin = min(p.margin+9*step, mostMargin)
	} else {
		p.margin = max(p.margin-step, leastMargin)
	}
}
