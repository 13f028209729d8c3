//go:build linux

package nic_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nic"
)

// An interface of 64 queues has shorter rings, so that two of its rings take no more than half of
// the default number of buffers.
func TestLongRowOfQueues(t *testing.T) {
	const rings = 2*64 + 2
	// The default number of buffers works, too, but takes more memory.
	p := newSizedPair(t, 64, embed.Config{Buffers: rings*512 + 2048})
	a := p.open(p.na, "netmap:va")
	b := p.open(p.nb, "netmap:vb-63")
	if n := len(a.Tx()); n != 64 || a.Tx()[0].NumSlots() != 512 {
		t.Errorf("%d tx rings of %d slots", n, a.Tx()[0].NumSlots())
	}
	if all := (mem.Config{}).Buffers(); all == 278528 && 2*rings*512 > all {
		t.Errorf("two such interfaces have no room in %d buffers", all)
	}
	pumpOne(t, a, b)
}

// pumpOne sends one frame over queue 63.
func pumpOne(t *testing.T, from, to *netmap.Port) {
	t.Helper()
	from.Tx()[63].Send(frame(1, 60))
	from.TxSync()
	if _, err := to.Poll(t.Context(), netmap.In, -1); err != nil {
		t.Fatal(err)
	}
	for _, f := range to.Rx()[0].Frames() {
		if string(f) == string(frame(1, 60)) {
			return
		}
	}
	t.Error("the frame did not arrive")
}

// Buffers returns the number of buffers that a port takes.
func TestBuffersAreWhatIsTaken(t *testing.T) {
	const slots, queues = 256, 4
	p := newSizedPair(t, queues, embed.Config{Buffers: 16384, NICSlots: slots})
	for _, c := range []struct {
		name    string
		options []netmap.Option
		request abi.Register
		more    int // buffers beyond those taken: a port that only sends may need some set aside
	}{
		{"netmap:va", nil, abi.Register{Mode: abi.RegAllNIC}, 0},
		{"netmap:va", []netmap.Option{netmap.RxOnly()}, abi.Register{Mode: abi.RegAllNIC,
			Flags: abi.NRRxRingsOnly}, 0},
		{"netmap:va", []netmap.Option{netmap.TxOnly()}, abi.Register{Mode: abi.RegAllNIC,
			Flags: abi.NRTxRingsOnly}, queues * slots},
		{"netmap:va-2", nil, abi.Register{Mode: abi.RegOneNIC, RingID: 2}, 0},
		{"netmap:va*", nil, abi.Register{Mode: abi.RegNICSW}, 0},
		{"netmap:va^", nil, abi.Register{Mode: abi.RegSW}, 0},
	} {
		before := p.f.Usage().BufFree
		port := p.open(p.na, c.name, c.options...)
		taken := int(before - p.f.Usage().BufFree)
		port.Close()
		var need int
		var err error
		p.na.Do(func() { need, err = nic.Buffers("va", &c.request, slots) })
		// of a queue that receives, one buffer less than slots is with the kernel
		if err != nil || taken+c.more > need || taken+c.more < need-queues {
			t.Errorf("%s: %d buffers were taken, %d announced: %v", c.name, taken, need, err)
		}
	}
}

// With too few buffers the error is ENOMEM and has a hint.
func TestTooFewBuffers(t *testing.T) {
	p := newSizedPair(t, 8, embed.Config{Buffers: 8192})
	var err error
	p.na.Do(func() { _, err = p.f.Open("netmap:va") })
	if !errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), "--buffers") {
		t.Errorf("open: %v", err)
	}
}
