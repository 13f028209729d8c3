package cli

import (
	"context"
	"time"

	"github.com/seed-48afdc40/netmap"
)

// PollTime is how long a command sleeps at a time.
const PollTime = time.Second

// Await sleeps until the wanted event, the end of the context, or the timeout. The caller checks
// which it was. If the port has failed, Await syncs it and returns the error of the sync, but only
// when no event is left: a monitor whose port was closed may still have frames.
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
