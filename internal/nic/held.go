//go:build linux

package nic

// held knows where each buffer is. Slots that belong to the framework do not say: frames arrive in any buffer, and come
// back from sending in any order.
//
// It has a byte a buffer. With bits, the loops over frames would wait for one another: buffers that follow each other
// share a word, which is read again as soon as it has been written.
type held []place

type place uint8

const (
	unfit   place = iota // there is no such buffer, or the kernel does not take it where it lies
	outside              // the kernel may have it
	inside               // the kernel has it
	strayed              // the kernel has it from an earlier ring that was stopped
)

func newHeld(buffers uint32) held { return make(held, buffers) }

// fit decides which of the buffers that the kernel does not have it may have.
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

// of is where a buffer is. Any number will do.
func (h held) of(buf uint32) place {
	if buf < uint32(len(h)) {
		return h[buf]
	}
	return unfit
}

// remove takes back what the kernel has returned, and says where it was.
func (h held) remove(buf uint32) place {
	was := h.of(buf)
	if was >= inside {
		h[buf] = outside
	}
	return was
}

// count is how many buffers are at a place.
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
