package pipe_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/pipe"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// oneWay is the direction of a pipe from master to slave, both ends open.
func oneWay(t *testing.T, slots uint32) (region *mem.Region, tx, rx *kringtest.Ring) {
	t.Helper()
	region = kringtest.NewRegion(t, 512)
	p := pipe.New(region, "x{1", "x}1", port.Shape{TxRings: 1, RxRings: 1, TxSlots: slots,
		RxSlots: slots})
	tx, rx = kringtest.Open(t, region, p.Master, abi.DirTx, 0),
		kringtest.Open(t, region, p.Slave, abi.DirRx, 0)
	t.Cleanup(func() {
		for _, r := range []*kringtest.Ring{tx, rx} {
			if r.Shared != nil {
				r.Close()
			}
		}
	})
	return region, tx, rx
}

func frame(n int) []byte { return fmt.Appendf(nil, "frame %d", n) }

func push(t *testing.T, tx *kringtest.Ring, from, n int) {
	t.Helper()
	for i := range n {
		if !tx.Push(frame(from+i), 0) {
			t.Fatalf("no room for frame %d", from+i)
		}
	}
}

func pull(t *testing.T, rx *kringtest.Ring, from, n int) {
	t.Helper()
	for i := range n {
		if got, _, ok := rx.Pull(); !ok || string(got) != string(frame(from+i)) {
			t.Fatalf("received %q, %v; want frame %d", got, ok, from+i)
		}
	}
}

func wantMine(t *testing.T, r *kringtest.Ring, when string, want int) {
	t.Helper()
	if got := len(r.Mine()); got != want {
		t.Fatalf("%s: %s has %d slots, want %d", when, r.Name, got, want)
	}
}

func TestRingsAreMirrored(t *testing.T) {
	p := pipe.New(kringtest.NewRegion(t, 64), "x{1", "x}1", port.Shape{TxRings: 2, RxRings: 3,
		TxSlots: 16, RxSlots: 32})
	for _, c := range []struct {
		end   *pipe.End
		dir   kring.Dir
		name  string
		rings int
		slots uint32
	}{
		{p.Master, abi.DirTx, "x{1 TX", 2, 16},
		{p.Master, abi.DirRx, "x{1 RX", 3, 32},
		{p.Slave, abi.DirTx, "x}1 TX", 3, 32},
		{p.Slave, abi.DirRx, "x}1 RX", 2, 16},
	} {
		rings := c.end.Rings(c.dir)
		if len(rings) != c.rings {
			t.Errorf("%s: %d rings, want %d", c.name, len(rings), c.rings)
		}
		for i, r := range rings {
			if r.Name != fmt.Sprint(c.name, i) || r.N != c.slots || int(r.ID) != i || r.Dir != c.dir {
				t.Errorf("ring %s, id %d, %d slots, direction %d; want %s%d, %d slots", r.Name, r.ID, r.N,
					r.Dir, c.name, i, c.slots)
			}
		}
	}
	if p.Master.Peer() != p.Slave || p.Slave.Peer() != p.Master {
		t.Error("the ends are not each other's peers")
	}
}

func TestSpaceReturnsAfterBothSyncs(t *testing.T) {
	_, tx, rx := oneWay(t, 8)
	push(t, tx, 0, 7)
	tx.Sync(t)
	wantMine(t, tx, "nothing received", 0)
	wantMine(t, rx, "before the receiver's sync", 0)
	rx.Sync(t)
	pull(t, rx, 0, 3)
	tx.Sync(t)
	wantMine(t, tx, "the receiver moved head without a sync", 0)
	rx.Sync(t)
	wantMine(t, tx, "the sender did no sync of its own", 0)
	tx.Sync(t)
	wantMine(t, tx, "both synced", 3)
	wantMine(t, rx, "four frames are left", 4)
}

