package embed_test

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
)

// The benchmarks run sender and receivers in one goroutine: they measure work without wake-ups.
// Each has two variants:
//
//	sync     the application only moves head: the rest is the framework's own cost, txsync and rxsync
//	payload  it writes 8 bytes into every frame that it sends, and checks them in those received
//
// They report ns/frame and Mframes/s, per frame sent.
func benchmark(b *testing.B, c embed.Config, touch bool, size, batch int, sender string,
	receivers ...string) {
	f, err := embed.New(c)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	tx := open(b, f, sender)
	var rx []*netmap.Port
	for _, name := range receivers {
		rx = append(rx, open(b, f, name))
	}
	warm(tx, rx, size)

	var seq, old, got uint64
	b.ReportAllocs()
	b.ResetTimer()
	for seq < uint64(b.N) {
		old, seq = seq, fill(tx.Tx()[0], touch, size, batch, seq)
		tx.TxSync()
		for _, p := range rx {
			p.RxSync()
			got += drain(b, p.Rx()[0], touch, old)
			if batch > 500 {
				p.RxSync() // makes room for the next batch
			}
		}
		if batch > 500 {
			tx.TxSync()
		}
	}
	b.StopTimer()
	if want := seq * uint64(len(rx)); got != want {
		b.Fatalf("%d frames of %d arrived", got, want)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(seq), "ns/frame")
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds()/1e6, "Mframes/s")
	b.ReportMetric(0, "ns/op")
}

func open(b *testing.B, f *embed.Framework, name string) *netmap.Port {
	p, err := f.Open(name)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	return p
}

// warm lets the switch learn the receiver's address. It also fills all buffers of the sender, by
// sending each of them once.
func warm(tx *netmap.Port, rx []*netmap.Port, size int) {
	rx[0].Tx()[0].Send([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00 hello switch"))
	rx[0].TxSync()
	frame := make([]byte, 2048)
	copy(frame, "\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02")
	if len(rx) > 1 {
		copy(frame, "\xff\xff\xff\xff\xff\xff")
	}
	for range 4 {
		w := tx.Tx()[0].Window()
		for ; w.Len() > 0; w.Next() {
			w.SetLen(copy(w.Buf(), frame[:size]))
		}
		w.Commit()
		tx.TxSync()
		for _, p := range append(rx, tx) {
			p.RxSync()
			for range p.Rx()[0].Frames() {
			}
			p.RxSync()
		}
		tx.TxSync()
	}
}

func fill(r *netmap.Ring, touch bool, size, batch int, seq uint64) uint64 {
	first, rest := r.Batch(batch)
	if touch {
		write(r, first, size, seq)
		write(r, rest, size, seq+uint64(len(first)))
	}
	n := len(first) + len(rest)
	r.Advance(n)
	return seq + uint64(n)
}

func write(r *netmap.Ring, slots []abi.Slot, size int, seq uint64) {
	bufs := r.Buffers()
	for i := range slots {
		s := &slots[i]
		binary.LittleEndian.PutUint64(bufs.At(s.BufIdx)[16:], seq+uint64(i))
		s.Len = uint16(size)
	}
}

func drain(b *testing.B, r *netmap.Ring, touch bool, seq uint64) (n uint64) {
	first, rest := r.Batch(r.NumSlots())
	if touch && !(read(r, first, seq) && read(r, rest, seq+uint64(len(first)))) {
		b.Fatalf("the frames after %d are not in order", seq)
	}
	r.Advance(len(first) + len(rest))
	return uint64(len(first) + len(rest))
}

func read(r *netmap.Ring, slots []abi.Slot, seq uint64) bool {
	bufs := r.Buffers()
	for i := range slots {
		if binary.LittleEndian.Uint64(bufs.At(slots[i].BufIdx)[16:]) != seq+uint64(i) {
			return false
		}
	}
	return true
}

func BenchmarkPipe(b *testing.B) { overSizes(b, "p{1", "p}1") }
func BenchmarkVALE(b *testing.B) { overSizes(b, "vale0:tx", "vale0:rx") }

func BenchmarkVALEBroadcast8(b *testing.B) {
	bothWays(b, 60, 512, "vale0:tx", broadcastReceivers()...)
}

func broadcastReceivers() (rx []string) {
	for i := range 8 {
		rx = append(rx, fmt.Sprintf("vale0:rx%d", i))
	}
	return rx
}

func overSizes(b *testing.B, tx, rx string) {
	overSizesDo(b, func(b *testing.B, size, batch int) { bothWays(b, size, batch, tx, rx) })
}

func overSizesDo(b *testing.B, do func(b *testing.B, size, batch int)) {
	for _, size := range []int{60, 1500} {
		for _, batch := range []int{1, 32, 256, 512, 1023} {
			b.Run(fmt.Sprintf("%d/batch=%d", size, batch), func(b *testing.B) { do(b, size, batch) })
		}
	}
}

func bothWays(b *testing.B, size, batch int, tx string, rx ...string) {
	b.Run("sync", func(b *testing.B) { benchmark(b, embed.Config{}, false, size, batch, tx, rx...) })
	b.Run("payload", func(b *testing.B) { benchmark(b, embed.Config{}, true, size, batch, tx, rx...) })
}

// BenchmarkSpread shows the cost of buffers of 2048 bytes, see embed.DefaultBufSize.
func BenchmarkSpread(b *testing.B) {
	for _, size := range []int{2048, 2112, 2176, 2240} {
		c := embed.Config{BufSize: size}
		b.Run(fmt.Sprintf("pipe/stride=%d", size),
			func(b *testing.B) { benchmark(b, c, true, 60, 512, "p{1", "p}1") })
		b.Run(fmt.Sprintf("VALE/stride=%d", size),
			func(b *testing.B) { benchmark(b, c, true, 60, 512, "vale0:tx", "vale0:rx") })
	}
}

// BenchmarkIdleSync measures a sync with nothing to do.
func BenchmarkIdleSync(b *testing.B) {
	for _, name := range []string{"p{1", "vale0:tx"} {
		b.Run(name, func(b *testing.B) {
			f, err := embed.New(embed.Config{})
			if err != nil {
				b.Fatal(err)
			}
			defer f.Close()
			p := open(b, f, name)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += 2 {
				p.TxSync()
				p.RxSync()
			}
		})
	}
}
