package packet

import (
	"context"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Frame is a received frame.
type Frame struct {
	Data   []byte    // from the Ethernet header on; shorter than the frame if the filter wants no more of it
	Length int       // of the whole frame, in bytes
	Ring   int       // the ring's number on its port
	Time   time.Time // when it arrived, with netmap.RxTimestamps; else when the framework took it in
}

// mostBytes is how long a frame can become: 64 slots of 4096 bytes.
const mostBytes = 256 << 10

// mostTaken is after how many slots the framework gets them back, so that it does not run out while a program is slow.
const mostTaken = 256

// reader takes frames out of rx rings, the rings in turn. It is for one goroutine at a time.
type reader struct {
	port    *netmap.Port
	rings   []rxRing
	stamped bool // slots tell when their frames arrived

	at    int // the ring that the window is of
	w     netmap.Window
	time  time.Time // of the window
	taken int       // slots since the last sync
}

// rxRing is a ring, and what there is so far of a frame that goes on in the next slot.
type rxRing struct {
	*netmap.Ring
	pieces  []byte
	length  int
	arrived time.Time
}

func newReader(port *netmap.Port) reader {
	r := reader{port: port, stamped: port.Request().Flags&abi.NRRxStamps != 0}
	for _, ring := range port.Rx() {
		r.rings = append(r.rings, rxRing{Ring: ring})
	}
	return r
}

// receive is the next frame that passes the filter.
func (c *Conn) receive(ctx context.Context, byDeadline bool) (Frame, error) {
	if len(c.rx.rings) == 0 {
		return Frame{}, fault.New(syscall.EOPNOTSUPP, "receive", "", "the port has no rx rings; open it without /T")
	}
	for {
		if ctx.Err() != nil || c.life.Err() != nil {
			return Frame{}, c.failure(ctx, byDeadline)
		}
		f, state, err := c.rx.next()
		switch {
		case err != nil:
			return Frame{}, err
		case state == tooLong:
			c.counts.tooLong.Add(1)
		case state == nothing:
			if err := c.wait(ctx, byDeadline, netmap.In, c.port.RxSync); err != nil {
				return Frame{}, err
			}
		case c.filter.Load().pass(&f):
			c.counts.received.Add(1)
			c.counts.receivedBytes.Add(uint64(f.Length))
			return f, nil
		default:
			c.counts.filtered.Add(1)
		}
	}
}

// state is what became of a look into the rings.
type state int

const (
	nothing state = iota
	whole
	tooLong
)

// next is the next whole frame. Its memory is the ring's, or that in which the pieces of a frame are put together, until the next
// call.
func (r *reader) next() (Frame, state, error) {
	if r.taken >= mostTaken {
		r.w.Commit()
		if err := r.port.RxSync(); err != nil {
			return Frame{}, nothing, err
		}
		r.taken, r.w = 0, netmap.Window{}
	}
	for {
		for r.w.Len() > 0 {
			if f, s := r.slot(); s != nothing {
				return f, s, nil
			}
		}
		if !r.turn() {
			return Frame{}, nothing, nil
		}
	}
}

// turn hands over a window that is used up, and opens one on the next ring that has frames.
func (r *reader) turn() bool {
	if r.taken > 0 {
		r.w.Commit()
	}
	for range r.rings {
		if r.at++; r.at >= len(r.rings) {
			r.at = 0
		}
		ring := &r.rings[r.at]
		if r.w = ring.Window(); r.w.Len() > 0 {
			if r.time = ring.Time(); r.time.Unix() == 0 { // a framework that does not say
				r.time = time.Now()
			}
			return true
		}
	}
	r.taken = 0 // the poll that follows hands over everything
	return false
}

// slot takes a slot, and with the last slot of a frame the frame.
func (r *reader) slot() (Frame, state) {
	ring := &r.rings[r.at]
	word, stamp, piece := r.w.Slot().Word(), r.w.Slot().Ptr, r.w.Frame()
	r.w.Next()
	r.taken++
	more := word.Flags()&abi.NSMoreFrag != 0
	if ring.length == 0 {
		ring.arrived = r.time
		if r.stamped && stamp != 0 {
			ring.arrived = time.Unix(0, int64(stamp))
		}
		if !more {
			return Frame{Data: piece, Length: len(piece), Ring: ring.ID(), Time: ring.arrived}, whole
		}
		ring.pieces = ring.pieces[:0]
	}
	return ring.join(piece, more)
}

// join adds a piece to a frame of several slots.
func (g *rxRing) join(piece []byte, more bool) (Frame, state) {
	g.length += max(len(piece), 1) // a frame that has begun is not empty
	if g.length <= mostBytes {
		g.pieces = append(g.pieces, piece...)
	}
	if more {
		return Frame{}, nothing
	}
	length := g.length
	g.length = 0
	if length > mostBytes {
		return Frame{}, tooLong
	}
	return Frame{Data: g.pieces, Length: len(g.pieces), Ring: g.ID(), Time: g.arrived}, whole
}
