package packet

import (
	"context"
	"sync"
	"time"
)

// deadline is a context that ends at a time, or with the link. The time may be changed while somebody waits, and an end be taken
// back for those who come later.
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

// set changes the time. The zero time is none.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil && !d.timer.Stop() {
		<-d.ctx.Done() // or the old time would end the new context
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
