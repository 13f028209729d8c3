// Package wake is about sleeping and waking: a Bell for goroutines, an Eventfd for threads that
// sleep in poll(2), a Ringer for eventfds of other processes, and On, which ends a sleep with a
// context.
package wake

import "context"

// Sleeper is something that Wake can wake.
type Sleeper interface{ Wake() }

// On wakes the sleeper when the context ends, until stop is called. stop reports whether that has
// happened. It waits for a Wake in progress, which could otherwise end a later sleep. A context
// that cannot end costs nothing.
func On(ctx context.Context, s Sleeper) (stop func() (woken bool)) {
	if ctx.Done() == nil {
		return never
	}
	woken := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		s.Wake()
		close(woken)
	})
	return func() bool {
		if cancel() {
			return false
		}
		<-woken
		return true
	}
}

func never() bool { return false }
