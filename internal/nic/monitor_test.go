//go:build linux

package nic_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// count reads the frames of a monitor, and checks that whole frames come from both directions, each
// once.
type count struct {
	t      *testing.T
	size   func(seq int) int
	tx, rx map[int]bool
}

func newCount(t *testing.T, size func(int) int) *count {
	return &count{t: t, size: size, tx: map[int]bool{}, rx: map[int]bool{}}
}

func (c *count) read(m *netmap.Port) {
	c.t.Helper()
	for _, r := range m.Rx() {
		for slot, b := range r.Frames() {
			if len(b) < 18 || b[12] != 0x88 {
				continue
			}
			seen := c.rx
			if slot.Flags&abi.NSTxMon != 0 {
				seen = c.tx
			}
			seq := int(binary.BigEndian.Uint32(b[14:]))
			if seen[seq] || !bytes.Equal(b, frame(seq, c.size(seq))) {
				c.t.Fatalf("frame %d is wrong or comes twice: %d bytes, flags %#x", seq, len(b), slot.Flags)
			}
			seen[seq] = true
		}
	}
}

func size60(int) int { return 60 }

// A copy monitor sees and wakes for frames that arrive while the port's program does not read. When
// the program reads later, it gets all of them.
func TestMonitorOfAnIdleInterface(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	mt, mr := p.open(p.na, "netmap:va/t"), p.open(p.nb, "netmap:vb/r")
	sent, received := newCount(t, size60), newCount(t, size60)
	for seq := range 500 {
		woken := make(chan netmap.Events, 1)
		go func() {
			got, _ := mr.Poll(t.Context(), netmap.In, 5*time.Second)
			woken <- got
		}()
		a.Tx()[0].Send(frame(seq, 60))
		a.TxSync()
		if got := <-woken; got != netmap.In {
			t.Fatalf("frame %d: poll says %v", seq, got)
		}
		received.read(mr)
		if !received.rx[seq] {
			t.Fatalf("frame %d was not seen", seq)
		}
		mt.RxSync()
		sent.read(mt)
	}
	if len(sent.tx) != 500 || len(sent.rx)+len(received.tx) != 0 {
		t.Errorf("sent %d of 500, %d and %d of the wrong direction", len(sent.tx), len(sent.rx),
			len(received.tx))
	}
	if got, err := b.Poll(t.Context(), netmap.In, 0); got != netmap.In || err != nil {
		t.Fatal(got, err)
	}
	if n := b.Rx()[0].Len(); n < 500 {
		t.Errorf("the interface's own program finds %d frames of 500", n)
	}
	for _, port := range []*netmap.Port{mt, b, mr, a} {
		port.Close()
	}
}

// When the monitored ring is full, no more frames can arrive. The monitor sleeps until the port's
// program makes room.
func TestMonitorOfAFullInterface(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	m := p.open(p.nb, "netmap:vb/r")
	seen := newCount(t, size60)
	for seq := 0; seq < 2500; {
		for range 50 {
			seq += a.Tx()[0].Send(frame(seq, 60))
		}
		a.TxSync()
		m.RxSync()
		seen.read(m)
	}
	if len(seen.rx) != 1023 {
		t.Fatalf("%d frames seen, and the ring holds 1023", len(seen.rx))
	}
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	if got, err := m.Poll(t.Context(), netmap.In, 400*time.Millisecond); got != 0 || err != nil {
		t.Fatalf("poll says %v, %v", got, err)
	}
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	if busy := time.Duration(after.Utime.Nano() +
		after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()); busy > 200*time.Millisecond {
		t.Errorf("400 ms of sleep took %v of work", busy)
	}
	woken := make(chan netmap.Events, 1)
	go func() {
		got, _ := m.Poll(t.Context(), netmap.In, 5*time.Second)
		woken <- got
	}()
	b.RxSync()
	for range b.Rx()[0].Frames() {
	}
	time.Sleep(10 * time.Millisecond)
	b.RxSync()
	for end := time.Now().Add(5 * time.Second); len(woken) == 0 &&
		time.Now().Before(end); time.Sleep(time.Millisecond) {
		a.Tx()[0].Send(frame(3000, 60))
		a.TxSync()
	}
	if got := <-woken; got != netmap.In {
		t.Errorf("after room was made, poll says %v", got)
	}
	for _, port := range []*netmap.Port{a, b, m} {
		port.Close()
	}
}

