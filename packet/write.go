package packet

import (
	"context"
	"syscall"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/fault"
)

// send passes frames to the framework, and returns how many.
func (c *Conn) send(ctx context.Context, byDeadline bool, frames [][]byte) (sent int, err error) {
	if len(c.port.Tx()) == 0 {
		return 0, fault.New(syscall.EOPNOTSUPP, "send", "",
			"the port has no tx rings: open it without /R")
	}
	ring := c.port.Tx()[0]
	for sent < len(frames) {
		if ctx.Err() != nil || c.life.Err() != nil {
			return sent, c.failure(ctx, byDeadline)
		}
		n := ring.Send(frames[sent:]...)
		if n > 0 {
			if err := c.push(); err != nil {
				return sent, err
			}
			c.counts.sent.Add(uint64(n))
			for _, f := range frames[sent : sent+n] {
				c.counts.sentBytes.Add(uint64(len(f)))
			}
			sent += n
			continue
		}
		if err := sendable(ring, frames[sent]); err != nil {
			return sent, err
		}
		ring.SetCur(ring.Tail()) // the present room is not enough
		if err := c.wait(ctx, byDeadline, netmap.Out, c.port.TxSync); err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// push lets the framework send. A poll waits for a goroutine that receives and is syncing the ring;
// TxSync would skip the ring.
func (c *Conn) push() error {
	got, err := c.port.Poll(context.Background(), netmap.Out, 0)
	if err == nil && got&netmap.Err != 0 {
		err = c.port.TxSync()
	}
	return err
}

// sendable returns an error if the frame can never be sent.
func sendable(ring *netmap.Ring, frame []byte) error {
	if len(frame) == 0 {
		return fault.New(syscall.EINVAL, "send", "", "the frame is empty")
	}
	if most := ring.MaxFrame(); len(frame) > most {
		return fault.New(syscall.EMSGSIZE, "send", "",
			"the frame has %d bytes, and all %d slots together %d: ask for more with netmap.Slots",
			len(frame), ring.NumSlots()-1, most)
	}
	return nil
}
