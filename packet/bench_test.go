package packet_test

import (
	"context"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/netmaptest"
	"github.com/seed-48afdc40/netmap/packet"
)

// ways are the ways to move frames over a link. Each moves a batch of frames in one goroutine, so
// that nothing sleeps and only the work of link and framework is measured.
func ways(t testing.TB) map[string]func() {
	all := map[string]func(){}
	add := func(name string, run func(a, b *packet.Conn)) (b *packet.Conn) {
		a, b := pair(t)
		all[name] = func() { run(a, b) }
		return b
	}
	ctx := context.Background()
	buf := make([]byte, 2048)
	f := frame("a frame of sixty bytes, which is most of them as it seems.")
	frames := make([][]byte, batch)
	for i := range frames {
		frames[i] = f
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	next := func(a, b *packet.Conn) {
		_, err := a.Send(ctx, frames...)
		check(err)
		for range batch {
			_, err := b.Next(ctx)
			check(err)
		}
	}
	add("Send and Next", next)
	add("WriteTo and ReadFrom", func(a, b *packet.Conn) {
		for range batch {
			_, err := a.WriteTo(f, nil)
			check(err)
		}
		for range batch {
			_, _, err := b.ReadFrom(buf)
			check(err)
		}
	})
	b := add("Send and Next with an expression", next)
	check(b.SetBPFFilter("ether proto 0x88b5 and not host 10.0.0.1"))
	check(add("Send and Next with a program", next).SetBPF(first20(t, 0x88b5)))
	pieces := [][]byte{long(6000), long(6000)}
	add("long frames", func(a, b *packet.Conn) {
		for range batch / len(pieces) {
			_, err := a.Send(ctx, pieces...)
			check(err)
			for range pieces {
				_, err := b.Next(ctx)
				check(err)
			}
		}
	})
	return all
}

const batch = 32

func TestNothingIsAllocated(t *testing.T) {
	for name, run := range ways(t) {
		for range 100 { // memory that is reused is allocated here
			run()
		}
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations for %d frames", name, n, batch)
		}
	}
}

func BenchmarkLink(b *testing.B) {
	for name, run := range ways(b) {
		b.Run(name, func(b *testing.B) {
			run()
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				run()
			}
		})
	}
}

// BenchmarkRings measures the rings beneath the link, for comparison.
func BenchmarkRings(b *testing.B) {
	tx, rx := netmaptest.Pair(b)
	f := frame("a frame of sixty bytes, which is most of them as it seems.")
	frames := make([][]byte, batch)
	for i := range frames {
		frames[i] = f
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i += batch {
		tx.Tx()[0].Send(frames...)
		tx.TxSync()
		rx.Poll(context.Background(), netmap.In, 0)
		for range rx.Rx()[0].Frames() {
		}
	}
}
