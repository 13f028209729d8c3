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

// answerTime is the time that a pinger waits for the answers to a burst.
const answerTime = time.Second

// pinger sends frames and measures the time until they come back.
type pinger struct {
	*sender
	answers *counters
	tracker *testframe.Tracker
	latency *latency.Histogram
	checker testframe.Checker
	stream  uint16
	header  int // bytes of virtio-net header before each frame
	missing int // frames of the last burst without an answer
	rings   []*netmap.Reader
}

// run sends bursts, and collects the answers to each before the next.
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

// ping sends up to n frames, fewer if the rings have less room. Each frame carries the time at
// which it was made.
func (p *pinger) ping(n int) (sent int, err error) {
	now := time.Now()
	bytes := 0
	for range n {
		p.make.SetTime(wallClock())
		more, size := p.fill(1)
		sent, bytes = sent+more, bytes+size
	}
	p.count(now, sent, bytes)
	return sent, p.port.TxSync()
}

// collect receives answers until all have come, or until end.
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

// read receives the answers in a ring.
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
		p.tracker.Add(testframe.Run{Stream: m.Stream, First: m.Seq, N: 1})
		p.missing--
	}
}

// wallClock returns Unix time in nanoseconds. All processes on this machine read the same clock.
func wallClock() uint64 { return uint64(time.Now().UnixNano()) }

// ponger sends every frame back to its sender.
type ponger struct {
	port   *netmap.Port
	burst  int
	header int // bytes of virtio-net header before each frame
	left   uint64
	n      *counters
	rings  []*netmap.Reader
	long   []byte // buffer for an answer that takes several slots
}

func (j *job) newPonger(port *netmap.Port) *ponger {
	p := &ponger{port: port, burst: j.Burst, header: j.Slots.Header, left: math.MaxUint64,
		n:     &counters{},
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
			if err := p.answerBatch(ring, tx[i%len(tx)]); err != nil {
				return err
			}
		}
	}
	return flush(p.port, p.n)
}

// answerBatch answers the frames in a ring, at most a burst. Answers for which there is no room are
// dropped and counted.
func (p *ponger) answerBatch(from *netmap.Reader, to *netmap.Ring) error {
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

// answer puts the answer to a frame into a ring. It returns false if there is no room.
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

// reverse copies the virtio-net header, and the frame with source and destination exchanged.
func (p *ponger) reverse(dst, f []byte) int {
	head := copy(dst, f[:min(p.header, len(f))])
	return head + testframe.Reverse(dst[head:], f[head:])
}
