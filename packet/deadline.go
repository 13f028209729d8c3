package packet

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time, or with the link. The time may be changed while a call
// waits. After the time is over, a later one makes the context usable again.
type deadline struct {
	life   context.Context
	mu     sync.Mutex
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
}

func (d *deadline) start(life context.Context) {
	d.life = life
	d.ctx, d.cancel = context.WithCancel(life)
}

func (d *deadline) context() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ctx
}

// set changes the time. The zero time means no deadline.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.ctx.Done() // otherwise the old timer could end the new context
	}
	d.timer = nil
	left := time.Until(t)
	if !t.IsZero() && left <= 0 {
		d.cancel()
		return
	}
	if d.ctx.Err() != nil {
		d.start(d.life)
	}
	if !t.IsZero() {
		d.timer = time.AfterFunc(left, d.cancel)
	}
}
