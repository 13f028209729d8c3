package testframe

const (
	patternStarts = 512 // number of offsets in the table where a pattern may start
	patternStep   = 8
	patternLen    = patternStarts*patternStep + MaxLen
)

// pattern has the bytes of all patterns: the pattern of a frame is a piece of it, which the
// sequence number selects. So making a pattern is a copy, checking one is a comparison, and its
// checksum is the difference of two entries of patternSums.
var pattern, patternSums = makePattern()

func makePattern() (*[patternLen]byte, *[patternLen/2 + 1]uint64) {
	p, sums := new([patternLen]byte), new([patternLen/2 + 1]uint64)
	x := uint64(0x9e3779b97f4a7c15)
	for i := 0; i < len(p); i += 8 {
		x ^= x << 13 // xorshift64
		x ^= x >> 7
		x ^= x << 17
		le.PutUint64(p[i:], x)
	}
	for i := range len(p) / 2 {
		sums[i+1] = sums[i] + uint64(le.Uint16(p[2*i:]))
	}
	return p, sums
}

// patternOf returns the pattern of n bytes for a sequence number, and its part of a checksum.
func patternOf(seq uint64, n int) ([]byte, uint64) {
	at := int(seq*0x9e3779b97f4a7c15>>55) * patternStep // the top bits depend on all of seq
	sum := patternSums[(at+n)/2] - patternSums[at/2]
	if n%2 != 0 {
		sum += uint64(pattern[at+n-1]) // as if a zero byte followed
	}
	return pattern[at : at+n], sum
}
