package packet

import (
	"context"
	"sync/atomic"

	"github.com/seed-48afdc40/netmap"
)

// Stats counts what a link has done since New. It does not include frames that the framework or the
// card dropped because the program was slow: see Drops.
type Stats struct {
	Received      uint64 // frames that were read
	ReceivedBytes uint64 // without the frame check sequence
	Filtered      uint64 // frames that did not pass the filter
	TooLong       uint64 // frames in several slots with more than 262144 bytes
	Sent          uint64 // frames handed to the framework
	SentBytes     uint64
}

type counts struct {
	received, receivedBytes, filtered, tooLong atomic.Uint64
	sent, sentBytes                            atomic.Uint64
}

// Stats returns what the link has done so far.
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

// Drops returns the frames that were lost at the port since it was opened, by reason: those that
// arrived while its rings were full, and those that it could not send. With a device, Drops asks
// the daemon, which takes a moment. Errors are those of netmap.Port.Drops.
func (c *Conn) Drops(ctx context.Context) (netmap.Drops, error) {
	d, err := c.port.Drops(ctx)
	return d, c.opError("count", err)
}
