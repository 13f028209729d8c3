package wake

import "time"

// Bell is where a goroutine sleeps, one at a time, until it is rung or its time is over. A bell that is rung while nobody
// sleeps ends the next sleep.
type Bell struct {
	rung  chan struct{} // one token
	timer *time.Timer
}

// NewBell is a bell that has not been rung. It is made once and kept, so that sleeping allocates nothing.
func NewBell() *Bell {
	b := &Bell{rung: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	b.timer.Stop()
	return b
}

// Wake rings it. It does not block.
func (b *Bell) Wake() {
	select {
	case b.rung <- struct{}{}:
	default:
	}
}

// Sleep waits for Wake, or until the time is over; negative is for ever.
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

// Forget has the bell forget that it was rung.
func (b *Bell) Forget() {
	select {
	case <-b.rung:
	default:
	}
}
