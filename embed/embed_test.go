package embed_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// newFramework makes a small framework. All objects must be back in the pools when the test ends.
func newFramework(t *testing.T) *embed.Framework {
	t.Helper()
	f, err := embed.New(embed.Config{Buffers: 8192, Rings: 32, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if u := f.Usage(); !u.Full() {
			t.Errorf("not everything came back to the pools: %+v", u)
		}
	})
	return f
}

func openPort(t *testing.T, f *embed.Framework, name string,
	options ...netmap.Option) *netmap.Port {
	t.Helper()
	p, err := f.Open(name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// everybody is a frame that a switch sends to all its ports.
func everybody(text string) []byte {
	return append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5"), text...)
}

// texts reads all frames of a ring, and returns them without headers.
func texts(r *netmap.Ring) (all []string) {
	for _, frame := range r.Frames() {
		all = append(all, string(frame[14:]))
	}
	return all
}

func wantTexts(t *testing.T, p *netmap.Port, want ...string) {
	t.Helper()
	if err := p.RxSync(); err != nil {
		t.Fatal(err)
	}
	if got := texts(p.Rx()[0]); !slices.Equal(got, want) {
		t.Errorf("%s received %q, want %q", p.Name(), got, want)
	}
	p.RxSync()
}

func TestManyWaysToSend(t *testing.T) {
	for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}} {
		for _, way := range []struct {
			name string
			send func(r *netmap.Ring, frames ...[]byte)
		}{
			{"Send", func(r *netmap.Ring, frames ...[]byte) { r.Send(frames...) }},
			{"Window", sendByWindow},
			{"Batch", sendByBatch},
		} {
			t.Run(names[0]+"/"+way.name, func(t *testing.T) {
				f := newFramework(t)
				tx, rx := openPort(t, f, names[0], netmap.Slots(8, 8)),
					openPort(t, f, names[1], netmap.Slots(8, 8))
				for n := range 20 { // around the ring several times
					way.send(tx.Tx()[0], everybody(fmt.Sprint(n, "a")), everybody(fmt.Sprint(n, "b")),
						everybody(fmt.Sprint(n, "c")))
					if err := tx.TxSync(); err != nil {
						t.Fatal(err)
					}
					wantTexts(t, rx, fmt.Sprint(n, "a"), fmt.Sprint(n, "b"), fmt.Sprint(n, "c"))
					tx.TxSync()
				}
			})
		}
	}
}

func sendByWindow(r *netmap.Ring, frames ...[]byte) {
	w := r.Window()
	defer w.Commit()
	for ; w.Len() > 0 && len(frames) > 0; w.Next() {
		w.SetLen(copy(w.Buf(), frames[0]))
		frames = frames[1:]
	}
}

func sendByBatch(r *netmap.Ring, frames ...[]byte) {
	first, rest := r.Batch(len(frames))
	for _, slots := range [2][]abi.Slot{first, rest} {
		for i := range slots {
			slots[i].Len = uint16(copy(r.Buf(slots[i].BufIdx), frames[0]))
			frames = frames[1:]
		}
	}
	r.Advance(len(first) + len(rest))
}

func TestBatch(t *testing.T) {
	f := newFramework(t)
	p := openPort(t, f, "vale0:a", netmap.Slots(8, 8))
	r := p.Tx()[0]
	for _, c := range []struct{ advance, most, first, rest int }{
		{0, -1, 0, 0}, {0, 0, 0, 0}, {0, 3, 3, 0}, {0, 100, 7, 0}, {5, 2, 2, 0}, {0, 100, 3, 4},
		{0, 4, 3, 1}, {3, 7, 7, 0}, {0, 100, 7, 0},
	} {
		r.Advance(c.advance)
		p.TxSync()
		first, rest := r.Batch(c.most)
		if len(first) != c.first || len(rest) != c.rest {
			t.Errorf("from slot %d, at most %d: %d and %d slots, want %d and %d", r.Head(), c.most,
				len(first), len(rest), c.first, c.rest)
		}
	}
}

