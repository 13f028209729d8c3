package wake

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Short is how long a pause may be for looking again to cost less than a sleep. A wake-up takes
// both sides some microseconds, and tens of them across processors.
const Short = 20 * time.Microsecond

// Pauses remembers whether the last pause in a stream of events was short. While pauses are, who
// waits for the next event looks again for a while before it sleeps; one that waits for rare events
// sleeps at once.
type Pauses struct{ short atomic.Bool }

// Spin is how long to look before sleeping.
func (p *Pauses) Spin() time.Duration {
	if p.short.Load() {
		return Short
	}
	return 0
}

// Over notes how long the pause was that is over. One that ended with no event was a long one.
func (p *Pauses) Over(took time.Duration, came bool) {
	if short := came && took < Short; short != p.short.Load() {
		p.short.Store(short)
	}
}

// Yield lets other threads that want this processor go first: mostly whoever is waited for.
func Yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
