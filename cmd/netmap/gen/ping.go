package gen

import (
	"context"
	"math"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// answerTime is how long a ping is waited for.
const answerTime = time.Second

// pinger sends frames and waits for them to come back.
type pinger struct {
	*sender
	answers *counters
	tracker *testframe.Tracker
	latency *latency.Histogram
	checker testframe.Checker
	stream  uint16
	header  int // bytes before each frame
	missing int // frames of the last burst that are not back
	rings   []*netmap.Reader
}

// run sends a burst, collects the answers, and starts over.
func (p *pinger) run(ctx context.Context) error {
	for p.left > 0 && ctx.Err() == nil {
		now := time.Now()
		due := p.pace.Due(now)
		if due == 0 {
			p.pace.Nap(now)
			continue
		}
		n, err := p.ping(int(min(uint64(due), p.left, uint64(p.burst))))
		if err != nil {
			return err
		}
		p.missing = n
		if err := p.collect(ctx, time.Now().Add(answerTime)); err != nil {
			return err
		}
	}
	return p.finish()
}

// ping sends up to n frames, each with the time of its own making. Where there is no room, it sends fewer.
func (p *pinger) ping(n int) (sent int, err error) {
	now := time.Now()
	bytes := 0
	for range n {
		p.make.SetTime(wallClock())
		more, size := p.fill(1)
		sent, bytes = sent+more, bytes+size
	}
	p.book(now, sent, bytes)
	return sent, p.port.TxSync()
}

// collect reads answers until all have come or time is up.
func (p *pinger) collect(ctx context.Context, end time.Time) error {
	for p.missing > 0 && ctx.Err() == nil {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		if err := cli.Await(ctx, p.port, netmap.In, left); err != nil {
			return err
		}
		for _, ring := range p.rings {
			p.read(ring)
		}
	}
	return nil
}

// read takes the answers out of a ring.
func (p *pinger) read(ring *netmap.Reader) {
	for f := range ring.Frames() {
		m, verdict := p.checker.Check(f[min(p.header, len(f)):])
		if verdict == testframe.Foreign || verdict == testframe.Good && m.Stream != p.stream {
			p.answers.foreign.Add(1)
			continue
		}
		p.answers.add(time.Now(), 1, len(f))
		if verdict == testframe.Corrupt {
			p.answers.corrupt.Add(1)
			continue
		}
		p.latency.Add(time.Duration(testframe.Since(wallClock(), m.Time)), 1)
		p.tracker.Note(testframe.Run{Stream: m.Stream, First: m.Seq, N: 1})
		p.missing--
	}
}

// wallClock is Unix time in nanoseconds: another process on this machine reads the same.
func wallClock() uint64 { return uint64(time.Now().UnixNano()) }

// ponger sends every frame back to where it came from.
type ponger struct {
	port   *netmap.Port
	burst  int
	header int // bytes before each frame
	left   uint64
	n      *counters
	rings  []*netmap.Reader
	long   []byte // the answer to a frame of several slots
}

func (j *job) newPonger(port *netmap.Port) *ponger {
	p := &ponger{port: port, burst: j.Burst, header: j.Slots.Header, left: math.MaxUint64, n: &counters{},
		rings: readers(port), long: make([]byte, testframe.MaxLen+1)}
	if j.Count > 0 {
		p.left = j.Count
	}
	return p
}

func (p *ponger) run(ctx context.Context) error {
	for p.left > 0 && ctx.Err() == nil {
		if err := cli.Await(ctx, p.port, netmap.In, cli.PollTime); err != nil {
			return err
		}
		tx := p.port.Tx()
		for i, ring := range p.rings {
			if err := p.turn(ring, tx[i%len(tx)]); err != nil {
				return err
			}
		}
	}
	return flush(p.port, p.n)
}

// turn answers a batch. What there is no room for is dropped and counted.
func (p *ponger) turn(from *netmap.Reader, to *netmap.Ring) error {
	from.Fill(p.burst)
	frames, bytes := 0, 0
	for p.left > 0 {
		f, ok := from.Next()
		if !ok {
			break
		}
		if !p.answer(to, f) {
			p.n.dropped.Add(1)
			continue
		}
		bytes += len(f)
		frames++
		p.left--
	}
	from.Commit()
	if frames == 0 {
		return nil
	}
	p.n.add(time.Now(), frames, bytes)
	return p.port.TxSync()
}

// answer puts the answer to a frame into a ring, if there is room.
func (p *ponger) answer(to *netmap.Ring, f []byte) bool {
	out := to.Window()
	if out.Len() == 0 {
		return false
	}
	if len(f) > len(out.Buf()) {
		return to.Send(p.long[:p.reverse(p.long, f)]) == 1
	}
	out.SetLen(p.reverse(out.Buf(), f))
	out.Next()
	out.Commit()
	return true
}

// reverse is testframe.Turn behind the virtio-net header, which stays.
func (p *ponger) reverse(dst, f []byte) int {
	head := copy(dst, f[:min(p.header, len(f))])
	return head + testframe.Turn(dst[head:], f[head:])
}