func TestSendTakesWhatThereIsRoomFor(t *testing.T) {
	f := newFramework(t)
	tx, rx := openPort(t, f, "x{1", netmap.Slots(8, 8)), openPort(t, f, "x}1")
	var frames [][]byte
	for i := range 10 {
		frames = append(frames, everybody(fmt.Sprint(i)))
	}
	r := tx.Tx()[0]
	if got := r.Send(frames...); got != 7 || r.Len() != 0 {
		t.Errorf("%d frames sent, %d slots left", got, r.Len())
	}
	if got := r.Send(frames...); got != 0 {
		t.Errorf("%d frames sent into a full ring", got)
	}
	tx.TxSync()
	wantTexts(t, rx, "0", "1", "2", "3", "4", "5", "6")
	tx.TxSync()
	if got := r.Send(); got != 0 {
		t.Errorf("%d frames sent of none", got)
	}
	if got := r.Send(frames[0], nil, frames[1]); got != 1 {
		t.Errorf("%d frames sent up to an empty one", got)
	}
}

func TestFramesLongerThanABuffer(t *testing.T) {
	const size = embed.DefaultBufSize
	for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}} {
		for _, c := range []struct{ size, slots, sent int }{
			{size, 1, 1}, {size + 1, 2, 1}, {2 * size, 2, 1}, {4*size + 1, 5, 1}, {7 * size, 7, 1},
			{7*size + 1, 0, 0}, {65535, 0, 0},
		} {
			f := newFramework(t)
			tx, rx := openPort(t, f, names[0], netmap.Slots(8, 8)),
				openPort(t, f, names[1], netmap.Slots(8, 8))
			frame := everybody("")
			for len(frame) < c.size {
				frame = append(frame, byte(len(frame)>>3))
			}
			if got := tx.Tx()[0].Send(frame); got != c.sent {
				t.Errorf("%s: %d frames of %d bytes sent, want %d", names[0], got, c.size, c.sent)
			}
			tx.TxSync()
			rx.RxSync()
			var got []byte
			n := 0
			for slot, part := range rx.Rx()[0].Frames() {
				got = append(got, part...)
				if n++; slot.Flags&abi.NSMoreFrag == 0 {
					break
				}
			}
			if c.sent > 0 && (n != c.slots || !bytes.Equal(got, frame)) {
				t.Errorf("%s: %d bytes arrived in %d slots, want %d in %d", names[0], len(got), n, c.size,
					c.slots)
			}
		}
	}
}

func TestBreakKeepsTheRest(t *testing.T) {
	f := newFramework(t)
	tx, rx := openPort(t, f, "x{1", netmap.Slots(8, 8)), openPort(t, f, "x}1")
	tx.Tx()[0].Send(everybody("1"), everybody("2"), everybody("3"))
	tx.TxSync()
	rx.RxSync()
	for range rx.Rx()[0].Frames() {
		break
	}
	if got := rx.Rx()[0].Len(); got != 2 {
		t.Errorf("%d slots are left, want 2", got)
	}
	wantTexts(t, rx, "2", "3")
	for range rx.Rx()[0].Frames() {
		t.Error("a frame in an empty ring")
	}
}

// A frame travels from a pipe through a switch into another pipe; only the switch copies it.
func TestSwapBetweenPipeAndVALE(t *testing.T) {
	f := newFramework(t)
	slots := netmap.Slots(16, 16)
	source, in := openPort(t, f, "in{1", slots), openPort(t, f, "in}1")
	a, b := openPort(t, f, "vale0:a", slots), openPort(t, f, "vale0:b", slots)
	out, sink := openPort(t, f, "out{1", slots), openPort(t, f, "out}1")
	if !in.SameRegion(a) || !b.SameRegion(out) {
		t.Fatal("ports of one framework are in different regions")
	}
	if other := openPort(t, newFramework(t), "x{1"); other.SameRegion(a) {
		t.Error("ports of two frameworks are in the same region")
	}
	for n := range 50 {
		source.Tx()[0].Send(everybody(fmt.Sprint(n)), everybody("and more"))
		source.TxSync()
		in.RxSync()
		forward(in.Rx()[0], a.Tx()[0])
		a.TxSync()
		b.RxSync()
		forward(b.Rx()[0], out.Tx()[0])
		out.TxSync()
		wantTexts(t, sink, fmt.Sprint(n), "and more")
		for _, p := range []*netmap.Port{in, source, b, sink, out} {
			p.RxSync()
			p.TxSync()
		}
	}
	wantBuffersOnce(t, slices.Concat(source.Tx(), a.Tx(), a.Rx(), b.Tx(), b.Rx(), out.Tx()))
}

