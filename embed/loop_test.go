package embed_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func loopFramework(t testing.TB) *embed.Framework {
	t.Helper()
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if u := f.Usage(); !u.Full() {
			t.Errorf("objects are missing at the end: %+v", u)
		}
	})
	return f
}

func openLoop(t testing.TB, f *embed.Framework, name string,
	options ...netmap.Option) *netmap.Port {
	t.Helper()
	p, err := f.Open(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// send sends numbered frames. It sleeps while there is no room.
func send(t testing.TB, p *netmap.Port, size int, frames uint64) {
	for seq := uint64(0); seq < frames; {
		if ready, err := p.Poll(context.Background(), netmap.Out, 10*time.Second); ready != netmap.Out ||
			err != nil {
			t.Errorf("no room after %d frames: %v, %v", seq, ready, err)
			return
		}
		for _, ring := range p.Tx() {
			w := ring.Window()
			for ; w.Len() > 0 && seq < frames; w.Next() {
				b := w.Buf()[:size]
				copy(b, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
				for i := 16; i+8 <= size; i += 8 {
					binary.LittleEndian.PutUint64(b[i:], seq+uint64(i))
				}
				w.SetLen(size)
				seq++
			}
			w.Commit()
		}
		if err := p.TxSync(); err != nil {
			t.Error(err)
			return
		}
	}
}

// receive receives frames. All of them must arrive, whole and in order.
func receive(t testing.TB, p *netmap.Port, size int, frames uint64) {
	for seq := uint64(0); seq < frames; {
		if ready, err := p.Poll(context.Background(), netmap.In, 10*time.Second); ready != netmap.In ||
			err != nil {
			t.Errorf("nothing after %d frames: %v, %v", seq, ready, err)
			return
		}
		for _, ring := range p.Rx() {
			for _, b := range ring.Frames() {
				if !isNumbered(t, b, size, seq) {
					return
				}
				seq++
			}
		}
	}
	p.RxSync() // gives the last slots back
}

// isNumbered reports whether b is frame seq as send makes it.
func isNumbered(t testing.TB, b []byte, size int, seq uint64) bool {
	if len(b) != size {
		t.Errorf("frame %d has %d bytes", seq, len(b))
		return false
	}
	for i := 16; i+8 <= size; i += 8 {
		if got := binary.LittleEndian.Uint64(b[i:]); got != seq+uint64(i) {
			t.Errorf("frame %d has %d at %d", seq, got-uint64(i), i)
			return false
		}
	}
	return true
}

var withAndWithout = map[bool][]netmap.Option{false: nil, true: {netmap.SyncLoop()}}

// A pipe loses nothing, whichever end has a loop.
func TestLoopOverPipe(t *testing.T) {
	for _, a := range []bool{false, true} {
		for _, b := range []bool{false, true} {
			t.Run(fmt.Sprintf("sender %v, receiver %v", a, b), func(t *testing.T) {
				testutil.CheckLeaks(t)
				f := loopFramework(t)
				options := netmap.Slots(64, 64)
				tx := openLoop(t, f, "p{1", append(withAndWithout[a], options)...)
				rx := openLoop(t, f, "p}1", append(withAndWithout[b], options)...)
				const frames = 20000
				var wg sync.WaitGroup
				wg.Go(func() { receive(t, rx, 200, frames) })
				wg.Go(func() { send(t, tx, 200, frames) })
				wg.Wait()
			})
		}
	}
}

// A switch drops frames if the receiver has no room, so the receiver's ring has room for all.
func TestLoopOverVALE(t *testing.T) {
	testutil.CheckLeaks(t)
	f := loopFramework(t)
	rx := openLoop(t, f, "vale0:b", netmap.SyncLoop(), netmap.Slots(64, 2048))
	tx := openLoop(t, f, "vale0:a", netmap.SyncLoop(), netmap.Slots(64, 64))
	for _, frames := range []uint64{1, 7, 2000} {
		var wg sync.WaitGroup
		wg.Go(func() { receive(t, rx, 100, frames) })
		wg.Go(func() { send(t, tx, 100, frames) })
		wg.Wait()
	}
	if rx.Rx()[0].Time().IsZero() {
		t.Error("no time of arrival")
	}
}

func TestLoopOnSeveralRings(t *testing.T) {
	testutil.CheckLeaks(t)
	f := loopFramework(t)
	tx := openLoop(t, f, "p{1", netmap.SyncLoop(), netmap.Rings(3, 2))
	rx := openLoop(t, f, "p}1", netmap.SyncLoop())
	for i, ring := range tx.Tx() {
		ring.Send([]byte(fmt.Sprint("ring ", i)))
	}
	tx.TxSync()
	for i, ring := range rx.Rx() {
		for end := time.Now().Add(5 * time.Second); ring.Len() == 0 && time.Now().Before(end); {
			rx.RxSync()
		}
		for _, b := range ring.Frames() {
			if string(b) != fmt.Sprint("ring ", i) {
				t.Errorf("ring %d got %q", i, b)
			}
		}
	}
}

func TestLoopPortIsExclusive(t *testing.T) {
	f := loopFramework(t)
	openLoop(t, f, "vale0:a", netmap.SyncLoop())
	if _, err := f.Open("vale0:a"); !errors.Is(err, syscall.EBUSY) {
		t.Errorf("error %v, want EBUSY", err)
	}
	_, err := f.Open("vale0:b", netmap.SyncLoop(), netmap.RxOnly(), netmap.TxOnly())
	if !errors.Is(err, syscall.EINVAL) {
		t.Errorf("a port without rings: error %v, want EINVAL", err)
	}
}

func TestLoopPortWaits(t *testing.T) {
	testutil.CheckLeaks(t)
	f := loopFramework(t)
	p := openLoop(t, f, "p{1", netmap.SyncLoop())
	start := time.Now()
	if ready, err := p.Poll(context.Background(), netmap.In, 20*time.Millisecond); ready != 0 ||
		err != nil || time.Since(start) < 20*time.Millisecond {
		t.Errorf("Poll = %v, %v after %v", ready, err, time.Since(start))
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if ready, err := p.Poll(ctx, netmap.In, -1); ready != 0 ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Poll = %v, %v", ready, err)
	}
	time.AfterFunc(10*time.Millisecond, func() { p.Close() })
	if ready, err := p.Poll(context.Background(), netmap.In, -1); ready != netmap.Err || err != nil {
		t.Errorf("Poll of a port that is closed = %v, %v", ready, err)
	}
	if err := p.TxSync(); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("TxSync of a closed port: %v", err)
	}
}

// Poll reports a bad head at once, because the loop never reports it.
func TestLoopPortChecksHead(t *testing.T) {
	f := loopFramework(t)
	p := openLoop(t, f, "p{1", netmap.SyncLoop(), netmap.Slots(8, 8))
	ring := p.Tx()[0]
	for _, head := range []uint32{8, 1 << 31, 7 + 8} {
		ring.SetHead(head)
		if ready, _ := p.Poll(context.Background(), netmap.Out, 0); ready&netmap.Err == 0 {
			t.Errorf("head %d: %v", head, ready)
		}
	}
	ring.SetHead(0)
	if ready, _ := p.Poll(context.Background(), netmap.Out, 0); ready != netmap.Out {
		t.Errorf("a good head: %v", ready)
	}
}

func TestFrameworkClosesWithLoops(t *testing.T) {
	testutil.CheckLeaks(t)
	f := loopFramework(t)
	var ports []*netmap.Port
	for i := range 4 {
		ports = append(ports, openLoop(t, f, fmt.Sprint("vale0:", i), netmap.SyncLoop(),
			netmap.Slots(64, 64)))
	}
	var wg sync.WaitGroup
	for _, p := range ports {
		wg.Go(func() {
			if ready, _ := p.Poll(context.Background(), netmap.In, -1); ready != netmap.Err {
				t.Errorf("Poll = %v", ready)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	f.Close()
	wg.Wait()
}

func TestLoopDoesNotAllocate(t *testing.T) {
	f := loopFramework(t)
	a := openLoop(t, f, "p{1", netmap.SyncLoop())
	b := openLoop(t, f, "p}1", netmap.SyncLoop())
	frame := []byte("a frame, to and fro")
	ctx := context.Background()
	n := testing.AllocsPerRun(200, func() {
		a.Tx()[0].Send(frame)
		a.TxSync()
		b.Poll(ctx, netmap.In, time.Second)
		b.Rx()[0].Advance(b.Rx()[0].Len())
		b.RxSync()
		a.Poll(ctx, netmap.Out, time.Second)
	})
	if n != 0 {
		t.Errorf("%v allocations a round", n)
	}
}

// BenchmarkLoop runs sender and receiver in separate goroutines, which sleep while there is nothing
// to do. It compares a loop on each port with poll.
func BenchmarkLoop(b *testing.B) {
	for _, names := range [][2]string{{"p{1", "p}1"}} {
		for _, batch := range []int{32, 256} {
			for _, how := range []string{"poll", "loop"} {
				b.Run(fmt.Sprintf("batch=%d/%s", batch, how), func(b *testing.B) {
					f, err := embed.New(embed.Config{Spin: 20 * time.Microsecond})
					if err != nil {
						b.Fatal(err)
					}
					defer f.Close()
					options := withAndWithout[how == "loop"]
					pass(b, openLoop(b, f, names[0], options...), openLoop(b, f, names[1], options...), batch)
				})
			}
		}
	}
}

// pass sends b.N frames through the port. It writes and reads 8 bytes of each.
func pass(b *testing.B, tx, rx *netmap.Port, batch int) {
	ctx := context.Background()
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	wg.Go(func() {
		for sent := uint64(0); sent < uint64(b.N); {
			if ready, _ := tx.Poll(ctx, netmap.Out, 10*time.Second); ready != netmap.Out {
				b.Errorf("no room after %d frames: %v", sent, ready)
				return
			}
			ring := tx.Tx()[0]
			first, rest := ring.Batch(min(batch, int(uint64(b.N)-sent)))
			write(ring, first, 60, sent)
			write(ring, rest, 60, sent+uint64(len(first)))
			ring.Advance(len(first) + len(rest))
			sent += uint64(len(first) + len(rest))
			tx.TxSync()
		}
	})
	for got := uint64(0); got < uint64(b.N); {
		if ready, _ := rx.Poll(ctx, netmap.In, 10*time.Second); ready != netmap.In {
			b.Fatalf("nothing after %d frames: %v", got, ready)
		}
		ring := rx.Rx()[0]
		first, rest := ring.Batch(ring.NumSlots())
		if !read(ring, first, got) || !read(ring, rest, got+uint64(len(first))) {
			b.Fatalf("the frames after %d are not in order", got)
		}
		ring.Advance(len(first) + len(rest))
		got += uint64(len(first) + len(rest))
		rx.RxSync()
	}
	b.StopTimer()
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mframes/s")
}
