package testframe

import "bytes"

// Template makes frames without a mark: of other contents, or too short for it.
type Template struct {
	frame   []byte // the longest frame, at least all headers
	length  int
	body    int // where the payload starts
	flow    flow
	changes bool // frames differ
	numbers bool
}

// NewTemplate returns a Template of UDP frames of that length, which may cut the headers. The
// payload of numbered frames starts with their number in 4 bytes (pkt-gen's txseq).
func NewTemplate(f Flows, length int, numbered bool) *Template {
	t := &Template{length: length, body: f.headers(), flow: f.start(), numbers: numbered,
		changes: numbered || !f.single()}
	t.frame = make([]byte, max(length, t.body))
	payload, _ := patternOf(0, len(t.frame)-t.body)
	copy(t.frame[t.body:], payload)
	t.writeHeaders()
	return t
}

// Verbatim returns a Template that copies one frame.
func Verbatim(f []byte) *Template { return &Template{frame: bytes.Clone(f), length: len(f)} }

// Len is the length of the frames.
func (t *Template) Len() int { return t.length }

// SetLen sets the length of the next frames, at most the first length.
func (t *Template) SetLen(n int) {
	t.length = n
	t.writeHeaders()
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
	t.writeHeaders()
	copy(buf, t.frame[:t.length])
	t.flow.next()
}

// writeHeaders writes the headers. It writes the UDP checksum unless the frame cuts the headers.
func (t *Template) writeHeaders() {
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

// Number returns the number in a numbered frame of a Template.
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