// wantBuffersOnce fails if a buffer is in two slots of the rings.
func wantBuffersOnce(t *testing.T, rings []*netmap.Ring) {
	seen := map[uint32]bool{}
	for _, r := range rings {
		for i := range r.NumSlots() {
			idx := r.Slot(uint32(i)).BufIdx
			if seen[idx] {
				t.Fatalf("buffer %d is in two slots", idx)
			}
			seen[idx] = true
		}
	}
}

func forward(rx, tx *netmap.Ring) {
	from, to := rx.Window(), tx.Window()
	for ; from.Len() > 0 && to.Len() > 0; from.Next() {
		netmap.Swap(to.Slot(), from.Slot())
		to.Next()
	}
	from.Commit()
	to.Commit()
}

func TestSwap(t *testing.T) {
	tx := abi.Slot{BufIdx: 2, Len: 100, Flags: abi.NSReport, Ptr: 5}
	rx := abi.Slot{BufIdx: 3, Len: 60, Flags: 0x320, Ptr: 6}
	netmap.Swap(&tx, &rx)
	want := abi.Slot{BufIdx: 3, Len: 60, Flags: abi.NSMoreFrag | abi.NSBufChanged, Ptr: 6}
	if tx != want {
		t.Errorf("tx slot %+v, want %+v", tx, want)
	}
	if want := (abi.Slot{BufIdx: 2, Len: 60, Flags: 0x320 | abi.NSBufChanged, Ptr: 5}); rx != want {
		t.Errorf("rx slot %+v, want %+v", rx, want)
	}
}

func TestExtraBuffers(t *testing.T) {
	f := newFramework(t)
	p := openPort(t, f, "vale0:a", netmap.Slots(8, 8), netmap.ExtraBufs(10))
	spare := p.TakeExtra()
	if len(spare) != 10 || p.Request().ExtraBufs != 10 {
		t.Fatalf("%d extra buffers, %d granted", len(spare), p.Request().ExtraBufs)
	}
	if again := p.TakeExtra(); len(again) != 0 {
		t.Errorf("taken twice: %v", again)
	}
	seen := map[uint32]bool{}
	for i, b := range spare {
		if seen[b] || b < abi.ReservedBufs || len(p.Buf(b)) != embed.DefaultBufSize {
			t.Errorf("buffer %d of %d bytes", b, len(p.Buf(b)))
		}
		seen[b] = true
		s := p.Tx()[0].Slot(uint32(i % 7)) // every frame goes through a slot
		s.BufIdx, spare[i] = b, s.BufIdx
	}
	p.ReturnExtra(spare...)
	if got := p.TakeExtra(); len(got) != 10 {
		t.Errorf("%d buffers came back", len(got))
	} else {
		p.ReturnExtra(got...)
	}
	p.Close()
	if u := f.Usage(); !u.Full() {
		t.Errorf("left behind: %+v", u)
	}
}

func TestExtraBuffersOfAPortWithoutRings(t *testing.T) {
	f := newFramework(t)
	p := openPort(t, f, "vale0:a", netmap.TxOnly(), netmap.RxOnly(), netmap.ExtraBufs(10))
	if got := p.TakeExtra(); got != nil {
		t.Errorf("taken: %v", got)
	}
	if len(p.Tx())+len(p.Rx()) != 0 || len(p.Buf(5)) != 0 {
		t.Error("a port without rings has rings or buffers")
	}
}

