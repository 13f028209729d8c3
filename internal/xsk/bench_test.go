//go:build linux

package xsk

import (
	"fmt"
	"testing"
)

// BenchmarkVeth sends frames over a veth pair and receives them, on one goroutine. One operation is
// one frame that arrived; %loss is the share of frames that did not.
func BenchmarkVeth(b *testing.B) {
	for _, mode := range []Mode{Native, Generic} {
		for _, length := range []int{60, 1514} {
			for _, batch := range []uint32{32, 256, 1024} {
				b.Run(fmt.Sprintf("mode=%v/length=%d/batch=%d", mode, length, batch), func(b *testing.B) {
					benchVeth(b, mode, length, batch)
				})
			}
		}
	}
}

func benchVeth(b *testing.B, mode Mode, length int, batch uint32) {
	const size = 1024
	ends := newVeth(b, 1)
	m := [2]*Memory{newMemory(b, 4*size, 2048), newMemory(b, 4*size, 2048)}
	var fill []uint32
	for i := range uint32(size) {
		fill = append(fill, size+i)
	}
	tx := ends[0].open(b, Config{Size: size, Tx: true, Mode: mode, Memory: m[0]})
	rx := ends[1].open(b, Config{Size: size, Rx: true, Mode: mode, Memory: m[1], Fill: fill})
	ends[0].attach(b, 1, mode) // as on a port that is in use
	put(b, ends[1].attach(b, 1, mode), 0, rx)

	free := make([]uint32, 0, size)
	for i := range uint32(size) {
		copy(m[0].Mem[(2+i)*2048:], frame(0, length))
		free = append(free, 2+i)
	}

	sent, got, sum := 0, 0, byte(0)
	b.ReportAllocs()
	b.ResetTimer()
	for idle := 0; got < b.N && idle < 1000; idle++ {
		n := tx.Done(size)
		for i := range n {
			free = append(free, tx.DoneAt(i))
		}
		tx.DoneRelease(n)

		n = tx.TxRoom(min(batch, uint32(len(free))))
		for i := range n {
			tx.TxAt(i, free[len(free)-1], 0, uint32(length), false)
			free = free[:len(free)-1]
		}
		tx.TxCommit(n)
		sent += int(n)
		if _, err := tx.KickTx(); err != nil {
			b.Fatal(err)
		}

		n = rx.FillRoom(rx.RxReady(size))
		for i := range n {
			buf, _, _, _ := rx.RxAt(i)
			sum += m[1].Mem[buf*2048+17] // whoever receives looks at the frame
			rx.FillAt(i, buf)
		}
		rx.RxRelease(n)
		rx.FillCommit(n)
		rx.KickRx()
		got += int(n)
		if n > 0 {
			idle = 0
		}
	}
	b.StopTimer()
	if got < b.N {
		b.Fatalf("received %d of %d frames, sent %d, sum %d", got, b.N, sent, sum)
	}
	b.ReportMetric(float64(got)/b.Elapsed().Seconds()/1e6, "Mpps")
	b.ReportMetric(100*float64(sent-got)/float64(sent), "%loss")
}
