package event

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Limits of the log. A client that makes refused requests all the time, in one process or in many,
// adds some 20 MB a day.
const (
	burst      = 10               // messages at once about one client process or interface
	pause      = 10 * time.Second // time between further messages
	burstOfAll = 100              // messages at once about all clients, or all interfaces
	pauseOfAll = time.Second
	subjects   = 1024 // how many subjects can have limits of their own
)

// Throttle logs events. It leaves out some of those that clients or interfaces can cause as often
// as they like, and logs how many it left out.
type Throttle struct {
	log *slog.Logger

	mu      sync.Mutex
	budgets map[string]*budget
	clients *budget     // shared by all client processes
	nics    *budget     // shared by all interfaces
	timer   *time.Timer // runs while there are budgets
	closed  bool
}

// budget limits the messages about one subject, or about all.
type budget struct {
	burst   int
	pause   time.Duration
	full    time.Time // when a whole burst is permitted again
	subject Event     // the fields that identify the subject
	omitted uint64
}

// NewThrottle returns a throttle that writes to l.
func NewThrottle(l *slog.Logger) *Throttle {
	return &Throttle{log: l, budgets: map[string]*budget{},
		clients: &budget{burst: burstOfAll, pause: pauseOfAll},
		nics:    &budget{burst: burstOfAll, pause: pauseOfAll}}
}

// Say logs an event, or counts it as left out.
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

// permits reports whether an event may be logged, and charges the budgets for it.
func (t *Throttle) permits(e Event) bool {
	now, all := time.Now(), t.all(e)
	b := t.budget(e)
	for _, b := range []*budget{b, all} {
		if !b.has(now) {
			b.omitted++
			return false
		}
	}
	t.logOmitted(b)
	all.take(now)
	if b != all {
		b.take(now)
	}
	return true
}

// all returns the budget that an event's subject shares with others. All clients share one budget,
// and all interfaces another, so that clients cannot displace messages about interfaces.
func (t *Throttle) all(e Event) *budget {
	if e.PID != 0 {
		return t.clients
	}
	return t.nics
}

// budget returns the budget of the event's subject, or the shared budget if there are too many
// subjects.
func (t *Throttle) budget(e Event) *budget {
	key := fmt.Sprint(e.PID, " ", e.Interface)
	b := t.budgets[key]
	if b == nil {
		if len(t.budgets) == subjects {
			return t.all(e)
		}
		subject := Event{PID: e.PID, Program: e.Program, User: e.User, Interface: e.Interface}
		b = &budget{burst: burst, pause: pause, subject: subject}
		t.budgets[key] = b
	}
	if t.timer == nil && !t.closed {
		t.timer = time.AfterFunc(pause, t.expire)
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

// logOmitted logs how many messages of a budget were left out.
func (t *Throttle) logOmitted(b *budget) {
	if b.omitted > 0 {
		e := b.subject
		e.Kind, e.Omitted = Omitted, b.omitted
		b.omitted = 0
		e.Log(t.log)
	}
}

// expire logs what was left out, and deletes the budgets of subjects without recent messages.
func (t *Throttle) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for key, b := range t.budgets {
		if b.omitted > 0 && b.has(now) {
			t.logOmittedOf(b, now)
		}
		if b.omitted == 0 && b.full.Before(now) {
			delete(t.budgets, key)
		}
	}
	t.logOmitted(t.clients)
	t.logOmitted(t.nics)
	t.timer = nil
	if len(t.budgets) > 0 && !t.closed {
		t.timer = time.AfterFunc(pause, t.expire)
	}
}

// logOmittedOf logs how many messages about one subject were left out, unless the shared budget is
// used up.
func (t *Throttle) logOmittedOf(b *budget, now time.Time) {
	all := t.all(b.subject)
	if !all.has(now) {
		all.omitted += b.omitted
		b.omitted = 0
		return
	}
	t.logOmitted(b)
	b.take(now)
	all.take(now)
}

// Close logs what was left out and not logged yet.
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
			t.logOmittedOf(b, now)
		}
	}
	t.logOmitted(t.clients)
	t.logOmitted(t.nics)
}
