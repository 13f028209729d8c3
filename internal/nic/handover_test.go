//go:build linux

package nic_test

import (
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// A frame goes from a NIC through a pipe to another NIC without being copied, and every buffer is
// back at the end.
func TestHandOverThroughPipe(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	in, out := p.open(p.na, "netmap:q{1"), p.open(p.na, "netmap:q}1")
	const count = 3000
	got := 0
	for sent := 0; got < count; {
		for sent < count && sent-got < 100 && a.Tx()[0].Send(frame(sent, 200)) == 1 {
			sent++
		}
		a.TxSync()
		if _, err := b.Poll(t.Context(), netmap.In, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		move(b.Rx()[0], in.Tx()[0])
		in.TxSync()
		out.RxSync()
		move(out.Rx()[0], b.Tx()[0])
		b.TxSync()
		a.RxSync()
		for _, f := range a.Rx()[0].Frames() {
			if string(f) != string(frame(got, 200)) {
				t.Fatalf("frame %d is wrong", got)
			}
			got++
		}
	}
	for _, port := range []*netmap.Port{a, b, in, out} {
		port.Close()
	}
}

// A switch copies, so a NIC's buffers stay with the NIC.
func TestHandOverToSwitch(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	in, out := p.open(p.na, "vale9:in"), p.open(p.na, "vale9:out")
	const count = 1000
	got := 0
	for sent := 0; got < count; {
		for sent < count && sent-got < 100 && a.Tx()[0].Send(frame(sent, 777)) == 1 {
			sent++
		}
		a.TxSync()
		if _, err := b.Poll(t.Context(), netmap.In, 100*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for _, f := range b.Rx()[0].Frames() {
			in.Tx()[0].Send(f)
		}
		in.TxSync()
		out.RxSync()
		for _, f := range out.Rx()[0].Frames() {
			if string(f) != string(frame(got, 777)) {
				t.Fatalf("frame %d is wrong", got)
			}
			got++
		}
	}
	for _, port := range []*netmap.Port{a, b, in, out} {
		port.Close()
	}
}

// Changes and requests for reports in slots are acknowledged by clearing their flags.
func TestSlotFlags(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	r := a.Tx()[0]
	w := r.Window()
	w.SetLen(copy(w.Buf(), frame(0, 60)))
	w.Slot().Flags = abi.NSReport | abi.NSBufChanged
	w.Next()
	w.Commit()
	if err := a.TxSync(); err != nil {
		t.Fatal(err)
	}
	if f := r.Slot(0).Flags; f != 0 {
		t.Fatalf("flags are %#x after the sync", f)
	}
	before := time.Now().Add(-time.Millisecond)
	if got, err := b.Poll(t.Context(), netmap.In, time.Second); got != netmap.In || err != nil {
		t.Fatal(got, err)
	}
	if at := b.Rx()[0].Time(); at.Before(before) || at.After(time.Now()) {
		t.Fatalf("the frame came at %v, not after %v", at, before)
	}
	a.Close()
	b.Close()
}

// A slot that cannot be sent is dropped and counted, and its buffer stays with the program.
func TestBadSlots(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	r := a.Tx()[0]
	spare := r.Slot(1).BufIdx
	w := r.Window()
	for i, bad := range []abi.Slot{{Len: 60}, {BufIdx: 1 << 30, Len: 60}, {BufIdx: spare, Len: 3000},
		{BufIdx: spare, Len: 13}} {
		saved := *w.Slot()
		*w.Slot() = bad
		w.Next()
		w.Commit()
		a.TxSync()
		*r.Slot(uint32(i)) = saved
	}
	pump(t, a, b, 3000, 60)
	drops := map[string]uint64{}
	for _, s := range p.f.Stats() {
		if s.Name == "va" {
			drops = s.Drops
		}
	}
	for why, want := range map[string]uint64{"bad-buffer": 2, "bad-length": 1, "too-short": 1} {
		if drops[why] != want {
			t.Errorf("%d frames dropped as %s, want %d: %v", drops[why], why, want, drops)
		}
	}
	a.Close()
	b.Close()
}

// Frames that the kernel loses because nobody reads are counted.
func TestOverflowIsCounted(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	for sent := 0; sent < 5000; {
		for range 64 {
			sent += a.Tx()[0].Send(frame(sent, 60))
		}
		a.TxSync()
	}
	var lost uint64
	for _, s := range p.f.Stats() {
		if s.Name == "vb" && s.Kind == "nic" && s.Detail == "native copy" {
			for _, n := range s.Drops {
				lost += n
			}
		}
	}
	if lost == 0 {
		t.Errorf("5000 frames into a ring of %d, and no loss is counted: %v", b.Rx()[0].NumSlots(),
			p.f.Stats())
	}
	a.Close()
	b.Close()
}
