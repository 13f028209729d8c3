package wake

import "time"

// Bell is a place for one goroutine to sleep until Wake is called or its time is over. A Wake while
// nobody sleeps ends the next sleep.
type Bell struct {
	rung  chan struct{} // holds one token at most
	timer *time.Timer
}

// NewBell makes a Bell. Sleeping on it does not allocate.
func NewBell() *Bell {
	b := &Bell{rung: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	b.timer.Stop()
	return b
}

// Wake ends the current sleep, or else the next one. It does not block.
func (b *Bell) Wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// Sleep waits for Wake, for at most the time left. A negative time has no end.
func (b *Bell) Sleep(left time.Duration) {
	if left < 0 {
		<-b.rung
		return
	}
	b.timer.Reset(left)
	defer b.timer.Stop()
	select {
	case <-b.rung:
	case <-b.timer.C:
	}
}

// Forget undoes a Wake that has not ended a sleep.
func (b *Bell) Forget() {
	select {
	case <-b.rung:
	default:
	}
}
