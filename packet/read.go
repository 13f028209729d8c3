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
	Data   []byte // from the Ethernet header on; shortened if the filter asks for less
	Length int    // length of the whole frame in bytes
	Ring   int    // number of the ring on its port
	// when the frame arrived, with netmap.RxTimestamps; else when the framework received it
	Time time.Time
}

// mostBytes is the largest length of a frame: 64 slots of 4096 bytes.
const mostBytes = 256 << 10

// mostTaken is the number of slots after which they are returned to the framework, so that it does
// not run out of slots while a program is slow.
const mostTaken = 256

// reader takes frames out of rx rings, one ring after another. Only one goroutine at a time may use
// it.
type reader struct {
	port    *netmap.Port
	rings   []rxRing
	stamped bool // slots contain the arrival times of their frames

	at    int       // the current ring
	time  time.Time // when the framework received the current ring's frames
	taken int       // slots since the last sync, including the current ring's
	open  bool      // the current ring's slots are not returned yet
}

type rxRing struct {
	*netmap.Ring
	id     int
	frames *netmap.Reader
}

func newReader(port *netmap.Port) reader {
	r := reader{port: port, stamped: port.Request().Flags&abi.NRRxStamps != 0}
	for _, ring := range port.Rx() {
		r.rings = append(r.rings, rxRing{ring, ring.ID(), ring.Reader(mostBytes)})
	}
	return r
}

// receive returns the next frame that passes the filter.
func (c *Conn) receive(ctx context.Context, byDeadline bool) (Frame, error) {
	if len(c.rx.rings) == 0 {
		return Frame{}, fault.New(syscall.EOPNOTSUPP, "receive", "",
			"the port has no rx rings: open it without /T")
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

// state is the result of looking for a frame.
type state int

const (
	nothing state = iota
	whole
	tooLong
)

// next returns the next whole frame. Its memory is the ring's, or that of the reader for a frame in
// several slots. It is valid until the next call.
func (r *reader) next() (Frame, state, error) {
	for {
		if r.open {
			ring := &r.rings[r.at]
			if data, ok := ring.frames.Next(); ok {
				size := ring.frames.Size()
				if size > len(data) {
					return Frame{}, tooLong, nil
				}
				f := Frame{Data: data, Length: size, Ring: ring.id, Time: r.arrival(ring)}
				return f, whole, nil
			}
			ring.frames.Commit()
			r.open = false
		}
		if r.taken >= mostTaken {
			if err := r.port.RxSync(); err != nil {
				return Frame{}, nothing, err
			}
			r.taken = 0
		}
		if !r.turn() {
			return Frame{}, nothing, nil
		}
	}
}

// turn goes to the next ring that has frames.
func (r *reader) turn() bool {
	for range r.rings {
		if r.at++; r.at >= len(r.rings) {
			r.at = 0
		}
		ring := &r.rings[r.at]
		if n := ring.frames.Fill(mostTaken - r.taken); n > 0 {
			if r.time = ring.Time(); r.time.Unix() == 0 { // 0 from a framework that does not set it
				r.time = time.Now()
			}
			r.taken += n
			r.open = true
			return true
		}
	}
	r.taken = 0 // the poll that follows returns all slots
	return false
}

// arrival is the arrival time of the frame that a ring's reader has returned.
func (r *reader) arrival(ring *rxRing) time.Time {
	if r.stamped {
		if stamp := ring.frames.Ptr(); stamp != 0 {
			return time.Unix(0, int64(stamp))
		}
	}
	return r.time
}
