//go:build linux

package nic

import (
	"math/rand/v2"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Whatever a program writes into its slots, the kernel gets no invalid or unfit buffer, and no
// buffer twice to receive into. Every slot that was handed over comes back, and frames that were
// not sent are counted.
func TestHostileSlots(t *testing.T) {
	o := newOwn(t, 2112)
	rng := rand.New(rand.NewPCG(1, 2))
	buffers := o.tx.Bufs().Total()
	sent, handed := uint64(0), uint64(0)
	for range 500 {
		n := rng.Uint32N(o.tx.N)
		for _, k := range o.tx.Mine()[:min(n, uint32(len(o.tx.Mine())))] {
			o.tx.Slot(k).SetWord(hostileWord(rng, buffers))
			o.tx.SetHead(o.tx.Next(k))
			handed++
		}
		o.tx.Sync(t)
		sent += uint64(o.kernel.Leave())
		o.tx.Sync(t)
		if mine := uint32(len(o.tx.Mine())); mine != o.tx.N-1 {
			t.Fatalf("%d slots of %d came back", mine, o.tx.N-1)
		}

		o.kernel.Arrive(rng.Uint32N(ownBatch), ownLength)
		o.rx.Sync(t)
		for _, k := range o.rx.Mine() {
			if w := o.rx.Slot(k).Word(); !o.rx.Bufs().Valid(w.BufIdx()) || w.Len() != ownLength {
				t.Fatalf("received slot %d has buffer %d and %d bytes", k, w.BufIdx(), w.Len())
			}
			if rng.Uint32N(8) == 0 {
				o.rx.Slot(k).SetWord(hostileWord(rng, buffers))
			}
			o.rx.SetHead(o.rx.Next(k))
		}
		o.rx.Sync(t)
	}
	dropped := uint64(0)
	for i := range o.tx.Drops {
		dropped += o.tx.Drops[i].Load()
	}
	if sent == 0 || dropped == 0 || sent+dropped != handed {
		t.Errorf("%d slots were handed over, %d sent and %d dropped", handed, sent, dropped)
	}
	if o.rx.Drops[kring.BadBuffer].Load() == 0 {
		t.Error("no bad buffer was handed back")
	}
	checkOwn(t, o, buffers)
}

// checkOwn checks what the kernel was given.
func checkOwn(t *testing.T, o *own, buffers uint32) {
	t.Helper()
	for buf, times := range o.kernel.Filled() {
		if times > 1 || !o.rx.Bufs().Valid(buf) || buf >= buffers {
			t.Errorf("the kernel has buffer %d of %d, %d times", buf, buffers, times)
		}
	}
}

// hostileWord returns the word of a slot in which each field is either right or random. Each slot
// is one frame.
func hostileWord(rng *rand.Rand, buffers uint32) abi.SlotWord {
	some, kind := rng.Uint32(), rng.IntN(4)
	buf := []uint32{some % buffers, some % 4, buffers - 2 + some%4, some}[kind]
	length := []uint16{ownLength, uint16(some % 20), 2040 + uint16(some%16), uint16(some)}[rng.IntN(4)]
	return abi.MakeSlotWord(buf, length, uint16(rng.Uint32())&^abi.NSMoreFrag)
}

// Places of buffers: those that the kernel may be given, those that come back, and invalid numbers.
func TestHeld(t *testing.T) {
	h := newHeld(8)
	h[5] = inside
	h.fit(func(buf uint32) bool { return buf >= 2 && buf != 7 })
	want := held{unfit, unfit, outside, outside, outside, inside, outside, unfit}
	for i := range want {
		if h.of(uint32(i)) != want[i] {
			t.Errorf("buffer %d is at %d, want %d", i, h[i], want[i])
		}
	}
	for _, buf := range []uint32{8, 1 << 31, 1<<32 - 1} {
		if h.of(buf) != unfit || h.remove(buf) != unfit {
			t.Errorf("buffer %d is there", buf)
		}
	}
	if n := h.count(inside); n != 1 {
		t.Errorf("the kernel has %d buffers, want 1", n)
	}
	h.take(inside, strayed, func(uint32) {})
	if was := h.remove(5); was != strayed || h[5] != outside {
		t.Errorf("buffer 5 came back from %d and is at %d", was, h[5])
	}
	if was := h.remove(5); was != outside {
		t.Errorf("buffer 5 came back twice: from %d", was)
	}
}
