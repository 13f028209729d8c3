//go:build linux

package netmap_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func opened(t testing.TB, f *embed.Framework, name string, options ...netmap.Option) *netmap.Port {
	t.Helper()
	p, err := f.Open(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func newFramework(t testing.TB) *embed.Framework {
	t.Helper()
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// ownMemory returns memory for a few small ports, with buffers of that size.
func ownMemory(t testing.TB, size uint32) netmap.Option {
	t.Helper()
	const bytes = 4 << 20
	m, err := unix.Mmap(-1, 0, bytes, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	return netmap.ExternalMemory(m, abi.PoolsInfo{If: abi.PoolInfo{ObjTotal: 8, ObjSize: 1024},
		Ring: abi.PoolInfo{ObjTotal: 16, ObjSize: 4096}, Buf: abi.PoolInfo{ObjTotal: 600, ObjSize: size}})
}

// patterned returns a frame in which each byte depends on its number n.
func patterned(n, size int) []byte {
	f := make([]byte, size)
	copy(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	for i := 14; i < size; i++ {
		f[i] = byte(n*7 + i + i>>8)
	}
	return f
}

// relay is source -> in, and out -> sink. A test moves frames from in to out.
type relay struct{ source, in, out, sink *netmap.Port }

// round passes frames of one size through the relay and checks the outcome of each. The frames that
// arrive must be equal to those that were sent.
func (r *relay) round(t *testing.T, reader *netmap.Reader, first, count, size int,
	move func(rx, tx *netmap.Window) (int, netmap.Move)) {
	t.Helper()
	sent, got := 0, 0
	for end := time.Now().Add(10 * time.Second); got < count; {
		if time.Now().After(end) {
			t.Fatalf("%d of %d frames of %d bytes arrived", got, count, size)
		}
		for sent < min(count, got+4) && r.source.Tx()[0].Send(patterned(first+sent, size)) == 1 {
			sent++
		}
		r.source.TxSync()
		r.in.RxSync()
		rx, tx := r.in.Rx()[0].Window(), r.out.Tx()[0].Window()
		for rx.Len() > 0 {
			n, m := move(&rx, &tx)
			if m.Stays() {
				break
			}
			if m != netmap.Moved || n != size {
				t.Fatalf("frame of %d bytes: outcome %d, %d bytes", size, m, n)
			}
		}
		tx.Commit()
		rx.Commit()
		r.out.TxSync()
		r.in.RxSync()
		r.sink.RxSync()
		for f := range reader.Frames() {
			if !bytes.Equal(f, patterned(first+got, size)) || reader.Size() != size {
				t.Fatalf("frame %d of %d bytes arrived as %d: %.40x…", first+got, size, len(f), f)
			}
			got++
		}
		r.sink.RxSync()
	}
}

// TestMoveBetweenAnyRings tests that frames arrive unchanged: swapped and copied, with and without
// offsets on either side, between regions and buffers of different sizes, in one slot and in
// several.
func TestMoveBetweenAnyRings(t *testing.T) {
	rings := []struct {
		name    string
		options func(t testing.TB) []netmap.Option
	}{
		{"plain", func(testing.TB) []netmap.Option { return nil }},
		{"offset 64", func(testing.TB) []netmap.Option {
			return []netmap.Option{netmap.Offsets(64, 64)}
		}},
		{"offset 130 of 300", func(testing.TB) []netmap.Option {
			return []netmap.Option{netmap.Offsets(300, 130)}
		}},
		{"own memory", func(t testing.TB) []netmap.Option { return []netmap.Option{ownMemory(t, 2048)} }},
		{"own memory, the same size", func(t testing.TB) []netmap.Option {
			return []netmap.Option{ownMemory(t, embed.DefaultBufSize)}
		}},
		{"small buffers", func(t testing.TB) []netmap.Option {
			return []netmap.Option{ownMemory(t, 512)}
		}},
		{"small buffers, offset 100", func(t testing.TB) []netmap.Option {
			return []netmap.Option{ownMemory(t, 512), netmap.Offsets(100, 100)}
		}},
	}
	ways := []struct {
		name string
		move func(rx, tx *netmap.Window) (int, netmap.Move)
	}{{"move", (*netmap.Window).MoveTo}, {"copy", (*netmap.Window).CopyTo}}
	for _, from := range rings {
		for _, to := range rings {
			for _, way := range ways {
				t.Run(fmt.Sprintf("%s from %s to %s", way.name, from.name, to.name), func(t *testing.T) {
					testutil.CheckLeaks(t)
					small := netmap.Slots(64, 64)
					in, out := append(from.options(t), small), append(to.options(t), small)
					f := newFramework(t) // closed before its memory is unmapped
					r := relay{
						opened(t, f, "vale0:source", small), opened(t, f, "vale0:in", in...),
						opened(t, f, "vale1:out", out...), opened(t, f, "vale1:sink", small),
					}
					reader := r.sink.Rx()[0].Reader(1 << 16)
					for i, size := range []int{60, 511, 1514, 2048, 2049, 5000} {
						r.round(t, reader, 1000*i, 40, size, way.move)
					}
					for _, p := range []*netmap.Port{r.source, r.in, r.out, r.sink} {
						p.Close()
					}
					if u := f.Usage(); !u.Full() {
						t.Errorf("objects are missing: %+v", u)
					}
				})
			}
		}
	}
}

// TestMoveThroughPipesWithOffsets tests pipes whose ends have different offsets. Both ends use the
// same buffers, so that a frame must be read where it was written.
func TestMoveThroughPipesWithOffsets(t *testing.T) {
	offsets := [][]netmap.Option{nil, {netmap.Offsets(64, 64)}, {netmap.Offsets(128, 128)}}
	for i := range 3 * 3 * 3 * 3 {
		// a 32-bit program has no room for all frameworks at once
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			f := newFramework(t)
			open := func(name string, k int) *netmap.Port {
				return opened(t, f, name, append(offsets[k%3], netmap.Slots(64, 64))...)
			}
			r := relay{open("a{1", i), open("a}1", i/3), open("b{1", i/9), open("b}1", i/27)}
			reader := r.sink.Rx()[0].Reader(1 << 16)
			for k, size := range []int{60, 1514, 1900, 5000} {
				r.round(t, reader, 1000*k, 140, size, (*netmap.Window).MoveTo)
			}
		})
	}
}

// TestMoveSwaps tests that frames are not copied within a region if both or neither rings have
// offsets.
func TestMoveSwaps(t *testing.T) {
	for _, options := range [][]netmap.Option{nil, {netmap.Offsets(64, 64)}} {
		f := newFramework(t)
		source := opened(t, f, "vale0:source")
		in, out := opened(t, f, "vale0:in", options...), opened(t, f, "vale1:out", options...)
		if !in.Rx()[0].CanSwap(out.Tx()[0]) {
			t.Error("the rings cannot swap")
		}
		source.Tx()[0].Send(patterned(1, 5000))
		source.TxSync()
		in.RxSync()
		rx, tx := in.Rx()[0].Window(), out.Tx()[0].Window()
		first, spare := rx.Slot().BufIdx, tx.Slot().BufIdx
		n := rx.Slots()
		if size, m := rx.MoveTo(&tx); size != 5000 || m != netmap.Moved || n < 3 {
			t.Fatalf("%d bytes, outcome %d, %d slots", size, m, n)
		}
		if got := out.Tx()[0].Slot(0); got.BufIdx != first ||
			got.Flags != abi.NSMoreFrag|abi.NSBufChanged {
			t.Errorf("the tx slot is %+v, want buffer %d", *got, first)
		}
		if last := out.Tx()[0].Slot(uint32(n - 1)); last.Flags != abi.NSBufChanged {
			t.Errorf("the last tx slot is %+v", *last)
		}
		if got := in.Rx()[0].Slot(0); got.BufIdx != spare || got.Flags&abi.NSBufChanged == 0 {
			t.Errorf("the rx slot is %+v, want buffer %d", *got, spare)
		}
	}
}

// pipes makes two pipes with so many slots: frames that are sent to source are to be moved from in
// to out.
func pipes(t testing.TB, inSlots, outSlots int) (source, in, out, sink *netmap.Port) {
	f := newFramework(t)
	source, in = opened(t, f, "a{1", netmap.Slots(inSlots, inSlots)), opened(t, f, "a}1")
	out, sink = opened(t, f, "b{1", netmap.Slots(outSlots, outSlots)), opened(t, f, "b}1")
	return source, in, out, sink
}

// TestMoveOutcomes tests that a frame without room waits and loses nothing. A frame that can never
// have room is dropped, and so are invalid slots.
func TestMoveOutcomes(t *testing.T) {
	source, in, out, sink := pipes(t, 16, 8)
	move := func() (size int, m netmap.Move, left int) {
		source.TxSync()
		in.RxSync()
		rx, tx := in.Rx()[0].Window(), out.Tx()[0].Window()
		size, m = rx.MoveTo(&tx)
		left = rx.Len()
		tx.Commit()
		rx.Commit()
		out.TxSync()
		in.RxSync()
		return size, m, left
	}
	want := func(what string, size int, m netmap.Move, left int) {
		t.Helper()
		if s, got, l := move(); got != m || s != size || l != left {
			t.Errorf("%s: outcome %d, %d bytes, %d slots left; want %d, %d, %d", what,
				got, s, l, m, size, left)
		}
	}
	drain := func() (sizes []int) {
		sink.RxSync()
		reader := sink.Rx()[0].Reader(1 << 16)
		for f := range reader.Frames() {
			sizes = append(sizes, len(f))
		}
		sink.RxSync()
		out.TxSync()
		return sizes
	}
	tx := source.Tx()[0]
	tx.Send(patterned(1, 10000), patterned(2, 6000), patterned(3, 60)) // 5, 3 and 1 of 7 slots
	want("the first", 10000, netmap.Moved, 4)
	want("no room for three", 6000, netmap.NoRoom, 4)
	want("still none", 6000, netmap.NoRoom, 4)
	if got := fmt.Sprint(drain()); got != "[10000]" {
		t.Errorf("frames of %s bytes came", got)
	}
	want("room", 6000, netmap.Moved, 1)
	want("the last", 60, netmap.Moved, 0)
	drain()

	tx.Send(patterned(4, 8*60))
	w := tx.Window()
	f := patterned(4, 480)
	for i := range 8 { // so cut, the frame has more slots than the ring, but is not too long
		w.SetLen(copy(w.Buf(), f[i*60:][:60]))
		w.Slot().Flags |= abi.NSMoreFrag
		if i == 7 {
			w.Slot().Flags = 0
		}
		w.Next()
	}
	w.Commit()
	want("a frame in one slot", 480, netmap.Moved, 8)
	want("the same in eight slots", 480, netmap.Moved, 0)
	drain()

	source.TxSync()
	tx.Send(patterned(4, 8*embed.DefaultBufSize))
	want("more slots than the ring has", 8*embed.DefaultBufSize, netmap.TooLong, 0)

	for what, spoil := range map[string]func(s *abi.Slot){
		"a length beyond the buffer": func(s *abi.Slot) { s.Len = embed.DefaultBufSize + 1 },
		"an index beyond the pool":   func(s *abi.Slot) { s.BufIdx = 1 << 30 },
		"the index of no frame":      func(s *abi.Slot) { s.BufIdx = 1 },
	} {
		for at := range 3 {
			tx.Send(patterned(5, 6000))
			source.TxSync()
			in.RxSync()
			s := in.Rx()[0].Slot((in.Rx()[0].Head() + uint32(at)) % 16)
			good := *s
			spoil(s)
			if _, m, left := move(); m != netmap.Malformed || left != 0 {
				t.Errorf("%s in slot %d: outcome %d, %d slots left", what, at, m, left)
			}
			s.BufIdx = good.BufIdx
			in.RxSync()
			source.TxSync()
			for i := range uint32(16) { // the pipe returns slots unchanged
				if b := &tx.Slot(i).BufIdx; *b == 1 || *b == 1<<30 {
					*b = good.BufIdx
				}
			}
		}
	}
	if got := drain(); len(got) > 0 {
		t.Errorf("frames of %d bytes came", got)
	}
}

// TestMoveIncomplete tests that a frame without its end stays, and that Poll then waits for more.
// An unfinished frame that fills the ring is dropped.
func TestMoveIncomplete(t *testing.T) {
	_, in, out, _ := pipes(t, 16, 32)
	ring := in.Rx()[0]
	for i := range uint32(16) {
		*ring.Slot(i) = abi.Slot{BufIdx: ring.Slot(i).BufIdx, Len: 10, Flags: abi.NSMoreFrag}
	}
	ring.SetTail(3)
	rx, tx := ring.Window(), out.Tx()[0].Window()
	if size, m := rx.MoveTo(&tx); m != netmap.Incomplete || size != 30 ||
		rx.Len() != 3 || rx.Slots() != 0 {
		t.Errorf("outcome %d, %d bytes, %d slots left", m, size, rx.Len())
	}
	rx.Commit()
	if ring.Head() != 0 || ring.Cur() != 3 {
		t.Errorf("head %d, cur %d; want 0 and 3", ring.Head(), ring.Cur())
	}
	ring.SetTail(15)
	rx = ring.Window()
	if size, m := rx.MoveTo(&tx); m != netmap.TooLong || size != 150 || rx.Len() != 0 {
		t.Errorf("outcome %d, %d bytes, %d slots left", m, size, rx.Len())
	}
	if rx.MoveTo(&tx); tx.Len() != 31 {
		t.Errorf("%d slots of the tx ring are left", tx.Len())
	}
}

// TestReader tests that a reader joins frames across batches, keeps as much of them as wanted, and
// returns their full length.
func TestReader(t *testing.T) {
	source, in, _, _ := pipes(t, 8, 8)
	reader := in.Rx()[0].Reader(5000)
	var sizes, kept []int
	read := func(most int) {
		in.RxSync()
		for reader.Fill(most) > 0 {
			for f, ok := reader.Next(); ok; f, ok = reader.Next() {
				sizes, kept = append(sizes, reader.Size()), append(kept, len(f))
				if n := len(sizes); !bytes.Equal(f, patterned(n, reader.Size())[:len(f)]) {
					t.Errorf("frame %d is %.30x", n, f)
				}
			}
			reader.Commit()
		}
		in.RxSync()
		source.TxSync()
	}
	tx := source.Tx()[0]
	for i, most := range []int{1, 2, 100} {
		tx.Send(patterned(4*i+1, 60), patterned(4*i+2, 5000))
		source.TxSync()
		read(most)
		tx.Send(patterned(4*i+3, 7000), patterned(4*i+4, 100))
		source.TxSync()
		read(most)
	}
	want := fmt.Sprint([]int{60, 5000, 7000, 100, 60, 5000, 7000, 100, 60, 5000, 7000, 100},
		[]int{60, 5000, 5000, 100, 60, 5000, 5000, 100, 60, 5000, 5000, 100})
	if got := fmt.Sprint(sizes, kept); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestMaxFrame tests the limit between frames that never fit in the ring and those that do, with
// and without offsets.
func TestMaxFrame(t *testing.T) {
	const size = embed.DefaultBufSize
	f := newFramework(t)
	for _, tt := range []struct {
		options []netmap.Option
		want    int
	}{
		{nil, 7 * size}, {[]netmap.Option{netmap.Offsets(48, 48)}, 7 * (size - 48)},
		{[]netmap.Option{netmap.Offsets(size, size)}, 7 * size},
		{[]netmap.Option{netmap.Offsets(1000, 0)}, 7 * size},
	} {
		p := opened(t, f, "x{1", append(tt.options, netmap.Slots(8, 8))...)
		ring := p.Tx()[0]
		if got := ring.MaxFrame(); got != tt.want {
			t.Errorf("%d bytes, want %d", got, tt.want)
		}
		if ring.Send(make([]byte, tt.want+1)) != 0 ||
			ring.Send(make([]byte, tt.want)) != 1 || ring.Len() != 0 {
			t.Errorf("a frame of %d bytes cannot be sent, or a longer one can", tt.want)
		}
		p.Close()
	}
}

// TestFramesAllocateNothing tests that moving and reading frames does not allocate.
func TestFramesAllocateNothing(t *testing.T) {
	for _, size := range []int{60, 5000} {
		source, in, out, sink := pipes(t, 64, 64)
		reader, f := sink.Rx()[0].Reader(1<<16), patterned(1, size)
		total := 0
		if n := testing.AllocsPerRun(100, func() {
			for source.Tx()[0].Send(f) == 1 {
			}
			source.TxSync()
			in.RxSync()
			rx, tx := in.Rx()[0].Window(), out.Tx()[0].Window()
			for m := netmap.Moved; rx.Len() > 0 && m == netmap.Moved; {
				if _, m = rx.MoveTo(&tx); m == netmap.Moved && rx.Len() > 0 {
					_, m = rx.CopyTo(&tx)
				}
			}
			tx.Commit()
			rx.Commit()
			out.TxSync()
			in.RxSync()
			sink.RxSync()
			for range reader.Frames() {
				total++
			}
			sink.RxSync()
			out.TxSync()
		}); n != 0 || total < 1000 {
			t.Errorf("%d bytes: %v allocations, %d frames", size, n, total)
		}
	}
}
