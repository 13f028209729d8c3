package packet

import (
	"context"
	"sync/atomic"

	"github.com/seed-48afdc40/netmap"
)

// Stats counts what a link has done since New. What the framework or the card had to drop before, because the program was slow,
// the link does not see: Drops asks for it.
type Stats struct {
	Received      uint64 // frames that were read
	ReceivedBytes uint64 // their bytes, as they were on the wire but for the frame check sequence
	Filtered      uint64 // frames that the filter did not let pass
	TooLong       uint64 // frames of several slots with more than 262144 bytes together
	Sent          uint64 // frames handed to the framework
	SentBytes     uint64
}

type counts struct {
	received, receivedBytes, filtered, tooLong atomic.Uint64
	sent, sentBytes                            atomic.Uint64
}

// Stats is what the link has done so far.
func (c *Conn) Stats() Stats {
	n := &c.counts
	return Stats{
		Received:      n.received.Load(),
		ReceivedBytes: n.receivedBytes.Load(),
		Filtered:      n.filtered.Load(),
		TooLong:       n.tooLong.Load(),
		Sent:          n.sent.Load(),
		SentBytes:     n.sentBytes.Load(),
	}
}

// Drops are the frames that were lost at the port since it was opened, by reason: those that came while its rings were full, and
// those that it could not send. Through a device the daemon is asked, which takes a moment. Errors are those of
// netmap.Port.Drops.
func (c *Conn) Drops(ctx context.Context) (netmap.Drops, error) {
	d, err := c.port.Drops(ctx)
	return d, c.opError("count", err)
}
