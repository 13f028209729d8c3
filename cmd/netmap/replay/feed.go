package replay

import (
	"context"
	"fmt"
	"io"
	"math"

	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/filter"
)

// chunkSize is the number of bytes of frames handed over at a time. A chunk holds several of the
// longest frames.
const chunkSize = 4 * capfile.MaxSnap

// timeless is the time of a frame for which the file has none.
const timeless = math.MinInt64

// packet is a frame in a chunk.
type packet struct {
	at  int64  // when it was captured, in nanoseconds since 1970; or timeless
	off uint32 // offset in the chunk
	len uint32
}

// chunk is a piece of a file.
type chunk struct {
	data    []byte
	packets []packet
	counts
	first bool // of a pass through the file
	err   error
}

// counts has the packets of a file that are not sent, or are changed before they are sent.
type counts struct {
	others   uint64 // not Ethernet frames
	empty    uint64
	filtered uint64
	cut      uint64 // frames of which the file has only the beginning
	trimmed  uint64 // frames of which the file has more bytes than they had
	fcs      uint64 // frames with a frame check sequence
}

func (c *counts) add(d counts) {
	c.others += d.others
	c.empty += d.empty
	c.filtered += d.filtered
	c.cut += d.cut
	c.trimmed += d.trimmed
	c.fcs += d.fcs
}

func (c *chunk) frame(p *packet) []byte { return c.data[p.off : p.off+p.len] }

// feed reads a file ahead of the sender, within the memory that it may use, and repeats it as often
// as wanted. A file that fits into the memory is read only once.
type feed struct {
	name   string
	filter *filter.Program // nil to accept every frame
	loops  uint64          // 0 for no limit
	chunks int             // the most chunks
	live   bool            // hand over the frames read so far before waiting for more

	full  chan *chunk // closed at the end
	free  chan *chunk
	ready chan struct{} // closed when the feed has read ahead as far as it can

	made int
}

func newFeed(name string, memory, loops uint64) *feed {
	n := int(max(4, memory/chunkSize))
	return &feed{name: name, loops: loops, chunks: n, live: name == capfile.Stdin,
		full: make(chan *chunk, n), free: make(chan *chunk, n), ready: make(chan struct{})}
}

// run feeds the sender until all passes are over or the context ends. The last chunk carries the
// error, if there is one.
func (f *feed) run(ctx context.Context, s *capfile.Reader) {
	defer close(f.full)
	isReady := f.isReady
	defer isReady()
	var kept []*chunk
	for pass := uint64(0); f.loops == 0 || pass < f.loops; pass++ {
		if len(kept) > 0 && f.made < f.chunks {
			if f.again(ctx, kept) != nil {
				return
			}
			continue
		}
		if pass > 0 {
			var err error
			if s, err = capfile.Open(f.name); err != nil {
				select {
				case f.full <- &chunk{err: err}:
				case <-ctx.Done():
				}
				return
			}
		}
		list, more := f.pass(ctx, s)
		s.Close()
		isReady()
		if kept = list; !more {
			return
		}
	}
}

// isReady closes f.ready, so that the sender can start.
func (f *feed) isReady() {
	select {
	case <-f.ready:
	default:
		close(f.ready)
	}
}

// again hands over the chunks of a file that is completely in memory once more. The chunks must not
// change: the sender may still use them.
func (f *feed) again(ctx context.Context, list []*chunk) error {
	for _, c := range list {
		select {
		case f.full <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// pass reads the file once. It reports whether another pass makes sense.
func (f *feed) pass(ctx context.Context, s *capfile.Reader) (list []*chunk, more bool) {
	c := f.take(ctx)
	for frames := 0; c != nil; {
		if len(list) == 0 {
			c.first = true
			_, c.others = s.Packets() // before the first frame
		}
		err := f.fill(c, s)
		frames += len(c.packets)
		if err != nil && err != io.EOF {
			c.err = fmt.Errorf("read %s: %w", f.name, err)
		}
		list = append(list, c)
		f.full <- c
		if err != nil {
			return list, c.err == nil && frames > 0
		}
		c = f.take(ctx)
	}
	return list, false
}

// take returns a new chunk, or one that the sender has finished; nil when the context ends.
func (f *feed) take(ctx context.Context) *chunk {
	if f.live {
		f.isReady()
	}
	if f.made < f.chunks {
		f.made++
		return &chunk{data: make([]byte, 0, chunkSize)}
	}
	f.isReady()
	select {
	case c := <-f.free:
		*c = chunk{data: c.data[:0], packets: c.packets[:0]}
		return c
	case <-ctx.Done():
		return nil
	}
}

// fill reads frames into a chunk until another frame might not fit.
func (f *feed) fill(c *chunk, s *capfile.Reader) error {
	for cap(c.data)-len(c.data) >= capfile.MaxSnap {
		if f.live && len(c.packets) > 0 && s.Buffered() == 0 {
			return nil
		}
		p, err := s.Next()
		if err != nil {
			return err
		}
		switch {
		case !p.IsEthernet():
			c.others++
			continue
		case len(p.Data) == 0:
			c.empty++
			continue
		case f.filter != nil && !f.filter.MatchPart(p.Data, p.Length):
			c.filtered++
			continue
		case p.Trimmed:
			c.trimmed++
		case p.Length > len(p.Data):
			c.cut++
		}
		if p.FCS > 0 {
			c.fcs++
		}
		if p.Timeless {
			p.Time = timeless
		}
		c.packets = append(c.packets, packet{p.Time, uint32(len(c.data)), uint32(len(p.Data))})
		c.data = append(c.data, p.Data...)
	}
	return nil
}

// done returns a chunk to the feed.
func (f *feed) done(c *chunk) {
	select {
	case f.free <- c:
	default: // the whole file is in memory, and chunks are not reused
	}
}
