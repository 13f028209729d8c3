//go:build linux

package nic

// held records where each buffer is. The framework's slots do not record it: frames arrive in any
// buffer, and buffers come back from sending in any order.
//
// It has a byte for each buffer. With bits, the loops over frames would be slower: consecutive
// buffers share a word, and each iteration would wait for the write of the one before.
type held []place

type place uint8

const (
	unfit   place = iota // there is no such buffer, or the kernel does not take it where it lies
	outside              // the kernel may be given it
	inside               // the kernel has it
	strayed              // the kernel has it from an earlier ring that was stopped
)

func newHeld(buffers uint32) held { return make(held, buffers) }

// fit marks which of the buffers that the kernel does not have can be given to it.
func (h held) fit(fits func(buf uint32) bool) {
	for i, p := range h {
		switch {
		case p >= inside:
		case fits(uint32(i)):
			h[i] = outside
		default:
			h[i] = unfit
		}
	}
}

// of returns where a buffer is. Any number is allowed.
func (h held) of(buf uint32) place {
	if buf < uint32(len(h)) {
		return h[buf]
	}
	return unfit
}

// remove takes back a buffer that the kernel has returned, and returns where it was.
func (h held) remove(buf uint32) place {
	was := h.of(buf)
	if was >= inside {
		h[buf] = outside
	}
	return was
}

// count returns the number of buffers at a place.
func (h held) count(at place) (n uint32) {
	for _, p := range h {
		if p == at {
			n++
		}
	}
	return n
}

// take moves all buffers from one place to another, and calls f for each.
func (h held) take(from, to place, f func(buf uint32)) {
	for i, p := range h {
		if p == from {
			h[i] = to
			f(uint32(i))
		}
	}
}
