//go:build linux

package nic_test

import (
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
)

// newStampPair makes a pair in a framework with room for time stamps.
func newStampPair(t *testing.T) *pair {
	t.Helper()
	p := newPair(t, 1)
	f, err := embed.New(embed.Config{RxTimestamps: true})
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

// The slot of a frame has the time that the driver reports. veth supports the question, but always
// answers 0: no card has seen the frame.
func TestRxTimestamps(t *testing.T) {
	p := newStampPair(t)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb", netmap.RxTimestamps())
	r := b.Rx()[0]
	for i := range r.NumSlots() {
		r.Slot(uint32(i)).Ptr = 7
	}
	a.Tx()[0].Send(frame(0, 60))
	a.TxSync()
	if _, err := b.Poll(t.Context(), netmap.In, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	for slot, f := range r.Frames() {
		if slot.Ptr != 0 || string(f) != string(frame(0, 60)) {
			t.Errorf("time %d, %d bytes", slot.Ptr, len(f))
		}
	}
	pump(t, a, b, 5000, 60, 1514, 61)
	pump(t, b, a, 5000, 1514)

	w := a.Tx()[0].Window()
	w.SetLen(embed.DefaultBufSize - 64 + 1) // the last 64 bytes of a buffer are not for frames
	w.Next()
	w.Commit()
	a.TxSync()
	if d := p.drops("va"); d["bad-length"] != 1 {
		t.Errorf("dropped %v, want one of bad length", d)
	}
	a.Close()
	b.Close()
}

// A request for time stamps that cannot be met is refused with the reason.
func TestNoRxTimestamps(t *testing.T) {
	p := newStampPair(t)
	try := func(name, want string) {
		t.Helper()
		var port *netmap.Port
		var err error
		p.na.Do(func() { port, err = p.f.Open(name, netmap.RxTimestamps()) })
		if err == nil {
			port.Close()
		}
		if !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want EOPNOTSUPP and %q", name, err, want)
		}
	}
	try("netmap:va/T", "no rx ring")
	try("vale0:a", "only interfaces")
	if strconv.IntSize == 64 {
		try("netmap:lo", "does not tell when a frame arrived")
	} else { // the library for BPF cannot read the types of a kernel as large as today's
		try("netmap:lo", "a 64-bit program")
	}
	plain, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	p.f = plain
	try("netmap:va", "--rx-timestamps")
}
