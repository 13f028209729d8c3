//go:build linux

package xsk

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// start is a ring index shortly before it wraps around.
const start = ^uint32(0) - 5

func TestProducer(t *testing.T) {
	var prod, cons, flags atomic.Uint32
	prod.Store(start)
	cons.Store(start)
	p := producer{prod: &prod, cons: &cons, flags: &flags, head: start, tail: start, size: 8}
	if n := p.room(100); n != 8 {
		t.Errorf("room in an empty ring: %d, want 8", n)
	}
	if n := p.room(3); n != 3 {
		t.Errorf("room for 3 in an empty ring: %d, want 3", n)
	}
	p.commit(8)
	if prod.Load() != 2 {
		t.Errorf("producer index %d, want 2", prod.Load())
	}
	if n := p.room(1); n != 0 {
		t.Errorf("room in a full ring: %d, want 0", n)
	}
	if n := p.pending(); n != 8 {
		t.Errorf("pending %d, want 8", n)
	}
	cons.Add(5)
	if n := p.room(1); n != 1 {
		t.Errorf("room for 1 of 5: %d, want 1", n)
	}
	cons.Add(3)
	if n := p.room(4); n != 4 {
		t.Errorf("room for 4, of which 5 are remembered: %d, want 4", n)
	}
	if p.tail != start+5 {
		t.Errorf("the shared index was read although the remembered one was enough")
	}
	if n := p.room(100); n != 8 {
		t.Errorf("room in an empty ring: %d, want 8", n)
	}
	if p.needWakeup() {
		t.Error("wake-up needed without the flag")
	}
	flags.Store(unix.XDP_RING_NEED_WAKEUP)
	if !p.needWakeup() {
		t.Error("no wake-up needed in spite of the flag")
	}
}

func TestConsumer(t *testing.T) {
	var prod, cons atomic.Uint32
	prod.Store(start)
	cons.Store(start)
	c := consumer{prod: &prod, cons: &cons, head: start, tail: start}
	if n := c.ready(100); n != 0 {
		t.Errorf("ready in an empty ring: %d, want 0", n)
	}
	prod.Add(8)
	if n := c.ready(2); n != 2 {
		t.Errorf("ready 2 of 8: %d, want 2", n)
	}
	c.release(2)
	if cons.Load() != start+2 {
		t.Errorf("consumer index %#x, want %#x", cons.Load(), start+2)
	}
	prod.Add(1)
	if n := c.ready(6); n != 6 {
		t.Errorf("ready 6, all remembered: %d, want 6", n)
	}
	if n := c.ready(100); n != 7 {
		t.Errorf("ready %d, want 7", n)
	}
	c.release(7)
	if n := c.ready(1); n != 0 || cons.Load() != prod.Load() {
		t.Errorf("ready in an empty ring: %d, want 0; consumer index %d, producer %d", n, cons.Load(),
			prod.Load())
	}
}

// fakeSocket is a socket whose rings are plain memory, with the indexes shortly before they wrap
// around.
func fakeSocket(size, stride uint32) *Socket {
	s := &Socket{
		mask: size - 1, stride: stride, inverse: inverse(stride),
		rxDesc: make([]unix.XDPDesc, size), txDesc: make([]unix.XDPDesc, size),
		fillAddrs: make([]uint64, 2*size), doneAddrs: make([]uint64, size),
	}
	word := func() *atomic.Uint32 {
		w := new(atomic.Uint32)
		w.Store(start)
		return w
	}
	s.rx = consumer{prod: word(), cons: word(), head: start, tail: start}
	s.done = consumer{prod: word(), cons: word(), head: start, tail: start}
	s.fill = producer{prod: word(), cons: word(), flags: word(), head: start, tail: start,
		size: 2 * size}
	s.tx = producer{prod: word(), cons: word(), flags: word(), head: start, tail: start, size: size}
	return s
}

// loop plays the kernel of a fakeSocket: it receives at once what is sent, into the buffers of the
// fill ring.
func (s *Socket) loop() {
	for i := s.tx.cons.Load(); i != s.tx.prod.Load(); i++ {
		sent := s.txDesc[i&s.mask]
		s.doneAddrs[i&s.mask] = sent.Addr
		s.rxDesc[i&s.mask] = unix.XDPDesc{Addr: s.fillAddrs[i&uint32(len(s.fillAddrs)-1)] | headroom<<48,
			Len: sent.Len}
	}
	for _, w := range []*atomic.Uint32{s.tx.cons, s.fill.cons, s.rx.prod, s.done.prod} {
		w.Store(s.tx.prod.Load())
	}
}

