package frames

import "math/rand/v2"

// MinLen is the length of the shortest frame: an Ethernet header and two bytes, as in pkt-gen.
const MinLen = 16

// Lengths are the lengths of frames in bytes. If Low is 0, all frames have Most bytes, else each
// has a random length from Low to below Most.
type Lengths struct{ Most, Low int }

// Least returns the shortest length.
func (l Lengths) Least() int {
	if l.Low > 0 {
		return l.Low
	}
	return l.Most
}

// Mean returns the average length.
func (l Lengths) Mean() float64 {
	if l.Low > 0 {
		return float64(l.Low+l.Most-1) / 2
	}
	return float64(l.Most)
}

func (l Lengths) draw() int { return l.Low + rand.IntN(l.Most-l.Low) }
