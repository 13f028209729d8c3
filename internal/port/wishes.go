package port

import (
	"cmp"

	"github.com/seed-48afdc40/netmap/abi"
)

// A request may ask for numbers of rings and slots, with the limits of the kernel module: 0 is the
// default, and more than the maximum is the maximum. An interface ignores them.
//
//	              rings        slots                                  extra buffers
//	VALE port     1 to 16      1 to 4096, by default 1024             up to 524288
//	pipe          1 to 256     1 to 4096, by default its parent's     any number
//	monitor       its parent's 1 to 4096, by default its parent's     any number
//	null port     any, also 0  any, by default 1024                   any number
//
// A request gets at most as many extra buffers as are free. A ring of one slot holds no frame: one
// slot of each ring stays empty.
const (
	DefaultSlots = 1024
	MaxSlots     = 4096
)

// Wish returns the shape that a request asks for.
func Wish(req *abi.Register) Shape {
	return Shape{TxRings: req.TxRings, RxRings: req.RxRings, TxSlots: req.TxSlots,
		RxSlots: req.RxSlots}
}

// Clamped limits a wish to a number of rings. By default there is one ring, with as many slots as
// in the shape like.
func (s Shape) Clamped(rings uint16, like Shape) Shape {
	return Shape{
		TxRings: min(cmp.Or(s.TxRings, 1), rings), RxRings: min(cmp.Or(s.RxRings, 1), rings),
		TxSlots: min(cmp.Or(s.TxSlots, like.TxSlots), MaxSlots),
		RxSlots: min(cmp.Or(s.RxSlots, like.RxSlots), MaxSlots),
	}
}

// Usual is the shape with default numbers of slots.
var Usual = Shape{TxSlots: DefaultSlots, RxSlots: DefaultSlots}