func TestBadBufferIndex(t *testing.T) {
	f := newFramework(t)
	p := openPort(t, f, "vale0:a", netmap.Slots(8, 8))
	for _, i := range []uint32{0, 1 << 20, 1<<32 - 1} {
		if b := p.Buf(i); &b[0] != &p.Tx()[0].Buf(0)[0] || len(b) != embed.DefaultBufSize {
			t.Errorf("buffer %d is not buffer 0", i)
		}
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		name                         string
		options                      []netmap.Option
		tx, rx                       int
		txSlots, rxSlots, firstRings int
	}{
		{"vale0:a", nil, 1, 1, 1024, 1024, 0},
		{"vale0:a", []netmap.Option{netmap.Slots(64, 32)}, 1, 1, 64, 32, 0},
		{"vale0:a", []netmap.Option{netmap.Rings(2, 3), netmap.Slots(16, 16)}, 2, 3, 16, 16, 0},
		{"vale0:a", []netmap.Option{netmap.RxOnly()}, 0, 1, 0, 1024, 0},
		{"vale0:a", []netmap.Option{netmap.TxOnly()}, 1, 0, 1024, 0, 0},
		{"vale0:a-1", []netmap.Option{netmap.Rings(2, 2), netmap.Slots(16, 16)}, 1, 1, 16, 16, 1},
		{"vale0:a@conf:rings=2,tx-slots=16,rx-slots=8", nil, 2, 2, 16, 8, 0},
		// an option replaces the name's configuration
		{"vale0:a@conf:slots=16", []netmap.Option{netmap.Slots(8, 0)}, 1, 1, 8, 1024, 0},
		{"vale0:a/T", nil, 1, 0, 1024, 0, 0},
		{"netmap:x{1", []netmap.Option{netmap.Rings(2, 1), netmap.Slots(8, 16)}, 2, 1, 8, 16, 0},
	} {
		t.Run(fmt.Sprint(c.name, len(c.options)), func(t *testing.T) {
			p := openPort(t, newFramework(t), c.name, c.options...)
			if len(p.Tx()) != c.tx || len(p.Rx()) != c.rx {
				t.Fatalf("%d tx and %d rx rings, want %d and %d", len(p.Tx()), len(p.Rx()), c.tx, c.rx)
			}
			for i, r := range p.Tx() {
				if !r.IsTx() || r.ID() != c.firstRings+i || r.NumSlots() != c.txSlots ||
					r.BufSize() != embed.DefaultBufSize {
					t.Errorf("tx ring %d has %d slots", r.ID(), r.NumSlots())
				}
			}
			for i, r := range p.Rx() {
				if r.IsTx() || r.ID() != c.firstRings+i || r.NumSlots() != c.rxSlots ||
					r.BufSize() != embed.DefaultBufSize {
					t.Errorf("rx ring %d has %d slots", r.ID(), r.NumSlots())
				}
			}
			if p.Name() != c.name {
				t.Errorf("name %q", p.Name())
			}
		})
	}
}

func TestNoTxPollLeavesFramesAlone(t *testing.T) {
	ctx := context.Background()
	f := newFramework(t)
	a, b := openPort(t, f, "vale0:a", netmap.NoTxPoll()), openPort(t, f, "vale0:b")
	a.Tx()[0].Send(everybody("pending"))
	a.Poll(ctx, netmap.In, 0)
	wantTexts(t, b)
	if got, err := a.Poll(ctx, netmap.Out, 0); got != netmap.Out || err != nil {
		t.Errorf("Poll = %v, %v", got, err)
	}
	wantTexts(t, b, "pending")
}

