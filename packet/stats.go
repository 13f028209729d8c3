package packet

import "sync/atomic"

// Stats counts what a link has done since New. What the framework or the card had to drop before, because the program was slow,
// is not known to a port: embed.Framework.Stats has it.
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
