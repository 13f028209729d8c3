//go:build linux

package nic

import "math/bits"

// held is the set of buffers that the kernel has. Slots that belong to the framework do not say: frames arrive in any
// buffer, and come back from sending in any order.
type held struct {
	bits []uint64
	n    uint32
}

func newHeld(buffers uint32) held { return held{bits: make([]uint64, (buffers+63)/64)} }

// add says whether the buffer is new to the set.
func (h *held) add(i uint32) bool {
	w, b := &h.bits[i/64], uint64(1)<<(i%64)
	if *w&b != 0 {
		return false
	}
	*w |= b
	h.n++
	return true
}

// remove says whether the buffer was in the set.
func (h *held) remove(i uint32) bool {
	if i/64 >= uint32(len(h.bits)) {
		return false
	}
	w, b := &h.bits[i/64], uint64(1)<<(i%64)
	if *w&b == 0 {
		return false
	}
	*w &^= b
	h.n--
	return true
}

// take empties the set and calls f for each buffer that was in it.
func (h *held) take(f func(uint32)) {
	for i, w := range h.bits {
		for ; w != 0; w &= w - 1 {
			f(uint32(i*64 + bits.TrailingZeros64(w)))
		}
		h.bits[i] = 0
	}
	h.n = 0
}