func TestPacketsAreHiddenUntilTheirLastFragment(t *testing.T) {
	_, tx, rx := oneWay(t, 8)
	for lap := range 5 { // so that packets lie across the end of the ring
		next := 0
		send := func(flags ...uint16) {
			for _, f := range flags {
				tx.Push(frame(next), f)
				next++
			}
			tx.Sync(t)
			rx.Sync(t)
		}
		send(abi.NSMoreFrag)
		wantMine(t, rx, "one fragment", 0)
		send(abi.NSMoreFrag)
		wantMine(t, rx, "two fragments", 0)
		send(0)
		wantMine(t, rx, "whole packet", 3)
		send(0, abi.NSMoreFrag)
		wantMine(t, rx, "another one, and the start of a third", 4)
		send(0)
		wantMine(t, rx, "third one", 6)
		for i, more := range []uint16{abi.NSMoreFrag, abi.NSMoreFrag, 0, 0, abi.NSMoreFrag, 0} {
			if got, flags, ok := rx.Pull(); !ok || flags != more || string(got) != string(frame(i)) {
				t.Fatalf("lap %d: slot %d is %q with flags %#x", lap, i, got, flags)
			}
		}
		rx.Sync(t)
		tx.Sync(t)
		wantMine(t, tx, "all is read", 7)
	}
}

func TestChangedBuffersAreNotedOnBothSides(t *testing.T) {
	region, tx, rx := oneWay(t, 8)
	spare, err := region.NewBufs("test", 2)
	if err != nil {
		t.Fatal(err)
	}

	// The sender puts another buffer into a slot.
	mine := tx.Slot(0).BufIdx
	*tx.Slot(0) = abi.Slot{BufIdx: spare[0], Len: 60, Flags: abi.NSBufChanged | abi.NSReport, Ptr: 77}
	tx.SetHead(1)
	tx.Sync(t)
	rx.Sync(t)
	if got, want := *rx.Slot(0), (abi.Slot{BufIdx: spare[0], Len: 60,
		Flags: abi.NSBufChanged | abi.NSReport, Ptr: 77}); got != want {
		t.Errorf("received %+v, want %+v", got, want)
	}
	if got := tx.Slot(0).Flags; got != abi.NSReport {
		t.Errorf("flags %#x stay with the sender", got)
	}

	// So does the receiver: the sender gets that one back.
	*rx.Slot(0) = abi.Slot{BufIdx: spare[1], Len: 9, Flags: abi.NSBufChanged, Ptr: 78}
	rx.SetHead(1)
	rx.Sync(t)
	if got, want := *tx.Slot(0), (abi.Slot{BufIdx: spare[1], Len: 9, Flags: abi.NSBufChanged,
		Ptr: 78}); got != want {
		t.Errorf("came back %+v, want %+v", got, want)
	}
	if got := rx.Slot(0).Flags; got != 0 {
		t.Errorf("flags %#x stay with the receiver", got)
	}
	region.FreeBuf(mine)
	region.FreeBuf(spare[0]) // spare[1] is in the ring, which frees it
}

func TestSlotsPassUnchecked(t *testing.T) {
	_, tx, rx := oneWay(t, 8)
	mine := tx.Slot(0).BufIdx
	for _, s := range []abi.Slot{{BufIdx: 1<<32 - 1, Len: 60}, {BufIdx: 0, Len: 4000},
		{BufIdx: mine, Len: 0xffff, Flags: 0xff4e, Ptr: 1<<64 - 1}} {
		i := tx.Shared.Head.Load()
		*tx.Slot(i) = s
		tx.SetHead(tx.Next(i))
		tx.Sync(t)
		rx.Sync(t)
		if got := *rx.Slot(i); got != s {
			t.Errorf("received %+v, want %+v", got, s)
		}
	}
	for i := range tx.Slots() { // every buffer back where it was
		tx.Slot(uint32(i)).BufIdx, rx.Slot(uint32(i)).BufIdx = mine+uint32(i), mine+uint32(i)
	}
}

func TestContentsSurviveCloseAndReopen(t *testing.T) {
	for _, c := range []struct {
		name         string
		close, other func(tx, rx *kringtest.Ring) *kringtest.Ring
	}{
		{"receiver", func(_, rx *kringtest.Ring) *kringtest.Ring { return rx },
			func(tx, _ *kringtest.Ring) *kringtest.Ring { return tx }},
		{"sender", func(tx, _ *kringtest.Ring) *kringtest.Ring { return tx },
			func(_, rx *kringtest.Ring) *kringtest.Ring { return rx }},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, tx, rx := oneWay(t, 8)
			push(t, tx, 0, 5)
			tx.Sync(t)
			rx.Sync(t)
			pull(t, rx, 0, 2)
			rx.Sync(t)

			r := c.close(tx, rx)
			r.Close()
			c.other(tx, rx).Sync(t)
			r.Reopen(t)

			rx.Sync(t)
			wantMine(t, rx, "after the other end was closed", 3)
			pull(t, rx, 2, 3)
			rx.Sync(t)
			tx.Sync(t)
			wantMine(t, tx, "all is read", 7)
			push(t, tx, 5, 7)
			tx.Sync(t)
			rx.Sync(t)
			pull(t, rx, 5, 7)
		})
	}
}

