package null_test

import (
	"slices"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/null"
	"github.com/seed-48afdc40/netmap/internal/port"
)

func TestRingsAreThoseAskedFor(t *testing.T) {
	for _, c := range []struct {
		tx, rx           uint16
		txSlots, rxSlots uint32
	}{{1, 1, 16, 32}, {0, 0, 8, 8}, {3, 0, 2, 2}, {0, 20, 4096, 4096}} {
		p := null.New(kringtest.NewRegion(t, 64), "null:x", port.Shape{TxRings: c.tx, RxRings: c.rx,
			TxSlots: c.txSlots, RxSlots: c.rxSlots})
		for dir, want := range [2]struct {
			rings uint16
			slots uint32
		}{{c.tx, c.txSlots}, {c.rx, c.rxSlots}} {
			rings := p.Rings(kring.Dir(dir))
			if len(rings) != int(want.rings) {
				t.Errorf("%+v: %d rings in direction %d", c, len(rings), dir)
			}
			for i, r := range rings {
				if r.N != want.slots || int(r.ID) != i || int(r.Dir) != dir {
					t.Errorf("%+v: ring %d is %s with id %d and %d slots", c, i, r.Name, r.ID, r.N)
				}
			}
		}
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
}

// Slots are a place to keep buffers: no sync moves or changes them.
func TestSyncsDoNothing(t *testing.T) {
	region := kringtest.NewRegion(t, 128)
	p := null.New(region, "null:x", port.Shape{TxRings: 1, RxRings: 1, TxSlots: 16, RxSlots: 16})
	for _, dir := range kring.Dirs {
		r := kringtest.Open(t, region, p, dir, 0)
		for i := range r.Slots() {
			s := r.Slot(uint32(i))
			s.Len, s.Flags, s.Ptr = uint16(i), abi.NSBufChanged|abi.NSMoreFrag, 7
		}
		before, mine := slices.Clone(r.Slots()), r.Mine()
		if want := []int{15, 0}[dir]; len(mine) != want {
			t.Errorf("%s: the program has %d slots, want %d", r.Name, len(mine), want)
		}
		for range 3 {
			if !r.Sync(t) || !slices.Equal(r.Slots(), before) || !slices.Equal(r.Mine(), mine) {
				t.Errorf("%s: a sync changed something", r.Name)
			}
		}
		r.Close()
	}
}
