package kring

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// bell is a waiter like a program that sleeps in poll.
type bell chan struct{}

func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

func (b bell) rung() bool {
	select {
	case <-b:
		return true
	default:
		return false
	}
}

func TestWakeWakesAllWaiters(t *testing.T) {
	var q Waiters
	q.Wake() // nobody waits
	a, b, c := make(bell, 1), make(bell, 1), make(bell, 1)
	q.Join(a)
	q.Join(b)
	q.Join(c)
	q.Leave(b)
	q.Leave(b) // it has not joined
	for range 2 {
		q.Wake()
		if !a.rung() || b.rung() || !c.rung() {
			t.Error("the wrong waiters were woken")
		}
	}
	q.Leave(a)
	q.Leave(c)
	q.Wake()
	if a.rung() || c.rung() || q.some.Load() {
		t.Error("a waiter that left was woken")
	}
}

func TestAWaiterThatJoinsTwiceLeavesTwice(t *testing.T) {
	var q Waiters
	a := make(bell, 1)
	q.Join(a)
	q.Join(a)
	q.Leave(a)
	q.Wake()
	if !a.rung() {
		t.Error("removed after leaving once")
	}
	q.Leave(a)
	if q.Wake(); a.rung() {
		t.Error("not removed after leaving twice")
	}
}

// TestNoWakeUpIsLost tests the protocol of Waiters: sleepers join, look once more, and sleep;
// senders publish and wake.
func TestNoWakeUpIsLost(t *testing.T) {
	const rounds, sleepers = 2000, 3
	var q Waiters
	var published atomic.Int64
	var seen [sleepers]atomic.Int64
	var wg sync.WaitGroup
	for i := range sleepers {
		wg.Go(func() {
			b := make(bell, 1)
			for last := int64(0); last < rounds; {
				q.Join(b)
				for published.Load() == last {
					select {
					case <-b:
					case <-time.After(10 * time.Second):
						t.Errorf("sleeper %d was not woken after %d", i, last)
						q.Leave(b)
						return
					}
				}
				last = published.Load()
				seen[i].Store(last)
				q.Leave(b)
			}
		})
	}
	for n := int64(1); n <= rounds; n++ {
		published.Store(n)
		q.Wake()
		for end := time.Now().Add(20 * time.Second); ; {
			late := false
			for i := range seen {
				late = late || seen[i].Load() != n
			}
			if !late {
				break
			}
			if time.Now().After(end) {
				t.Fatal("a sleeper was not woken")
			}
			time.Sleep(time.Microsecond)
		}
	}
	wg.Wait()
}
