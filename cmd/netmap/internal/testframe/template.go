package testframe

import "bytes"

// Template makes frames that carry no mark, for receivers that expect others, or for frames too
// short for it.
type Template struct {
	frame   []byte // the whole of it, and at least the headers
	length  int
	body    int // where the payload starts
	flow    flow
	changes bool // from frame to frame
	numbers bool
}

// NewTemplate makes UDP frames of that length, which may cut the headers short. Numbered ones start
// their payload with their number, in 4 bytes. // pkt-gen's txseq
func NewTemplate(f Flows, length int, numbered bool) *Template {
	t := &Template{length: length, body: f.headers(), flow: f.start(), numbers: numbered,
		changes: numbered || !f.single()}
	t.frame = make([]byte, max(length, t.body))
	payload, _ := patternOf(0, len(t.frame)-t.body)
	copy(t.frame[t.body:], payload)
	t.seal()
	return t
}

// Verbatim makes copies of one frame.
func Verbatim(f []byte) *Template { return &Template{frame: bytes.Clone(f), length: len(f)} }

// Len is the length of the frames.
func (t *Template) Len() int { return t.length }

// SetLen sets the length of the next frames: at most that of the first.
func (t *Template) SetLen(n int) {
	t.length = n
	t.seal()
}

// Put writes a frame into a buffer of at least its length.
func (t *Template) Put(buf []byte, seq uint64) {
	if !t.changes {
		copy(buf, t.frame[:t.length])
		return
	}
	if t.numbers {
		be.PutUint32(t.frame[t.body:], uint32(seq))
	}
	t.seal()
	copy(buf, t.frame[:t.length])
	t.flow.next()
}

// seal writes the headers, and the checksum if all that it covers is there.
func (t *Template) seal() {
	var sum uint64
	if t.flow.IPv6() {
		sum = t.flow.header6((*[shift6 + udpSumAt]byte)(t.frame), max(t.length, t.body))
	} else {
		sum = t.flow.header4((*[udpSumAt]byte)(t.frame), max(t.length, t.body))
	}
	field := t.frame[t.body-2:]
	be.PutUint16(field, 0)
	if t.length < t.body {
		return
	}
	payload := t.frame[t.body:t.length]
	for ; len(payload) >= 8; payload = payload[8:] {
		sum += halves(le.Uint64(payload))
	}
	var rest [8]byte
	copy(rest[:], payload)
	check := ^fold(sum + halves(le.Uint64(rest[:])))
	if check == 0 {
		check = 0xffff
	}
	le.PutUint16(field, check)
}

// Number is what a numbered frame of a Template starts its payload with.
func Number(f []byte) (n uint32, ok bool) {
	at := udpAt + 8
	if len(f) >= ipAt && be.Uint16(f[12:]) != etherIPv4 {
		at = udp6At + 8
	}
	if len(f) < at+4 {
		return 0, false
	}
	return be.Uint32(f[at:]), true
}