func TestASlaveThatOpensLaterFindsWhatWasSent(t *testing.T) {
	region := kringtest.NewRegion(t, 64)
	p := pipe.New(region, "x{1", "x}1", port.Shape{TxRings: 1, RxRings: 1, TxSlots: 16, RxSlots: 16})
	tx := kringtest.Open(t, region, p.Master, abi.DirTx, 0)
	push(t, tx, 0, 15)
	tx.Sync(t)
	wantMine(t, tx, "full", 0)
	rx := kringtest.Open(t, region, p.Slave, abi.DirRx, 0)
	rx.Sync(t)
	pull(t, rx, 0, 15)
	tx.Close()
	rx.Close()

	// When both ends are closed, the contents are gone.
	rx.Reopen(t)
	rx.Sync(t)
	wantMine(t, rx, "after both ends were closed", 0)
	rx.Close()
}

// Frames travel around two pipes by swapping, and are left in all kinds of places: every buffer
// comes back.
func TestSwappedBuffersComeBack(t *testing.T) {
	for seed := range uint64(30) {
		region := kringtest.NewRegion(t, 512)
		a := pipe.New(region, "a{1", "a}1", port.Shape{TxRings: 1, RxRings: 1, TxSlots: 16, RxSlots: 16})
		b := pipe.New(region, "b{1", "b}1", port.Shape{TxRings: 1, RxRings: 1, TxSlots: 8, RxSlots: 8})
		atx, arx := kringtest.Open(t, region, a.Master, abi.DirTx, 0),
			kringtest.Open(t, region, a.Slave, abi.DirRx, 0)
		btx, brx := kringtest.Open(t, region, b.Master, abi.DirTx, 0),
			kringtest.Open(t, region, b.Slave, abi.DirRx, 0)
		rings := []*kringtest.Ring{atx, arx, btx, brx}
		rnd := rand.New(rand.NewPCG(seed, 3))
		sent, received := 0, 0
		for range 300 {
			switch rnd.IntN(3) {
			case 0:
				sent = pushSome(atx, sent, rnd.IntN(16))
			case 1:
				swapAll(arx, btx, rnd.IntN(8))
			case 2:
				received = pullSome(t, seed, brx, received, rnd.IntN(8))
			}
			rings[rnd.IntN(4)].Sync(t)
		}
		if received < 20 {
			t.Errorf("seed %d: only %d of %d frames came through", seed, received, sent)
		}
		rnd.Shuffle(4, func(i, j int) { rings[i], rings[j] = rings[j], rings[i] })
		for _, r := range rings {
			r.Close()
		}
	}
}

// pushSome sends as many frames as fit, at most the given number. It returns the number of the next
// frame.
func pushSome(tx *kringtest.Ring, next, most int) int {
	for range most {
		if tx.Push(frame(next), 0) {
			next++
		}
	}
	return next
}

// pullSome receives the frames that are there, at most the given number, and tests their order. It
// returns the number of the next frame.
func pullSome(t *testing.T, seed uint64, rx *kringtest.Ring, next, most int) int {
	t.Helper()
	for range most {
		got, _, ok := rx.Pull()
		if ok && string(got) != string(frame(next)) {
			t.Fatalf("seed %d: received %q, want frame %d", seed, got, next)
		}
		if ok {
			next++
		}
	}
	return next
}

// swapAll moves up to most frames on without copying.
func swapAll(rx, tx *kringtest.Ring, most int) {
	for range most {
		i, k := rx.Shared.Head.Load(), tx.Shared.Head.Load()
		if i == rx.Shared.Tail.Load() || k == tx.Shared.Tail.Load() {
			return
		}
		s, d := rx.Slot(i), tx.Slot(k)
		s.BufIdx, d.BufIdx = d.BufIdx, s.BufIdx
		d.Len, d.Flags, s.Flags = s.Len, abi.NSBufChanged, abi.NSBufChanged
		rx.SetHead(rx.Next(i))
		tx.SetHead(tx.Next(k))
	}
}

