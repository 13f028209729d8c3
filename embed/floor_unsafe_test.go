package embed_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
)

// The floors are loops over the same rings and buffers as those of the benchmarks, with the same
// application. They do only what has to be done: they copy the frame, or the slot. No switch or
// pipe can be faster. One that checks, counts and looks addresses up cannot be much slower.
// BenchmarkFloorX belongs to BenchmarkX, case by case:
//
//	go test ./embed -run '^$' -bench 'VALE$/60/batch=512'
//
// The floor has the stride that suits caches best, whatever the framework's stride is.
// BenchmarkFloorSpread shows others.
const floorStride = 2112

// frames are the buffers of one ring, slot by slot.
type frames struct {
	slots  []abi.Slot
	base   unsafe.Pointer // of buffer 0
	stride uintptr
}

func framesOf(r *netmap.Ring) frames {
	return frames{unsafe.Slice(r.Slot(0), r.NumSlots()), unsafe.Pointer(&r.Buf(0)[0]),
		uintptr(r.BufSize())}
}

// line is a cache line, in the largest pieces that the compiler copies in registers.
type line [4][16]byte

// copyFrom copies the frames in slots from i to end. A switch that knows its sender and receiver
// has no other work.
func (f frames) copyFrom(g frames, i, end int) {
	to, from := f.slots[i:end], g.slots[i:end]
	to = to[:len(from)]
	for k := range from {
		n := uintptr(from[k].Len)
		d, s := unsafe.Add(f.base, uintptr(to[k].BufIdx)*f.stride),
			unsafe.Add(g.base, uintptr(from[k].BufIdx)*g.stride)
		switch {
		case n <= 64:
			*(*line)(d) = *(*line)(s)
		default:
			copy(unsafe.Slice((*byte)(d), n), unsafe.Slice((*byte)(s), n))
		}
		to[k].Len, to[k].Flags = uint16(n), 0
	}
}

// work is what a floor does for a batch: pass moves slots from i to end, and back returns them
// after they have been read.
type work struct {
	pass, back func(tx frames, rx []frames, i, end int)
}

var (
	switching = work{
		pass: func(tx frames, rx []frames, i, end int) {
			for _, r := range rx {
				r.copyFrom(tx, i, end)
			}
		},
		back: func(frames, []frames, int, int) {},
	}
	piping = work{
		pass: func(tx frames, rx []frames, i, end int) { copy(rx[0].slots[i:end], tx.slots[i:end]) },
		back: func(tx frames, rx []frames, i, end int) { copy(tx.slots[i:end], rx[0].slots[i:end]) },
	}
)

// floor runs a benchmark's batches over its rings. Nothing syncs the rings.
func floor(b *testing.B, c embed.Config, w work, touch bool, size, batch int, sender string,
	receivers ...string) {
	f, err := embed.New(c)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	tx := open(b, f, sender)
	var rx []*netmap.Port
	var to []frames
	for _, name := range receivers {
		p := open(b, f, name)
		rx, to = append(rx, p), append(to, framesOf(p.Rx()[0]))
	}
	warm(tx, rx, size)
	from := framesOf(tx.Tx()[0])

	seq, at := uint64(0), 0
	b.ResetTimer()
	for seq < uint64(b.N) {
		for left := batch; left > 0; { // in two pieces where the ring wraps
			end := min(at+left, len(from.slots))
			if touch {
				write(tx.Tx()[0], from.slots[at:end], size, seq)
			}
			w.pass(from, to, at, end)
			for i, p := range rx {
				if touch && !read(p.Rx()[0], to[i].slots[at:end], seq) {
					b.Fatalf("the frames after %d are not in order", seq)
				}
			}
			w.back(from, to, at, end)
			seq, left = seq+uint64(end-at), left-(end-at)
			if at = end; at == len(from.slots) {
				at = 0
			}
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(seq), "ns/frame")
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds()/1e6, "Mframes/s")
	b.ReportMetric(0, "ns/op")
}

func BenchmarkFloorPipe(b *testing.B) { floorOverSizes(b, piping, "p{1", "p}1") }
func BenchmarkFloorVALE(b *testing.B) { floorOverSizes(b, switching, "vale0:tx", "vale0:rx") }

// BenchmarkFloorVALEBroadcast8 copies every frame eight times.
func BenchmarkFloorVALEBroadcast8(b *testing.B) {
	floorBothWays(b, floorStride, switching, 60, 512, "vale0:tx", broadcastReceivers()...)
}

func floorOverSizes(b *testing.B, w work, tx, rx string) {
	overSizesDo(b, func(b *testing.B, size, batch int) {
		floorBothWays(b, floorStride, w, size, batch,
			tx, rx)
	})
}

func floorBothWays(b *testing.B, stride int, w work, size, batch int, tx string, rx ...string) {
	c := embed.Config{BufSize: stride}
	b.Run("sync", func(b *testing.B) { floor(b, c, w, false, size, batch, tx, rx...) })
	b.Run("payload", func(b *testing.B) { floor(b, c, w, true, size, batch, tx, rx...) })
}

// BenchmarkFloorSpread runs the floors with several strides; 0 is the framework's default.
func BenchmarkFloorSpread(b *testing.B) {
	for _, stride := range []int{0, 2048, 2112, 2176, 2240, 2304} {
		b.Run(fmt.Sprintf("pipe/stride=%d", stride), func(b *testing.B) {
			floorBothWays(b, stride, piping, 60, 512, "p{1", "p}1")
		})
		for _, size := range []int{60, 1500} {
			b.Run(fmt.Sprintf("VALE/stride=%d/%d", stride, size), func(b *testing.B) {
				floorBothWays(b, stride, switching, size, 512, "vale0:tx", "vale0:rx")
			})
		}
	}
}

// BenchmarkFloorIdleSync does what no sync can omit: it locks the ring, and looks at the words that
// the program may have written.
func BenchmarkFloorIdleSync(b *testing.B) {
	for _, name := range []string{"p{1", "vale0:tx"} {
		b.Run(name, func(b *testing.B) {
			f, err := embed.New(embed.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			p := open(b, f, name)
			tx, rx := p.Tx()[0], p.Rx()[0]
			txHead, rxHead := tx.Head(), rx.Head()
			var held [2]atomic.Bool
			b.ResetTimer()
			for i := 0; i < b.N; i += 2 {
				floorIdle(b, &held[0], tx, txHead)
				floorIdle(b, &held[1], rx, rxHead)
			}
		})
	}
}

func floorIdle(b *testing.B, held *atomic.Bool, r *netmap.Ring, head uint32) {
	if !held.CompareAndSwap(false, true) {
		return
	}
	if r.Head() != head || r.Cur() != head {
		b.Fatal("there is something to do")
	}
	held.Store(false)
}
