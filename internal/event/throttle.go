package event

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// How much is said. A client that does nothing but make requests that are refused, in one process
// or in many, adds some 20 MB a day to the log.
const (
	burst      = 10               // messages on one subject, a client process or an interface, at once
	pause      = 10 * time.Second // after which there may be one more
	burstOfAll = 100              // likewise, of all subjects together
	pauseOfAll = time.Second
	subjects   = 1024 // that are told apart
)

// Throttle says events, but leaves out some of those that others can bring about as often as they
// like. It says how many.
type Throttle struct {
	log *slog.Logger

	mu      sync.Mutex
	budgets map[string]*budget
	clients *budget // of all
	nics    *budget
	timer   *time.Timer // runs while there are budgets
	closed  bool
}

// budget is how many messages there may still be.
type budget struct {
	burst   int
	pause   time.Duration
	full    time.Time // when it has recovered
	subject Event     // whose it is
	omitted uint64
}

// NewThrottle is a throttle before a log.
func NewThrottle(l *slog.Logger) *Throttle {
	return &Throttle{log: l, budgets: map[string]*budget{},
		clients: &budget{burst: burstOfAll, pause: pauseOfAll}, nics: &budget{burst: burstOfAll, pause: pauseOfAll}}
}

// Say says an event, or counts it.
func (t *Throttle) Say(e Event) {
	switch {
	case e.Kind.Own:
		e.Log(t.log)
	case t.log.Enabled(context.Background(), e.Kind.Level):
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.permits(e) {
			e.Log(t.log)
		}
	}
}

// permits says whether there is room for an event, and takes it.
func (t *Throttle) permits(e Event) bool {
	now, all := time.Now(), t.all(e)
	b := t.budget(e)
	for _, b := range []*budget{b, all} {
		if !b.has(now) {
			b.omitted++
			return false
		}
	}
	t.tell(b)
	all.take(now)
	if b != all {
		b.take(now)
	}
	return true
}

// all is the budget that the event's subject shares with others. Clients cannot keep an interface's
// trouble from being told.
func (t *Throttle) all(e Event) *budget {
	if e.PID != 0 {
		return t.clients
	}
	return t.nics
}

// budget is the event's subject's own, or when there are too many subjects to tell them apart, the
// one of all.
func (t *Throttle) budget(e Event) *budget {
	key := fmt.Sprint(e.PID, " ", e.Interface)
	b := t.budgets[key]
	if b == nil {
		if len(t.budgets) == subjects {
			return t.all(e)
		}
		b = &budget{burst: burst, pause: pause, subject: Event{PID: e.PID, Program: e.Program, User: e.User, Interface: e.Interface}}
		t.budgets[key] = b
	}
	if t.timer == nil && !t.closed {
		t.timer = time.AfterFunc(pause, t.tidy)
	}
	return b
}

func (b *budget) has(now time.Time) bool {
	return b.full.Sub(now) <= time.Duration(b.burst-1)*b.pause
}

func (b *budget) take(now time.Time) {
	if b.full.Before(now) {
		b.full = now
	}
	b.full = b.full.Add(b.pause)
}

// tell says how many messages of a budget were left out.
func (t *Throttle) tell(b *budget) {
	if b.omitted > 0 {
		e := b.subject
		e.Kind, e.Omitted = Omitted, b.omitted
		b.omitted = 0
		e.Log(t.log)
	}
}

// tidy tells what was left out, and forgets who has been quiet for a while.
func (t *Throttle) tidy() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for key, b := range t.budgets {
		if b.omitted > 0 && b.has(now) {
			t.tellOne(b, now)
		}
		if b.omitted == 0 && b.full.Before(now) {
			delete(t.budgets, key)
		}
	}
	t.tell(t.clients)
	t.tell(t.nics)
	t.timer = nil
	if len(t.budgets) > 0 && !t.closed {
		t.timer = time.AfterFunc(pause, t.tidy)
	}
}

// tellOne tells what was left out of one subject, unless too much is said of all.
func (t *Throttle) tellOne(b *budget, now time.Time) {
	all := t.all(b.subject)
	if !all.has(now) {
		all.omitted += b.omitted
		b.omitted = 0
		return
	}
	t.tell(b)
	b.take(now)
	all.take(now)
}

// Close tells what was left out and not told yet.
func (t *Throttle) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	if t.timer != nil {
		t.timer.Stop()
	}
	now := time.Now()
	for _, b := range t.budgets {
		if b.omitted > 0 {
			t.tellOne(b, now)
		}
	}
	t.tell(t.clients)
	t.tell(t.nics)
}