func TestPollSleepsUntilFramesCome(t *testing.T) {
	testutil.CheckLeaks(t)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	f := newFramework(t)
	a, b := openPort(t, f, "vale0:a", netmap.Slots(16, 16)),
		openPort(t, f, "vale0:b", netmap.Slots(16, 16))
	done := make(chan error)
	const rounds = 500
	go func() {
		for n := range rounds {
			if _, err := b.Poll(ctx, netmap.In, -1); err != nil {
				done <- err
				return
			}
			if got := texts(b.Rx()[0]); !slices.Equal(got, []string{fmt.Sprint(n)}) {
				done <- fmt.Errorf("received %q in round %d", got, n)
				return
			}
			b.Tx()[0].Send(everybody(fmt.Sprint(n)))
			b.TxSync()
		}
		done <- nil
	}()
	for n := range rounds {
		a.Tx()[0].Send(everybody(fmt.Sprint(n)))
		if _, err := a.Poll(ctx, netmap.In, -1); err != nil { // Poll also sends the frames
			t.Fatal(errors.Join(err, <-done))
		}
		if got := texts(a.Rx()[0]); !slices.Equal(got, []string{fmt.Sprint(n)}) {
			t.Fatalf("received %q in round %d", got, n)
		}
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTime(t *testing.T) {
	f := newFramework(t)
	a, b := openPort(t, f, "vale0:a", netmap.Slots(8, 8)),
		openPort(t, f, "vale0:b", netmap.Slots(8, 8))
	r, start := b.Rx()[0], time.Now().Truncate(time.Microsecond)
	a.Tx()[0].Send(everybody("x"))
	a.TxSync()
	b.RxSync()
	came := r.Time()
	if came.Before(start) || came.After(time.Now()) {
		t.Errorf("came at %v, not after %v", came, start)
	}
	b.RxSync()
	if !r.Time().Equal(came) {
		t.Error("a sync without frames changed the time")
	}
	r.Timestamp(true)
	time.Sleep(2 * time.Microsecond)
	b.RxSync()
	if !r.Time().After(came) {
		t.Error("Timestamp has no effect")
	}
	r.Timestamp(false)
	came = r.Time()
	time.Sleep(2 * time.Microsecond)
	if b.RxSync(); !r.Time().Equal(came) {
		t.Error("Timestamp cannot be taken back")
	}
}

func TestErrors(t *testing.T) {
	f := newFramework(t)
	openPort(t, f, "vale0:taken", netmap.Exclusive(), netmap.Slots(8, 8))
	for _, c := range []struct {
		name    string
		options []netmap.Option
		want    error
	}{
		{"", nil, syscall.EINVAL},
		{"vale0", nil, syscall.EINVAL},
		{"vale0:a-7", nil, syscall.EINVAL},
		{"vale0:a^", nil, syscall.EINVAL},
		{"vale0:a@77", nil, syscall.EINVAL},
		{"x{", nil, syscall.EINVAL},
		{"netmap:no-such-if", nil, syscall.EINVAL}, // - ends a name
		{"netmap:nosuchif", nil, syscall.ENXIO},
		{"vale0:taken", nil, syscall.EBUSY},
		{"vale0:a", []netmap.Option{netmap.Rings(16, 16), netmap.Slots(4096, 4096)}, syscall.ENOMEM},
	} {
		p, err := f.Open(c.name, c.options...)
		if !errors.Is(err, c.want) {
			t.Errorf("Open(%q): error %v, want %v", c.name, err, c.want)
		}
		if err == nil {
			p.Close()
		}
	}
	for _, c := range []embed.Config{{Buffers: -1}, {Buffers: 2000000}, {BufSize: 63},
		{BufSize: 1 << 17}, {Rings: 1}, {Ports: -5}, {RingSize: 64}} {
		if _, err := embed.New(c); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("New(%+v): error %v, want EINVAL", c, err)
		}
	}
}

func TestAClosedPort(t *testing.T) {
	testutil.CheckLeaks(t)
	f := newFramework(t)
	p := openPort(t, f, "vale0:a", netmap.Slots(8, 8))
	done := make(chan netmap.Events)
	go func() {
		got, _ := p.Poll(context.Background(), netmap.In, -1)
		done <- got
	}()
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	if got := <-done; got != netmap.Err {
		t.Errorf("Poll = %v while the port was closed", got)
	}
	if err := p.TxSync(); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("TxSync: %v", err)
	}
	if err := p.RxSync(); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("RxSync: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func TestFrameworksAreSeparate(t *testing.T) {
	testutil.CheckLeaks(t)
	one, two := newFramework(t), newFramework(t)
	a := openPort(t, one, "vale0:a", netmap.Slots(8, 8))
	b := openPort(t, two, "vale0:b", netmap.Slots(8, 8))
	a.Tx()[0].Send(everybody("x"))
	a.TxSync()
	wantTexts(t, b)
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	if err := one.Close(); err != nil {
		t.Error(err)
	}
	if _, err := one.Open("vale0:c"); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("Open on a closed framework: %v", err)
	}
	openPort(t, two, "vale0:c", netmap.Slots(8, 8))
}

func TestNothingAllocatesPerFrame(t *testing.T) {
	f := newFramework(t)
	tx, rx := openPort(t, f, "vale0:a"), openPort(t, f, "vale0:b")
	frame, ctx := everybody("x"), context.Background()
	if n := testing.AllocsPerRun(200, func() {
		w := tx.Tx()[0].Window()
		for range 10 {
			w.SetLen(copy(w.Buf(), frame))
			w.Next()
		}
		w.Commit()
		tx.TxSync()
		rx.Poll(ctx, netmap.In, -1)
		for _, r := range rx.Rx() {
			for range r.Frames() {
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
