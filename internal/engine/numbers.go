package engine

import (
	"cmp"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/pipe"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/vale"
)

// What a request may wish for is what the kernel module takes: 0 is the default, and more than the
// most is the most. An interface's rings and slots are its own, whatever the request says.
//
//	              rings        slots                                  extra buffers
//	VALE port     1 to 16      1 to 4096, by default 1024             up to 524288
//	pipe          1 to 256     1 to 4096, by default its parent's     any number
//	monitor       its parent's 1 to 4096, by default its parent's     any number
//	null port     any, also 0  any, by default 1024                   any number
//
// Of extra buffers one gets as many as there are. A ring of one slot holds no frame: one slot of
// each ring stays empty.
const (
	defaultSlots  = 1024
	maxSlots      = 4096
	maxValeExtras = 128 * maxSlots
)

// clamp takes a wish for a number: 0 is the default, and too many is the most there can be.
func clamp[T uint16 | uint32](wish, def, most T) T { return min(cmp.Or(wish, def), most) }

func slots(wish uint32) uint32 { return slotsLike(wish, defaultSlots) }

// slotsLike takes a wish for a number of slots whose default is another port's.
func slotsLike(wish, def uint32) uint32 { return clamp(wish, def, maxSlots) }

// wishOf is the shape that a request asks for.
func wishOf(req *abi.Register) port.Shape {
	return port.Shape{TxRings: req.TxRings, RxRings: req.RxRings, TxSlots: req.TxSlots, RxSlots: req.RxSlots}
}

// clampVale has a request for a new VALE port wish for nothing that cannot be.
func clampVale(req *abi.Register) {
	req.TxRings, req.RxRings = clamp(req.TxRings, 1, vale.MaxRings), clamp(req.RxRings, 1, vale.MaxRings)
	req.TxSlots, req.RxSlots = slots(req.TxSlots), slots(req.RxSlots)
	req.ExtraBufs = min(req.ExtraBufs, maxValeExtras)
}

// clampPipe does so for a new pipe. The numbers are those of the master, whichever end is asked
// for. The parent is nil where there is none.
func clampPipe(req *abi.Register, parent *entry) {
	txSlots, rxSlots := uint32(defaultSlots), uint32(defaultSlots)
	if parent != nil {
		like := port.ShapeOf(parent.Port)
		txSlots, rxSlots = like.TxSlots, like.RxSlots
	}
	req.TxRings, req.RxRings = clamp(req.TxRings, 1, pipe.MaxRings), clamp(req.RxRings, 1, pipe.MaxRings)
	req.TxSlots, req.RxSlots = slotsLike(req.TxSlots, txSlots), slotsLike(req.RxSlots, rxSlots)
}

// checkNull says ENOMEM for more rings than the region has at all, or longer ones than there can
// be.
func checkNull(name string, req *abi.Register, region *mem.Region) error {
	req.TxSlots, req.RxSlots = cmp.Or(req.TxSlots, defaultSlots), cmp.Or(req.RxSlots, defaultSlots)
	wish, most := uint32(req.TxRings)+uint32(req.RxRings), region.Info().Ring.ObjTotal
	if wish > most {
		return fault.New(syscall.ENOMEM, "open null port", name, "%d rings; the region has %d", wish, most)
	}
	if s := max(req.TxSlots, req.RxSlots); wish > 0 && s > mem.MaxSlots {
		return fault.New(syscall.ENOMEM, "open null port", name,
			"rings of %d slots; want at most %d", s, mem.MaxSlots)
	}
	return nil
}
