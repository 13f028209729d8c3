package cli

import (
	"context"
	"time"

	"github.com/seed-48afdc40/netmap"
)

// PollTime is how long a command sleeps at a time, before it looks whether it is to stop.
const PollTime = time.Second

// Await sleeps until the event is there, the context ends or the time is over: the caller looks again. A port that is in
// trouble is synced, because the sync says what it is, but not before everything was read: what a monitor has when its port is
// closed, for one.
func Await(ctx context.Context, p *netmap.Port, want netmap.Events, timeout time.Duration) error {
	got, err := p.Poll(ctx, want, timeout)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	case got&netmap.Err == 0 || got&want != 0:
		return nil
	case want == netmap.In:
		return p.RxSync()
	}
	return p.TxSync()
}
