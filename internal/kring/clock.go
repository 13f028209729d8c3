package kring

import (
	"sync/atomic"
	"time"
)

// clock tells the time of day by one reading of the processor's clock. time.Now makes two, and took
// a third of a pipe's batch of one frame. It follows a change of the machine's clock within a
// second.
type clock struct {
	start time.Time
	zero  atomic.Int64 // the time of day at start, in ns since 1970, by the machine's present clock
	until atomic.Int64 // zero is computed again this many ns after start
}

// ringClock is for the ts of all rings.
var ringClock = clock{start: time.Now()}

func (c *clock) now() time.Time {
	up := int64(time.Since(c.start))
	if up >= c.until.Load() {
		t := time.Now()
		up = int64(t.Sub(c.start))
		c.zero.Store(t.UnixNano() - up)
		c.until.Store(up + int64(time.Second))
	}
	return time.Unix(0, c.zero.Load()+up)
}
