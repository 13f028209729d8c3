package wake

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Short is the longest pause during which it is cheaper to look again than to sleep. A wake-up
// costs both sides some microseconds, and tens of them from core to core.
const Short = 20 * time.Microsecond

// Pauses remembers whether the last pause in a stream of events was short. If it was, those who
// wait for the next event look again for a while before they sleep. If events are rare, they sleep
// at once.
type Pauses struct{ short atomic.Bool }

// Spin returns how long to look before sleeping.
func (p *Pauses) Spin() time.Duration {
	if p.short.Load() {
		return Short
	}
	return 0
}

// Over records how long the last pause took. A pause without an event at its end counts as long.
func (p *Pauses) Over(took time.Duration, came bool) {
	if short := came && took < Short; short != p.short.Load() {
		p.short.Store(short)
	}
}

// Yield lets other threads that wait for this core run, often the one that is waited for.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
