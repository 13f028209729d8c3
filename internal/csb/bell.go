//go:build linux || freebsd

package csb

import (
	"sync"
	"time"
)

// Bell is where a program sleeps whose loop is a goroutine of the same process.
type Bell struct {
	once  sync.Once
	token chan struct{}
	timer *time.Timer
}

func (b *Bell) init() {
	b.once.Do(func() {
		b.token = make(chan struct{}, 1)
		b.timer = time.NewTimer(time.Hour)
		b.timer.Stop()
	})
}

// Wake ends the sleep, or the next one.
func (b *Bell) Wake() {
	b.init()
	select {
	case b.token <- struct{}{}:
	default:
	}
}

// Sleep waits for Wake, or until the time is over; negative is for ever. It is for one goroutine at a time.
func (b *Bell) Sleep(left time.Duration) {
	b.init()
	if left < 0 {
		<-b.token
		return
	}
	b.timer.Reset(left)
	defer b.timer.Stop()
	select {
	case <-b.token:
	case <-b.timer.C:
	}
}
