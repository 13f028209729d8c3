//go:build linux

package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// A switch sends frames for an unknown address to all ports, and frames for a known address to its
// port only.
func valeUnicastAndBroadcast(w *world) {
	a, b, c := w.open("vale0:a"), w.open("vale0:b"), w.open("vale0:c")
	other := w.open("vale1:a")
	w.send(a, 0, frame(1, 0, "to all"))
	w.wantTexts(b, "to all")
	w.wantTexts(c, "to all")
	w.send(b, 0, frame(2, 1, "back"))
	w.wantTexts(a, "back")
	w.wantTexts(c)
	w.send(a, 0, frame(1, 2, "known"), frame(1, 3, "unknown"), frame(1, 1, "to myself"))
	w.wantTexts(b, "known", "unknown")
	w.wantTexts(c, "unknown")
	w.wantTexts(a)
	w.wantTexts(other)
}

func valeLongPackets(w *world) {
	a, b := w.open("vale0:a"), w.open("vale0:b")
	long := frame(1, 0, strings.Repeat("0123456789", 500))
	w.send(a, 0, long)
	w.must(b.RxSync())
	var got []byte
	var flags []uint16
	for slot, f := range b.Rx()[0].Frames() {
		got = append(got, f...)
		flags = append(flags, slot.Flags)
	}
	if !bytes.Equal(got, long) {
		w.Errorf("%d bytes arrive, want %d", len(got), len(long))
	}
	const slots, more = 3 << abi.NSPortShift, abi.NSMoreFrag
	if want := []uint16{slots | more, slots | more, slots}; !slices.Equal(flags, want) {
		w.Errorf("the slots' flags are %#x, want %#x", flags, want)
	}
}

// A receiver that does not read loses frames; the sender does not wait for it.
func valeFullReceiver(w *world) {
	a, b := w.open("vale0:a", netmap.Slots(64, 64)), w.open("vale0:b", netmap.Slots(16, 16))
	for i := range 40 {
		w.send(a, 0, frame(1, 0, fmt.Sprint(i)))
	}
	if got := w.poll(a, netmap.Out); got != netmap.Out {
		w.Errorf("the sender's poll returns %#x", got)
	}
	w.wantTexts(b, numbers(0, 15)...)
	w.send(a, 0, frame(1, 0, "again"))
	w.wantTexts(b, "again")
}

func pipeBothWays(w *world) {
	a, b := w.open("x{1", netmap.Slots(32, 32)), w.open("x}1")
	for round := range 10 { // several times around the ring
		from, to := round*10, round*10+10
		for i := from; i < to; i++ {
			w.send(a, 0, frame(1, 2, fmt.Sprint(i)))
			w.send(b, 0, frame(2, 1, fmt.Sprint(-i)))
		}
		w.wantTexts(b, numbers(from, to)...)
		var want []string
		for i := from; i < to; i++ {
			want = append(want, fmt.Sprint(-i))
		}
		w.wantTexts(a, want...)
	}
}

func pipeOfSeveralRings(w *world) {
	a := w.open("x{1", netmap.Rings(3, 2), netmap.Slots(8, 16))
	b := w.open("x}1")
	if len(a.Tx()) != 3 || len(a.Rx()) != 2 || len(b.Tx()) != 2 || len(b.Rx()) != 3 {
		w.Fatalf("%v, %v", a, b)
	}
	if a.Tx()[0].NumSlots() != 8 || b.Rx()[2].NumSlots() != 8 || a.Rx()[0].NumSlots() != 16 ||
		b.Tx()[1].NumSlots() != 16 {
		w.Error("the ends do not mirror each other")
	}
	for i, r := range a.Tx() {
		if r.ID() != i || !r.IsTx() || b.Rx()[i].ID() != i || b.Rx()[i].IsTx() {
			w.Errorf("ring %d has number %d", i, r.ID())
		}
		w.send(a, i, frame(1, 2, fmt.Sprint("ring ", i)))
	}
	w.wantTexts(b, "ring 0", "ring 1", "ring 2")
}