// Traffic passes both ways on several queues, with monitors of every kind in threads of their own:
// all frames arrive, the monitors see each once and whole, and every buffer is back at the end.
func TestMonitorsOfABusyInterface(t *testing.T) {
	p := newPair(t, 2)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	sizes := []int{60, 1514, 61, 700}
	size := func(seq int) int { return sizes[seq%len(sizes)] }
	const frames = 4000
	stop := make(chan struct{})
	var wg sync.WaitGroup
	watch := func(m *netmap.Port) *count {
		c := newCount(t, size)
		wg.Go(func() {
			for last := false; ; {
				m.Poll(t.Context(), netmap.In, 5*time.Millisecond)
				c.read(m)
				select {
				case <-stop:
					if last {
						return
					}
					last = true
				default:
				}
			}
		})
		return c
	}
	options := []netmap.Option{netmap.Slots(8, 2048)}
	mt, mr := p.open(p.na, "netmap:va/t", options...), p.open(p.nb, "netmap:vb/r", options...)
	mz, second := p.open(p.na, "netmap:va/z", options...), p.open(p.na, "netmap:va/z", options...)
	nz := p.open(p.nb, "netmap:vb/z", options...)
	ct, cr, cz, cs, cn := watch(mt), watch(mr), watch(mz), watch(second), watch(nz)
	pump(t, a, b, frames, sizes...)
	for range 20 { // the last slots come back, and are released
		a.TxSync()
		b.RxSync()
		time.Sleep(5 * time.Millisecond)
	}
	close(stop)
	wg.Wait()
	for _, c := range []struct {
		what string
		got  int
	}{{"tx copy", len(ct.tx)}, {"rx copy", len(cr.rx)}, {"zero-copy", len(cz.tx)},
		{"zero-copy, of receiver", len(cn.rx)}} {
		if c.got != frames {
			t.Errorf("%s: %d of %d frames", c.what, c.got, frames)
		}
	}
	if len(cs.tx) == 0 || len(cs.tx) > frames {
		t.Errorf("second zero-copy: %d frames", len(cs.tx))
	}
	for _, port := range []*netmap.Port{mz, a, mr, b, mt, nz, second} {
		port.Close()
	}
}

// A frame that cannot be sent comes back before frames that were sent earlier. Monitors see each
// with its own length.
func TestMonitorSeesOvertakenFrames(t *testing.T) {
	p := newPair(t, 1)
	a, m := p.open(p.na, "netmap:va"), p.open(p.na, "netmap:va/z")
	p.open(p.nb, "netmap:vb")
	r := a.Tx()[0]
	want := map[int]bool{}
	for lap := range 200 {
		for i := range 7 {
			seq := 7*lap + i
			want[100+seq%900] = true
			w := r.Window()
			w.SetLen(copy(w.Buf(), frame(0, 100+seq%900)))
			binary.BigEndian.PutUint32(w.Buf()[14:], uint32(w.Slot().Len)) // the expected length
			switch i % 3 {
			case 1:
				w.Slot().Flags = abi.NSMoreFrag
			case 2:
				w.SetLen(0) // AF_XDP sends no packet with an empty piece
			}
			w.Next()
			w.Commit()
		}
		a.TxSync()
		for end := time.Now().Add(5 * time.Second); r.Len() < r.NumSlots()-1 && time.Now().Before(end); {
			a.TxSync()
		}
		m.RxSync()
		for _, b := range m.Rx()[0].Frames() {
			if len(b) == 0 {
				continue // an empty piece
			}
			if n := binary.BigEndian.Uint32(b[14:]); int(n) != len(b) {
				t.Fatalf("a frame of %d bytes is shown with %d", n, len(b))
			}
		}
	}
	a.Close()
	m.Close()
}

// A link that goes down is an error for the interface's program only; its monitors sleep on. When
// the program closes its port, they get an error.
func TestMonitorAndLink(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	m, mz := p.open(p.nb, "netmap:vb/r"), p.open(p.nb, "netmap:vb/z")
	inNS(t, p.nb, "vb", netlink.LinkSetDown)
	awaitError(t, b, "after the link went down")
	for _, port := range []*netmap.Port{m, mz} {
		if got, err := port.Poll(t.Context(), netmap.In, 20*time.Millisecond); got != 0 || err != nil {
			t.Errorf("%s: poll says %v, %v", port.Name(), got, err)
		}
	}
	inNS(t, p.nb, "vb", netlink.LinkSetUp)
	for end := time.Now().Add(5 * time.Second); b.RxSync() != nil ||
		a.TxSync() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("still in trouble")
		}
	}
	pump(t, a, b, 100, 60)
	var wg sync.WaitGroup
	for _, port := range []*netmap.Port{m, mz} {
		b.RxSync()
		port.RxSync()
		for range port.Rx()[0].Frames() {
		}
		port.RxSync()
		wg.Go(func() {
			if got, err := port.Poll(t.Context(), netmap.In, 5*time.Second); got != netmap.Err ||
				err != nil {
				t.Errorf("%s: poll says %v, %v", port.Name(), got, err)
			}
			if err := port.RxSync(); !errors.Is(err, syscall.EIO) {
				t.Errorf("%s: sync says %v", port.Name(), err)
			}
		})
	}
	time.Sleep(10 * time.Millisecond)
	b.Close()
	wg.Wait()
	for _, port := range []*netmap.Port{a, m, mz} {
		port.Close()
	}
}