// model is one direction of a pipe, slot by slot.
type model struct {
	tx, rx         []abi.Slot
	txHead, txTail int // of the program
	rxHead, rxTail int
	// The framework's: the next slot to pass on, the end of the last whole packet, the next to give
	// back.
	sent, complete, rd int
}

func newModel(tx, rx []abi.Slot) *model {
	return &model{tx: slices.Clone(tx), rx: slices.Clone(rx), txTail: len(tx) - 1}
}

func (m *model) next(i int) int { return (i + 1) % len(m.tx) }

func (m *model) txSync() {
	for ; m.sent != m.txHead; m.sent = m.next(m.sent) {
		m.rx[m.sent] = m.tx[m.sent]
		m.tx[m.sent].Flags &^= abi.NSBufChanged
		if m.rx[m.sent].Flags&abi.NSMoreFrag == 0 {
			m.complete = m.next(m.sent)
		}
	}
	m.txTail = (m.rd + len(m.tx) - 1) % len(m.tx)
}

func (m *model) rxSync() {
	for ; m.rd != m.rxHead; m.rd = m.next(m.rd) {
		m.tx[m.rd] = m.rx[m.rd]
		m.rx[m.rd].Flags &^= abi.NSBufChanged
	}
	m.rxTail = m.complete
}

// send writes random slots to the model and to the ring, at most the given number, and moves both
// heads.
func (m *model) send(tx *kringtest.Ring, rnd *rand.Rand, most int) {
	for ; most > 0 && m.txHead != m.txTail; most-- {
		s := abi.Slot{BufIdx: m.tx[m.txHead].BufIdx, Len: uint16(rnd.Uint32()),
			Flags: uint16(rnd.Uint32()) & 0xff6f, Ptr: rnd.Uint64()}
		if rnd.IntN(2) == 0 {
			s.Flags &^= abi.NSMoreFrag
		}
		m.tx[m.txHead], *tx.Slot(uint32(m.txHead)) = s, s
		m.txHead = m.next(m.txHead)
		tx.SetHead(uint32(m.txHead))
	}
}

// release gives received slots of the model and of the ring back, at most the given number, some
// with NS_BUF_CHANGED.
func (m *model) release(rx *kringtest.Ring, rnd *rand.Rand, most int) {
	for ; most > 0 && m.rxHead != m.rxTail; most-- {
		m.rx[m.rxHead].Flags |= uint16(rnd.IntN(2))
		*rx.Slot(uint32(m.rxHead)) = m.rx[m.rxHead]
		m.rxHead = m.next(m.rxHead)
		rx.SetHead(uint32(m.rxHead))
	}
}

func TestPipeDoesWhatTheModelDoes(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		n := 2 + rnd.IntN(12)
		region, tx, rx := oneWay(t, uint32(n))
		bufs := buffersIn(tx.Slots())
		m := newModel(tx.Slots(), rx.Slots())
		for step := range 600 {
			switch rnd.IntN(6) {
			case 0, 1:
				m.send(tx, rnd, rnd.IntN(n))
			case 2:
				m.release(rx, rnd, rnd.IntN(n))
			case 3:
				m.txSync()
				tx.Sync(t)
			case 4:
				m.rxSync()
				rx.Sync(t)
			case 5: // an end is closed and opened again
				r := []*kringtest.Ring{tx, rx}[rnd.IntN(2)]
				r.Close()
				r.Reopen(t)
			}
			if !slices.Equal(tx.Slots(), m.tx) || !slices.Equal(rx.Slots(), m.rx) ||
				int(tx.Shared.Tail.Load()) != m.txTail || int(rx.Shared.Tail.Load()) != m.rxTail {
				t.Fatalf("seed %d, step %d: tails %d and %d, want %d and %d\ntx %v\nwant %v\nrx %v\nwant %v",
					seed, step,
					tx.Shared.Tail.Load(), rx.Shared.Tail.Load(), m.txTail, m.rxTail, tx.Slots(), m.tx, rx.Slots(),
					m.rx)
			}
		}
		if got := buffersIn(tx.Slots()); !maps.Equal(got, bufs) {
			t.Errorf("seed %d: buffers %v have become %v", seed, bufs, got)
		}
		tx.Close()
		rx.Close()
		if !region.Usage().Full() {
			t.Errorf("seed %d: left behind: %+v", seed, region.Usage())
		}
	}
}

func buffersIn(slots []abi.Slot) map[uint32]int {
	m := map[uint32]int{}
	for _, s := range slots {
		m[s.BufIdx]++
	}
	return m
}
