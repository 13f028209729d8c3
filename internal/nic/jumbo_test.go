//go:build linux

package nic_test

import (
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
)

// newJumboPair makes a pair whose interfaces have an MTU of 9000 bytes, with buffers of that size.
func newJumboPair(t *testing.T, bufSize int) *pair {
	t.Helper()
	p := newPair(t, 1)
	inNS(t, p.na, "va", func(l netlink.Link) error { return netlink.LinkSetMTU(l, 9000) })
	inNS(t, p.nb, "vb", func(l netlink.Link) error { return netlink.LinkSetMTU(l, 9000) })
	f, err := embed.New(embed.Config{BufSize: bufSize, Buffers: 16384})
	if err != nil {
		t.Fatal(err)
	}
	p.f = f
	t.Cleanup(func() {
		if u := f.Usage(); !u.Full() {
			t.Errorf("objects are missing at the end: %+v", u)
		}
		f.Close()
	})
	return p
}

// A frame that is longer than a buffer takes several slots, in both directions. The rings wrap in
// the middle of frames.
func TestJumboFrames(t *testing.T) {
	for _, size := range []int{2048, 4096} {
		p := newJumboPair(t, size)
		a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
		pump(t, a, b, 3000, 9014, 60, 2048, 2049, 3840, 3841, 4096, 4097, 1514)
		pump(t, b, a, 3000, 9014)
		if d := p.drops("va"); len(d) > 0 {
			t.Errorf("dropped %v", d)
		}
		a.Close()
		b.Close()
	}
}

// A bridge passes frames of several slots on in their buffers, although programs hand over slots,
// not frames.
func TestJumboSwap(t *testing.T) {
	p := newJumboPair(t, 2048)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	x, y := p.open(p.na, "x{1"), p.open(p.na, "x}1")
	for seq := range 500 {
		want := frame(seq, 9014)
		if a.Tx()[0].Send(want) != 1 {
			t.Fatal("no room")
		}
		a.TxSync()
		b.Poll(t.Context(), netmap.In, time.Second)
		move(b.Rx()[0], x.Tx()[0])
		x.TxSync()
		b.RxSync()
		y.RxSync()
		var got []byte
		for _, f := range y.Rx()[0].Frames() {
			got = append(got, f...)
		}
		y.RxSync()
		if !slices.Equal(got, want) {
			t.Fatalf("frame %d: %d bytes, want %d", seq, len(got), len(want))
		}
	}
	for _, port := range []*netmap.Port{a, b, x, y} {
		port.Close()
	}
}

func (p *pair) drops(name string) map[string]uint64 {
	for _, s := range p.f.Stats() {
		if s.Name == name {
			return s.Drops
		}
	}
	return nil
}

// put writes slots of that many bytes into a tx ring as one packet. If open is set, the packet is
// incomplete.
func put(t *testing.T, r *netmap.Ring, slots, size int, open bool) {
	t.Helper()
	w := r.Window()
	if w.Len() < slots {
		t.Fatalf("room for %d slots, want %d", w.Len(), slots)
	}
	for i := range slots {
		copy(w.Buf(), frame(0, 60))
		w.SetLen(size)
		if open || i < slots-1 {
			w.Slot().Flags |= abi.NSMoreFrag
		}
		w.Next()
	}
	w.Commit()
}

// awaitRoom waits until all slots of a tx ring have come back.
func awaitRoom(t *testing.T, p *netmap.Port) {
	t.Helper()
	r := p.Tx()[0]
	for end := time.Now().Add(5 * time.Second); r.Len() < r.NumSlots()-1; p.TxSync() {
		if time.Now().After(end) {
			t.Fatalf("%d of %d slots come back", r.Len(), r.NumSlots()-1)
		}
	}
}

// The end of a frame may be handed over by a later sync than its start. The frame is sent then, and
// whole.
func TestFrameInPieces(t *testing.T) {
	p := newJumboPair(t, 2048)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	for lap := range 400 { // 5 slots each: the ring wraps
		r, want := a.Tx()[0], frame(lap, 9014)
		w := r.Window()
		for rest := want; len(rest) > 0; {
			n := copy(w.Buf(), rest)
			w.SetLen(n)
			if rest = rest[n:]; len(rest) > 0 {
				w.Slot().Flags |= abi.NSMoreFrag
			}
			w.Next()
			w.Commit()
			a.TxSync()
			if len(rest) > 0 {
				if b.RxSync(); b.Rx()[0].Len() > 0 {
					t.Fatal("a part of a frame has arrived")
				}
			}
		}
		b.Poll(t.Context(), netmap.In, time.Second)
		var got []byte
		for _, f := range b.Rx()[0].Frames() {
			got = append(got, f...)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("frame %d: %d bytes, want %d", lap, len(got), len(want))
		}
	}
	awaitRoom(t, a)
	put(t, a.Tx()[0], 3, 60, true)
	a.TxSync()
	a.Close() // with an incomplete frame: newPair checks that its buffers come back
	b.Close()
}

// Frames with too many slots or invalid slots are dropped as a whole, and counted once. The frames
// after them are sent.
func TestBadFrames(t *testing.T) {
	p := newJumboPair(t, 4096)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	r := a.Tx()[0]
	put(t, r, 17, 500, false)  // just right
	put(t, r, 18, 500, false)  // too many
	put(t, r, 17, 4096, false) // too long
	put(t, r, 2, 13, false)    // no room for addresses
	a.TxSync()
	awaitRoom(t, a) // so that slots come back in order
	w := r.Window()
	for _, spoil := range []func(*abi.Slot){
		func(s *abi.Slot) { s.Len = 0 },
		func(s *abi.Slot) { s.Len = 4097 },
		func(s *abi.Slot) { s.BufIdx = 1 << 30 },
	} {
		saved := [2]abi.Slot{*r.Slot(w.Index()), *r.Slot(w.Index() + 1)}
		at := w.Index()
		w.SetLen(60)
		w.Slot().Flags |= abi.NSMoreFrag
		w.Next()
		w.SetLen(60)
		spoil(w.Slot())
		w.Next()
		w.Commit()
		a.TxSync()
		*r.Slot(at), *r.Slot(at + 1) = saved[0], saved[1]
	}
	awaitRoom(t, a)
	b.Poll(t.Context(), netmap.In, time.Second)
	length := 0
	for _, f := range b.Rx()[0].Frames() {
		length += len(f)
	}
	if length != 17*500 {
		t.Errorf("%d bytes arrive, want one frame of 8500", length)
	}
	want := map[string]uint64{"too-many-fragments": 1, "bad-length": 3, "too-short": 1,
		"bad-buffer": 1}
	for why, n := range want {
		if d := p.drops("va"); d[why] != n || len(d) != len(want) {
			t.Errorf("dropped %v, want %v", d, want)
			break
		}
	}
	pump(t, a, b, 2000, 60, 9014)
	a.Close()
	b.Close()
}

// The slots of a frame without end come back, and leave room for other frames.
func TestEndlessFrame(t *testing.T) {
	p := newJumboPair(t, 2048)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	r := a.Tx()[0]
	for range 5 {
		put(t, r, r.NumSlots()-1, 500, true)
		a.TxSync()
		awaitRoom(t, a)
	}
	put(t, r, 1, 60, false) // its end
	a.TxSync()
	awaitRoom(t, a)
	if d := p.drops("va"); d["too-many-fragments"] != 1 {
		t.Errorf("dropped %v, want 1 of too many fragments", d)
	}
	pump(t, a, b, 1000, 60, 9014)
	a.Close()
	b.Close()
}