// One slot always stays with the framework. There is room again after the other end has released
// slots.
func pipeBlocks(w *world) {
	a, b := w.open("x{1", netmap.Slots(16, 16)), w.open("x}1")
	for i := range 15 {
		w.send(a, 0, frame(1, 2, fmt.Sprint(i)))
	}
	if n := a.Tx()[0].Len(); n != 0 {
		w.Errorf("a full ring has %d slots left", n)
	}
	got, err := a.Poll(w.Context(), netmap.Out, 0)
	if got != 0 || err != nil {
		w.Errorf("poll of a full pipe returns %#x, %v", got, err)
	}
	w.wantTexts(b, numbers(0, 15)...)
	if got := w.poll(a, netmap.Out); got != netmap.Out || a.Tx()[0].Len() != 15 {
		w.Errorf("poll returns %#x, and there are %d slots, want 15", got, a.Tx()[0].Len())
	}
}

func pipeOpensLate(w *world) {
	a := w.open("x{1")
	w.send(a, 0, frame(1, 2, "early"))
	b := w.open("x}1")
	w.wantTexts(b, "early")
	w.send(a, 0, frame(1, 2, "left behind"))
	w.must(b.Close())
	w.wantTexts(w.open("x}1"), "left behind")
}

// A ring larger than a ring object takes several.
func pipeOfLargeRings(w *world) {
	a, b := w.open("x{1", netmap.Slots(4096, 64)), w.open("x}1")
	r := a.Tx()[0]
	if r.NumSlots() != 4096 {
		w.Fatalf("%d slots, want 4096", r.NumSlots())
	}
	for i := range 4095 {
		if r.Send(frame(1, 2, fmt.Sprint(i))) != 1 {
			w.Fatalf("no room after %d frames", i)
		}
	}
	w.must(a.TxSync())
	w.wantTexts(b, numbers(0, 4095)...)
}

// Frames pass from one pipe to another in the buffers in which they arrived.
func swapBetweenPorts(w *world) {
	source, in := w.open("left{1", netmap.Slots(32, 32)), w.open("left}1")
	out, sink := w.open("right{1", netmap.Slots(32, 32)), w.open("right}1")
	if !in.SameRegion(out) {
		w.Fatal("two ports are not in the same region")
	}
	for round := range 20 {
		for i := range 20 {
			w.send(source, 0, frame(1, 2, fmt.Sprint(round*20+i)))
		}
		w.must(in.RxSync())
		carried := map[uint32]bool{}
		rx, tx := in.Rx()[0].Window(), out.Tx()[0].Window()
		for rx.Len() > 0 && tx.Len() > 0 {
			carried[rx.Slot().BufIdx] = true
			netmap.Swap(tx.Slot(), rx.Slot())
			rx.Next()
			tx.Next()
		}
		rx.Commit()
		tx.Commit()
		w.must(out.TxSync())
		w.must(in.RxSync())
		w.must(source.TxSync())
		w.must(sink.RxSync())
		for slots := sink.Rx()[0].Window(); slots.Len() > 0; slots.Next() {
			if !carried[slots.Slot().BufIdx] {
				w.Error("a frame was copied")
			}
		}
		w.wantTexts(sink, numbers(round*20, round*20+20)...)
		w.must(out.TxSync())
	}
}

// Buffers may be swapped between all ports of a framework, of any kind and opened in any order.
func oneRegion(w *world) {
	a, b := w.open("vale0:a"), w.open("x{1")
	if !a.SameRegion(b) || !b.SameRegion(a) || a.Request().MemID != b.Request().MemID {
		w.Error("a switch's port and a pipe are in different regions")
	}
	w.must(a.Close())
	c := w.open("vale0:c")
	if !b.SameRegion(c) {
		w.Error("a port that was opened later is in another region")
	}
	w.send(b, 0, frame(1, 2, "still there"))
	w.wantTexts(w.open("x}1"), "still there")
	w.must(b.Close())
	w.must(c.Close())
	d := w.open("x{2")
	w.send(d, 0, frame(1, 2, "mapped anew"))
	w.wantTexts(w.open("x}2"), "mapped anew")

	other := (*world)(nil)
	if strings.Contains(w.Name(), "/embedded/") {
		other = embedded(w.T)
	} else {
		other = device(w.T)
	}
	if d.SameRegion(other.open("x{2")) {
		w.Error("ports of two frameworks are in the same region")
	}
}
