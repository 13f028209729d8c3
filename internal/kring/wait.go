package kring

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Waiter sleeps until one of its rings has news. Wake does not block.
type Waiter interface{ Wake() }

// Waiters are the sleepers of a ring. Without sleepers, Wake costs one load.
//
// A sleeper joins, looks at the ring once more, and only then sleeps. A sender publishes, and then
// calls Wake. So at least one of them notices the other.
type Waiters struct {
	some atomic.Bool
	mu   sync.Mutex
	list []Waiter
}

// Join adds w.
func (q *Waiters) Join(w Waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.list = append(q.list, w)
	q.some.Store(true)
}

// Leave removes w.
func (q *Waiters) Leave(w Waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if i := slices.Index(q.list, w); i >= 0 {
		q.list = slices.Delete(q.list, i, i+1)
	}
	q.some.Store(len(q.list) > 0)
}

// Wake wakes all waiters. They stay until they leave.
func (q *Waiters) Wake() {
	if q.some.Load() {
		q.wakeAll()
	}
}

func (q *Waiters) wakeAll() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, w := range q.list {
		w.Wake()
	}
}
