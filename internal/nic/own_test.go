//go:build linux

package nic

import (
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// The batch and the length of the frames of BenchmarkOwn. The length is the smallest of Ethernet,
// which comes at 14.88 Mpps on 10 Gbit/s.
const (
	ownBatch  = 256
	ownLength = 60
)

// BenchmarkOwn measures what our own code costs to receive, send and pass on frames, from the
// program's head to the rings that the kernel shares with us. An xsk.StandIn replaces the kernel,
// whose work is not in the figures. The clock is read twice a batch. A frame that is passed on is
// received, exchanged by the program and sent. The figure has all three, and the program's share is
// reported separately.
func BenchmarkOwn(b *testing.B) {
	b.Run("receive", func(b *testing.B) {
		o := newOwn(b, 2048)
		o.run(b, func() time.Duration {
			o.kernel.Arrive(ownBatch, ownLength)
			begin := time.Now()
			o.rx.Sync(b)
			n := o.take(o.rx)
			took := time.Since(begin)
			o.frames += n
			return took
		})
	})
	b.Run("transmit", func(b *testing.B) {
		o := newOwn(b, 2048)
		o.run(b, func() time.Duration {
			begin := time.Now()
			n := o.send()
			o.tx.Sync(b)
			took := time.Since(begin)
			o.frames += n
			o.kernel.Leave()
			return took
		})
	})
	b.Run("bridge", func(b *testing.B) {
		o := newOwn(b, 2048)
		o.run(b, func() time.Duration {
			o.kernel.Arrive(ownBatch, ownLength)
			begin := time.Now()
			o.rx.Sync(b)
			before := time.Now()
			n := o.pass()
			after := time.Now()
			o.tx.Sync(b)
			took := time.Since(begin)
			o.frames += n
			o.program += after.Sub(before)
			o.kernel.Leave()
			return took
		})
		b.ReportMetric(float64(o.program.Nanoseconds())/float64(o.frames), "program-ns/frame")
	})
}

// own is a queue with its two rings and the stand-in for the kernel.
type own struct {
	port   *Port
	kernel *xsk.StandIn
	tx, rx *kringtest.Ring
	frames uint32

	program time.Duration // the program's share of passing on
}

func newOwn(b testing.TB, size uint32) *own {
	b.Helper()
	region, err := mem.New(1, mem.Config{If: mem.Pool{Num: 4, Size: 1024},
		Ring: mem.Pool{Num: 4, Size: 32768}, Buf: mem.Pool{Num: 8192, Size: size}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { region.Close() })
	pool, offset, stride := region.BufPool()
	memory := xsk.Memory{Mem: pool, Stride: stride, Skew: offset % shm.HugePage}
	p := &Port{name: "a stand-in", region: region, memory: memory}
	p.maxTx = p.memory.MaxTx()
	p.limits.carrier.Store(true)
	p.limits.setMTU(1500)
	p.segments = 1
	o := &own{port: p, kernel: xsk.NewStandIn(&p.memory, DefaultSlots)}

	tx, rx := newTxSide(p), newRxSide(p)
	tx.ring = kring.New("stand-in TX0", abi.DirTx, 0, DefaultSlots, tx.sync)
	rx.ring = kring.New("stand-in RX0", abi.DirRx, 0, DefaultSlots, rx.sync)
	for _, r := range []*kring.Ring{tx.ring, rx.ring} {
		if err := r.Alloc(region, true); err != nil {
			b.Fatal(err)
		}
	}
	tx.start(o.kernel.Socket)
	rx.start(o.kernel.Socket, false)
	o.tx = &kringtest.Ring{Ring: tx.ring, Shared: shm.At[abi.Ring](region.Bytes(),
		uint64(tx.ring.Offset()))}
	o.rx = &kringtest.Ring{Ring: rx.ring, Shared: shm.At[abi.Ring](region.Bytes(),
		uint64(rx.ring.Offset()))}
	return o
}

// run moves a batch again and again, and reports the time for a frame.
func (o *own) run(b *testing.B, batch func() time.Duration) {
	for range 16 { // all slots and buffers have been in use
		batch()
	}
	var took time.Duration
	o.frames, o.program = 0, 0
	b.ReportAllocs()
	b.ResetTimer()
	for o.frames < uint32(b.N) {
		before := o.frames
		took += batch()
		if o.frames == before {
			b.Fatal("nothing moves")
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(took.Nanoseconds())/float64(o.frames), "ns/frame")
	b.ReportMetric(0, "ns/op")
}

// take releases all received slots.
func (o *own) take(r *kringtest.Ring) uint32 {
	head, tail := r.Shared.Head.Load(), r.Shared.Tail.Load()
	r.SetHead(tail)
	return r.Dist(head, tail)
}

// send hands over a batch of slots.
func (o *own) send() uint32 {
	head, tail := o.tx.Shared.Head.Load(), o.tx.Shared.Tail.Load()
	n := min(ownBatch, o.tx.Dist(head, tail))
	for range n {
		o.tx.Slot(head).Len = ownLength
		head = o.tx.Next(head)
	}
	o.tx.SetHead(head)
	return n
}

// pass exchanges the buffers of received slots with those of free ones, like a bridge without
// copies.
func (o *own) pass() uint32 {
	from, to := o.rx.Shared.Head.Load(), o.tx.Shared.Head.Load()
	n := min(o.rx.Dist(from, o.rx.Shared.Tail.Load()), o.tx.Dist(to, o.tx.Shared.Tail.Load()))
	for range n {
		r, t := o.rx.Slot(from), o.tx.Slot(to)
		got, free := r.Word(), t.Word()
		t.SetWord(abi.MakeSlotWord(got.BufIdx(), got.Len(), abi.NSBufChanged))
		r.SetWord(abi.MakeSlotWord(free.BufIdx(), 0, abi.NSBufChanged))
		from, to = o.rx.Next(from), o.tx.Next(to)
	}
	o.rx.SetHead(from)
	o.tx.SetHead(to)
	return n
}

// BenchmarkCoreClock measures the core's clock, to convert nanoseconds to cycles: each
// multiplication waits for the one before, and takes three cycles on every processor for PCs and
// servers since 2008.
func BenchmarkCoreClock(b *testing.B) {
	b.Run("multiply", func(b *testing.B) {
		const each = 16
		x := uint64(b.N) | 1
		for range b.N {
			y := x
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
			x = x * y
		}
		if x == 0 {
			b.Fatal("odd numbers have an even product")
		}
		b.ReportMetric(3*each*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GHz")
	})
}