func TestAccessors(t *testing.T) {
	const size = 8
	for _, stride := range []uint32{1792, 2048, 2112, 4096, 16384} {
		s := fakeSocket(size, stride)
		for round := range uint32(3) {
			base := 1 + round*1_000_000
			n := s.FillRoom(s.TxRoom(size - 1))
			for i := range n {
				s.FillAt(i, base+i)
				s.TxAt(i, base+100+i, 5, 60+i, false)
			}
			s.FillCommit(n)
			s.TxCommit(n)
			s.loop()
			if r, d := s.RxReady(size), s.Done(size); n != size-1 || r != n || d != n {
				t.Fatalf("stride %d: room %d, received %d, done %d, want %d", stride, n, r, d, size-1)
			}
			for i := range n {
				if buf, off, length, more := s.RxAt(i); buf != base+i || off != 0 || length != 60+i || more {
					t.Errorf("stride %d: RxAt(%d) = %d, %d, %d, %v, want %d, 0, %d, false", stride, i, buf, off,
						length, more, base+i, 60+i)
				}
				if buf := s.DoneAt(i); buf != base+100+i {
					t.Errorf("stride %d: DoneAt(%d) = %d, want %d", stride, i, buf, base+100+i)
				}
			}
			s.RxRelease(n)
			s.DoneRelease(n)
		}
		s.rxDesc[s.rx.tail&s.mask] = unix.XDPDesc{Addr: uint64(3*stride-headroom) | (headroom+16)<<48,
			Options: unix.XDP_PKT_CONTD}
		if buf, off, _, more := s.RxAt(0); buf != 3 || off != 16 || !more {
			t.Errorf("stride %d: frame at offset 16 that goes on: buffer %d, offset %d, more %v", stride,
				buf, off, more)
		}
	}
}

func TestBuffer(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		stride := minStride + rng.Uint64N(1<<16-minStride)
		addr := rng.Uint64N(1<<32) * stride // the first byte of a buffer, its last byte, and some byte
		s := &Socket{inverse: inverse(uint32(stride))}
		for _, addr := range []uint64{addr, addr + stride - 1, rng.Uint64N(1 << 48)} {
			addr &= addrMask
			if got, want := s.buffer(addr), uint32(addr/stride); got != want {
				t.Fatalf("byte %#x of stride %d: buffer %d, want %d", addr, stride, got, want)
			}
		}
	}
}

func TestMemory(t *testing.T) {
	tests := []struct {
		stride   uint32
		maxFrame uint32
		zeroCopy bool
		no       []uint32 // buffers that cannot be received into
		yes      []uint32
		unsent   []uint32 // buffers that a device cannot send from by itself
	}{
		{2048, 2048, false, []uint32{0, 4096, 1 << 31}, []uint32{1, 1024, 2048, 4095}, nil},
		{2048, 2048, true, []uint32{0, 1024, 2048, 3072, 4096}, []uint32{1, 1023, 1025, 4095}, nil},
		{1792, 1792, false, []uint32{0}, []uint32{1}, nil},
		{2112, 2112, false, []uint32{0, 3971}, []uint32{1, 992, 993, 1985, 3970}, nil},
		// 993*2112 = 2 MiB + 64, 1986*2112 = 4 MiB + 128, 2979*2112 = 6 MiB + 192: the chunk reaches back
		// across
		{2112, 2112, true, []uint32{0, 992, 993, 1985, 1986, 2978, 2979, 3971},
			[]uint32{1, 991, 994, 1984, 1987, 2977, 2980, 3970}, []uint32{992, 1985, 2978}},
		{4096, 3840, false, []uint32{0, 2048}, []uint32{1, 2047}, nil},
	}
	for _, tt := range tests {
		m := &Memory{Mem: make([]byte, 8<<20), Stride: tt.stride, Contiguous: tt.zeroCopy}
		if err := m.check(tt.zeroCopy); err != nil {
			t.Errorf("stride %d: %v", tt.stride, err)
		}
		if got := m.MaxFrame(); got != tt.maxFrame {
			t.Errorf("stride %d: MaxFrame %d, want %d", tt.stride, got, tt.maxFrame)
		}
		for _, b := range tt.no {
			if m.CanFill(b, tt.zeroCopy) {
				t.Errorf("stride %d, zero-copy %v: buffer %d can be received into", tt.stride, tt.zeroCopy, b)
			}
		}
		for _, b := range tt.yes {
			if !m.CanFill(b, tt.zeroCopy) {
				t.Errorf("stride %d, zero-copy %v: buffer %d cannot be received into", tt.stride, tt.zeroCopy,
					b)
			}
		}
		for b := range m.Buffers() {
			if got := m.CanSend(b); tt.zeroCopy && got == slices.Contains(tt.unsent, b) {
				t.Errorf("stride %d: buffer %d can be sent from: %v", tt.stride, b, got)
			}
		}
	}
}

// BenchmarkAccessors measures the cost of a frame in our half of the rings: filled, sent, received
// and given back.
func BenchmarkAccessors(b *testing.B) {
	const size, batch = 1024, 256
	s := fakeSocket(size, 2048)
	b.ReportAllocs()
	var sum uint32
	for done := 0; done < b.N; done += batch {
		for i := range s.FillRoom(s.TxRoom(batch)) {
			s.FillAt(i, 1+i)
			s.TxAt(i, 1+i, 0, 60, false)
		}
		s.FillCommit(batch)
		s.TxCommit(batch)
		// This replaces loop, whose cost does not count.
		for _, w := range []*atomic.Uint32{s.tx.cons, s.fill.cons, s.rx.prod, s.done.prod} {
			w.Add(batch)
		}
		for i := range s.RxReady(s.Done(batch)) {
			buf, off, length, _ := s.RxAt(i)
			sum += buf + off + length + s.DoneAt(i)
		}
		s.RxRelease(batch)
		s.DoneRelease(batch)
	}
	_ = sum
}
