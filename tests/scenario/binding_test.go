//go:build linux

package scenario

import (
	"slices"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// A program keeps a frame, and puts an extra buffer into its slot.
func extraBuffers(w *world) {
	before := w.usage().BufFree
	a, b := w.open("x{1", netmap.Slots(16, 16)), w.open("x}1", netmap.ExtraBufs(20))
	spare := b.TakeExtra()
	if b.Request().ExtraBufs != 20 || len(spare) != 20 {
		w.Fatalf("%d extra buffers granted and %d in the list, want 20", b.Request().ExtraBufs,
			len(spare))
	}
	if len(b.TakeExtra()) != 0 {
		w.Error("the same buffers can be taken twice")
	}
	sorted := slices.Clone(spare)
	slices.Sort(sorted)
	if len(slices.Compact(sorted)) != 20 {
		w.Errorf("a buffer is in the list twice: %v", spare)
	}
	w.send(a, 0, frame(1, 2, "to be kept"))
	w.must(b.RxSync())
	win := b.Rx()[0].Window()
	slot, n := win.Slot(), len(win.Frame())
	kept := slot.BufIdx
	slot.BufIdx, slot.Flags = spare[0], slot.Flags|abi.NSBufChanged
	win.Next()
	win.Commit()
	w.must(b.RxSync())
	w.must(a.TxSync())
	for i := range 40 {
		w.send(a, 0, frame(1, 2, strings.Repeat("x", i)))
		w.texts(b)
		w.must(a.TxSync())
	}
	if got := string(b.Buf(kept)[14:n]); got != "to be kept" {
		w.Errorf("the frame has become %q", got)
	}
	b.ReturnExtra(append(spare[1:], kept)...)
	w.must(b.Close())
	w.must(a.Close())
	w.eventually("all buffers are free again", func() bool { return w.usage().BufFree == before })
}

// Extra buffers that a program does not return are free again when the framework is empty.
func extraBuffersLost(w *world) {
	p := w.open("vale0:a", netmap.ExtraBufs(100))
	p.TakeExtra()
	p.ReturnExtra(0, 1, 1<<31) // no buffers
	w.must(p.Close())
	w.eventually("everything is free again", func() bool { return w.usage().Full() })
	most := w.open("vale0:a", netmap.ExtraBufs(1<<30))
	if n := most.Request().ExtraBufs; n == 0 || n > buffers {
		w.Errorf("%d extra buffers are granted to a request for too many", n)
	}
}

func exclusive(w *world) {
	a := w.open("vale0:a/x")
	_, err := w.tryOpen("vale0:a")
	w.wantErrno("next to an exclusive port", err, syscall.EBUSY)
	_, err = w.tryOpen("vale0:a", netmap.Exclusive())
	w.wantErrno("two exclusive ports", err, syscall.EBUSY)
	w.open("vale0:b") // another port of the switch is free
	for range 50 {
		w.must(a.Close())
		a = w.open("vale0:a", netmap.Exclusive()) // at once, without EBUSY
	}
	w.must(a.Close())
	w.open("vale0:a")
	_, err = w.tryOpen("vale0:a/x")
	w.wantErrno("exclusive use of a port in use", err, syscall.EBUSY)

	// The ends of a pipe are two ports.
	w.open("x{1/x")
	w.open("x}1/x")
}

func oneRing(w *world) {
	all := w.open("x{1", netmap.Rings(3, 3), netmap.Slots(16, 16))
	b := w.open("x}1-2")
	if len(b.Rx()) != 1 || b.Rx()[0].ID() != 2 || len(b.Tx()) != 1 || b.Tx()[0].ID() != 2 {
		w.Fatalf("%v", b)
	}
	w.send(all, 0, frame(1, 2, "ring 0"))
	w.send(all, 2, frame(1, 2, "ring 2"))
	w.wantTexts(b, "ring 2")
	w.wantTexts(w.open("x}1-0"), "ring 0")
	_, err := w.tryOpen("x}1-3")
	w.wantErrno("ring 3 of 3", err, syscall.EINVAL)
	w.open("x}1-1/x")
	_, err = w.tryOpen("x}1")
	w.wantErrno("all rings, one of which is held exclusively", err, syscall.EBUSY)
}

func oneDirection(w *world) {
	tx, rx := w.open("vale0:a/T"), w.open("vale0:a/R")
	if len(tx.Tx()) != 1 || len(tx.Rx()) != 0 || len(rx.Tx()) != 0 || len(rx.Rx()) != 1 {
		w.Fatalf("%v, %v", tx, rx)
	}
	b := w.open("vale0:b")
	w.send(tx, 0, frame(1, 0, "out"))
	w.wantTexts(b, "out")
	w.send(b, 0, frame(2, 1, "in"))
	w.wantTexts(rx, "in")
}

// Two ports with the same rings see the same slots: a frame that one takes is gone for the other.
func twoBindings(w *world) {
	a, b := w.open("x{1", netmap.Slots(16, 16)), w.open("x}1")
	again := w.open("x}1")
	w.send(a, 0, frame(1, 2, "one"))
	w.wantTexts(again, "one")
	w.wantTexts(b)
	w.must(b.Close())
	w.send(a, 0, frame(1, 2, "two"))
	w.wantTexts(again, "two")
}

func nullPort(w *world) {
	asNull := func(r *netmap.Opening) {
		r.Mode, r.MemID, r.TxRings, r.RxRings, r.TxSlots = abi.RegNull, 1, 2, 0, 32
	}
	p := w.open("netmap:nothing", asNull, netmap.ExtraBufs(7))
	if len(p.Tx()) != 2 || len(p.Rx()) != 0 || p.Tx()[1].NumSlots() != 32 {
		w.Fatalf("%v", p)
	}
	if spare := p.TakeExtra(); len(spare) != 7 {
		w.Errorf("%d extra buffers, want 7", len(spare))
	} else {
		p.ReturnExtra(spare...)
	}
	w.must(p.TxSync())
	_, err := w.tryOpen("netmap:nothing", func(r *netmap.Opening) { r.Mode = abi.RegNull })
	w.wantErrno("a null port without a region", err, syscall.EINVAL)
}

func errorNumbers(w *world) {
	mode := func(m uint32) netmap.Option { return func(r *netmap.Opening) { r.Mode = m } }
	for _, tt := range []struct {
		name    string
		want    syscall.Errno
		options []netmap.Option
	}{
		{"vale0:a", syscall.EINVAL, []netmap.Option{mode(0)}},
		{"vale0:a", syscall.EINVAL, []netmap.Option{mode(abi.RegPipeMaster)}},
		{"vale0:a", syscall.EINVAL, []netmap.Option{mode(9)}},
		{"vale0:a", syscall.EINVAL, []netmap.Option{func(r *netmap.Opening) { r.MemID = 77 }}},
		{"vale0:a^", syscall.EINVAL, nil},
		{"vale0:a*", syscall.EINVAL, nil},
		{"vale0:a-1", syscall.EINVAL, nil},
		{"vale0:lo", syscall.EINVAL, nil},
		{"netmap:nosuchif0", syscall.ENXIO, nil},
		{"vale", syscall.EINVAL, nil}, // no port name at all
		{"", syscall.EINVAL, nil},
	} {
		p, err := w.tryOpen(tt.name, tt.options...)
		w.wantErrno(tt.name, err, tt.want)
		if err == nil {
			p.Close()
		}
	}
	p := w.open("vale0:a")
	w.must(p.Close())
	w.must(p.Close()) // a second Close has no effect
	w.wantErrno("txsync when it is closed", p.TxSync(), syscall.ENXIO)
	w.wantErrno("rxsync when it is closed", p.RxSync(), syscall.ENXIO)
	if got, err := p.Poll(w.Context(), netmap.In, -1); got != netmap.Err || err != nil {
		w.Errorf("poll when it is closed: %#x, %v, want POLLERR", got, err)
	}
}

// A sync ignores a bad head; a poll returns POLLERR.
func badHead(w *world) {
	a, b := w.open("x{1", netmap.Slots(16, 16)), w.open("x}1")
	a.Tx()[0].SetHead(99)
	w.must(a.TxSync())
	w.wantTexts(b)
	if h := a.Tx()[0].Head(); h != 0 {
		w.Errorf("head is %d afterwards, want 0", h)
	}
	a.Tx()[0].SetHead(99)
	if got := w.poll(a, netmap.In|netmap.Out); got&netmap.Err == 0 {
		w.Errorf("poll returns %#x, want POLLERR", got)
	}
	if got := w.poll(a, netmap.Out); got != netmap.Out {
		w.Errorf("poll returns %#x after the head was corrected", got)
	}
	w.send(a, 0, frame(1, 2, "well again"))
	w.wantTexts(b, "well again")
}

func answers(w *world) {
	a := w.open("vale0:a", netmap.Rings(2, 3), netmap.Slots(33, 50), netmap.ExtraBufs(4))
	got := a.Request()
	if got.TxRings != 2 || got.RxRings != 3 || got.TxSlots != 33 || got.RxSlots != 50 ||
		got.ExtraBufs != 4 || got.MemID != 1 {
		w.Errorf("granted: %+v", got)
	}
	if a.Tx()[0].NumSlots() != 33 || a.Rx()[2].NumSlots() != 50 || a.Tx()[0].BufSize() != 2048 ||
		a.Tx()[0].Len() != 32 || a.Rx()[0].Len() != 0 {
		w.Errorf("the rings are not what was granted")
	}
	// A later program gets the rings that exist.
	if again := w.open("vale0:a", netmap.Rings(1, 1)).Request(); again.TxRings != 2 ||
		again.RxSlots != 50 {
		w.Errorf("granted the second time: %+v", again)
	}
}

func outOfMemory(w *world) {
	free := w.usage()
	_, err := w.tryOpen("x{1", netmap.Rings(8, 8), netmap.Slots(4096, 4096))
	w.wantErrno("a pipe that is too large", err, syscall.ENOMEM)
	w.eventually("all its memory is free again", func() bool { return w.usage() == free })
	w.open("x{1")
}
