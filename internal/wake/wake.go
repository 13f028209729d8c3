// Package wake is about sleeping: a bell to sleep on, and ending a sleep when a context ends.
package wake

import "context"

// Sleeper is who is to be woken.
type Sleeper interface{ Wake() }

// On wakes the sleeper when the context ends, until stop is called. Stop says whether it was woken, which is over then: a
// late call could wake somebody else. A context that cannot end costs nothing.
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
