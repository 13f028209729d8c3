package kring

import (
	"errors"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// recorder is a tap that lets the program see no more than seen slots.
type recorder struct {
	syncs, fresh int
	seen         uint32
}

func (t *recorder) Sync(r *Ring, program Memory, port Sync) error {
	t.syncs++
	return port(r, program)
}
func (t *recorder) Tail(hwtail uint32) uint32 { return min(hwtail, t.seen) }
func (t *recorder) Fresh()                    { t.fresh++ }

func TestTap(t *testing.T) {
	region := newRegion(t)
	ports := 0
	r := New("test", abi.DirRx, 0, 8, func(*Ring, Memory) error { ports++; return syscall.EIO })
	tap := &recorder{seen: 2}
	r.SetTap(nil)
	r.SetTap(tap)
	r.Flush() // without memory, there is nothing to show
	if err := r.Alloc(region, true); err != nil {
		t.Fatal(err)
	}
	defer func() { r.Free(0, r.N) }()
	if r.Tap() != Tap(tap) || tap.syncs != 0 || tap.fresh != 1 {
		t.Errorf("after Alloc: %+v", tap)
	}
	if err := r.Sync(r, nil); !errors.Is(err, syscall.EIO) || tap.syncs != 1 || ports != 1 {
		t.Errorf("Sync returns %v, and reached the port %d times: %+v", err, ports, tap)
	}
	r.HwTail.Store(5)
	r.Publish()
	if got := r.shared.Tail.Load(); got != 2 {
		t.Errorf("the program sees up to %d", got)
	}
	if r.Flush(); tap.syncs != 2 {
		t.Error("Flush does not sync")
	}
	r.SetTap(&recorder{seen: 3})
	r.Publish()
	r.Sync(r, nil)
	if got := r.shared.Tail.Load(); got != 3 || ports != 3 {
		t.Errorf("with another tap: the program sees up to %d, %d syncs came to the port", got, ports)
	}
	r.SetTap(nil)
	r.Publish()
	r.Sync(r, nil)
	if got := r.shared.Tail.Load(); got != 5 || ports != 4 || r.Tap() != nil || tap.syncs != 2 {
		t.Errorf("without a tap: the program sees up to %d, %d syncs came to the port, %+v", got, ports,
			tap)
	}
}

func TestRoom(t *testing.T) {
	r := newRing(t, abi.DirRx, 8)
	for _, c := range []struct{ cur, tail, want uint32 }{
		{0, 0, 7}, {0, 7, 0}, {3, 2, 0}, {3, 3, 7}, {6, 1, 4},
	} {
		r.HwCur.Store(c.cur)
		r.HwTail.Store(c.tail)
		if got := r.Room(); got != c.want {
			t.Errorf("from %d to %d: room %d, want %d", c.cur, c.tail, got, c.want)
		}
	}
}
