package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/filter"
)

// chunkSize is how many bytes of frames are handed over at a time. The longest frame fits several times.
const chunkSize = 1 << 20

// packet is a frame in a chunk.
type packet struct {
	at  int64  // when it was captured, in nanoseconds since 1970
	off uint32 // in the chunk
	len uint32
}

// chunk is a piece of a file.
type chunk struct {
	data    []byte
	packets []packet
	first   bool // of a pass through the file
	err     error
}

func (c *chunk) frame(p *packet) []byte { return c.data[p.off : p.off+p.len] }

// feed reads a file ahead of the sender, as far as its memory goes, and again as often as wanted. A file that fits in the
// memory is read once.
type feed struct {
	name   string
	filter *filter.Program // nil lets all through
	loops  uint64          // 0 is for ever
	chunks int             // how many there may be
	live   bool            // hand over what there is before waiting for more

	full  chan *chunk // closed at the end
	free  chan *chunk
	ready chan struct{} // closed when as much is read ahead as can be

	made     int
	skipped  atomic.Uint64 // packets too long or too short to be frames
	short    atomic.Uint64 // frames of which the file has the beginning only
	filtered atomic.Uint64
}

func newFeed(name string, memory, loops uint64) *feed {
	n := int(max(4, memory/chunkSize))
	return &feed{name: name, loops: loops, chunks: n, live: name == capfile.Stdin,
		full: make(chan *chunk, n), free: make(chan *chunk, n), ready: make(chan struct{})}
}

// run feeds the sender until all passes are over or the context ends. The last chunk has the error, if there was one.
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

// isReady lets the sender start.
func (f *feed) isReady() {
	select {
	case <-f.ready:
	default:
		close(f.ready)
	}
}

// again hands over what a file that is in memory as a whole consists of. It does not change: the sender may still have it.
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

// pass reads the file once. It says whether another pass makes sense.
func (f *feed) pass(ctx context.Context, s *capfile.Reader) (list []*chunk, more bool) {
	c := f.take(ctx)
	for n := 0; c != nil; {
		if len(list) == 0 {
			c.first = true
		}
		read, err := f.fill(c, s)
		n += read
		if err != nil && !errors.Is(err, io.EOF) {
			c.err = fmt.Errorf("read %s: after packet %d: %w", f.name, n, err)
		}
		list = append(list, c)
		f.full <- c
		if err != nil {
			return list, c.err == nil && n > 0
		}
		c = f.take(ctx)
	}
	return list, false
}

// take is a new chunk, or one that the sender is done with; nil when the context ends.
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
		c.data, c.packets, c.first = c.data[:0], c.packets[:0], false
		return c
	case <-ctx.Done():
		return nil
	}
}

// fill reads frames into a chunk until it may have no room for another, and returns how many packets it read.
func (f *feed) fill(c *chunk, s *capfile.Reader) (n int, err error) {
	for cap(c.data)-len(c.data) >= chunkSize/4 {
		if f.live && n > 0 && s.Buffered() == 0 {
			return n, nil
		}
		data, info, err := s.ZeroCopyReadPacketData()
		if err != nil {
			return n, err
		}
		n++
		switch {
		case len(data) == 0 || len(data) > chunkSize/4:
			f.skipped.Add(1)
			continue
		case f.filter != nil && !f.filter.MatchPart(data, info.Length):
			f.filtered.Add(1)
			continue
		case info.Length > len(data):
			f.short.Add(1)
		}
		c.packets = append(c.packets, packet{info.Timestamp.UnixNano(), uint32(len(c.data)), uint32(len(data))})
		c.data = append(c.data, data...)
	}
	return n, nil
}

// done gives a chunk back.
func (f *feed) done(c *chunk) {
	select {
	case f.free <- c:
	default: // the file is in memory as a whole, and nobody wants chunks back
	}
}
