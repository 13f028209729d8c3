package testframe

import "math/bits"

// Builder makes the frames of one stream.
type Builder struct {
	words   [5]uint64 // head as words, for copying
	timeLow uint64    // low 32 bits of the time, in the upper half
	sum     uint64    // the sum of fixed and mid
	// mark, stream and the high 16 bits of the time, as they stand behind the checksum
	mid    uint64
	tail   int  // bytes of pattern
	single bool // the flow never changes
	v6     bool
	stream uint16
	length int

	// with IPv6, the first bytes; head follows at the same distance from UDP as with IPv4
	front [shift6]byte
	head  [udpSumAt]byte // the bytes before the UDP checksum
	fixed uint64         // their part of the UDP checksum, with the pseudo header
	flow  flow
}

// NewBuilder returns a Builder of frames of that length: from MinLen, or MinLen6 for IPv6, to
// MaxLen.
func NewBuilder(f Flows, stream uint16, length int) *Builder {
	b := &Builder{stream: stream, flow: f.start(), single: f.single(), v6: f.IPv6()}
	b.SetLen(length)
	b.SetTime(0)
	return b
}

// Len is the length of the frames.
func (b *Builder) Len() int { return b.length }

// SetLen sets the length of the next frames.
func (b *Builder) SetLen(n int) {
	b.length, b.tail = n, n-MinLen
	if b.v6 {
		b.tail = n - MinLen6
	}
	b.address()
}

// Stream is the number of the stream.
func (b *Builder) Stream() uint16 { return b.stream }

// SetTime sets the time that the next frames carry, Unix time in nanoseconds.
func (b *Builder) SetTime(t uint64) {
	t &= timeMask
	b.mid = bits.ReverseBytes64(mark<<32 | uint64(b.stream)<<16 | t>>32)
	b.timeLow = t << 32
	b.sum = b.fixed + halves(b.mid)
}

// Put writes frame seq into buf. buf has at least the frame's length, and at least 64 bytes, or 84
// with IPv6. Put may change bytes behind a shorter frame.
func (b *Builder) Put(buf []byte, seq uint64) {
	if b.v6 {
		buf = buf[copy(buf, b.front[:]):]
	}
	b.Put4(buf, seq)
}

// Put4 is Put for IPv4 only, without a branch.
func (b *Builder) Put4(buf []byte, seq uint64) {
	p := (*[64]byte)(buf)
	le.PutUint64(p[0:], b.words[0])
	le.PutUint64(p[8:], b.words[1])
	le.PutUint64(p[16:], b.words[2])
	le.PutUint64(p[24:], b.words[3])
	le.PutUint64(p[32:], b.words[4])
	word := bits.ReverseBytes64(b.timeLow | seq>>32)
	last := bits.ReverseBytes32(uint32(seq))
	sum := b.sum + halves(word) + uint64(last)
	if b.tail > 0 {
		rest, s := patternOf(seq, b.tail)
		copy(buf[patternAt:], rest)
		sum += s
	}
	check := ^fold(sum)
	if check == 0 {
		check = 0xffff // 0 means no checksum
	}
	le.PutUint64(p[udpSumAt:], b.mid|uint64(check))
	le.PutUint64(p[udpSumAt+8:], word)
	le.PutUint32(p[udpSumAt+16:], last)
	if !b.single {
		b.flow.next()
		b.address()
	}
}

// address writes the header for the current addresses, and updates the sums.
func (b *Builder) address() {
	old := b.fixed
	if b.v6 {
		var h [shift6 + udpSumAt]byte
		b.fixed = b.flow.header6(&h, b.length)
		copy(b.front[:], h[:])
		copy(b.head[:], h[shift6:])
	} else {
		b.fixed = b.flow.header4(&b.head, b.length)
	}
	b.sum += b.fixed - old
	for i := range b.words {
		b.words[i] = le.Uint64(b.head[8*i:])
	}
}

// header4 writes the bytes before the UDP checksum, and returns their part of it.
func (f *flow) header4(h *[udpSumAt]byte, length int) uint64 {
	copy(h[0:], f.DstMAC.at(f.dstMAC))
	copy(h[6:], f.SrcMAC.at(f.srcMAC))
	be.PutUint16(h[12:], etherIPv4)
	be.PutUint32(h[ipAt:], versionIHL<<24|uint32(length-ipAt))
	be.PutUint32(h[ipIDAt:], markIP<<16)
	be.PutUint32(h[ipAt+8:], ttl<<24|protoUDP<<16) // with a checksum of 0 at first
	be.PutUint32(h[ipSrcAt:], f.src.ip)
	be.PutUint32(h[ipDstAt:], f.dst.ip)
	be.PutUint16(h[udpAt:], f.src.port)
	be.PutUint16(h[udpDstAt:], f.dst.port)
	be.PutUint16(h[udpLenAt:], uint16(length-udpAt))

	addresses := halves(le.Uint64(h[ipSrcAt:]))
	le.PutUint16(h[ipSumAt:],
		^fold(halves(le.Uint64(h[ipAt:]))+uint64(le.Uint32(h[ipAt+8:]))+addresses))
	return addresses + swap16(protoUDP) + uint64(le.Uint32(h[udpAt:])) + 2*swap16(uint16(length-udpAt))
}

// header6 is header4 for IPv6.
func (f *flow) header6(h *[shift6 + udpSumAt]byte, length int) uint64 {
	copy(h[0:], f.DstMAC.at(f.dstMAC))
	copy(h[6:], f.SrcMAC.at(f.srcMAC))
	be.PutUint16(h[12:], etherIPv6)
	be.PutUint32(h[ipAt:], version6|markIP)
	be.PutUint16(h[ip6LenAt:], uint16(length-udp6At))
	be.PutUint16(h[ip6NextAt:], protoUDP<<8|ttl)
	f.Src.put6(h[ip6SrcAt:], f.src)
	f.Dst.put6(h[ip6DstAt:], f.dst)
	be.PutUint16(h[udp6At:], f.src.port)
	be.PutUint16(h[udp6At+2:], f.dst.port)
	be.PutUint16(h[udp6At+4:], uint16(length-udp6At))
	return headerSum6(h)
}

// headerSum6 is the part of the UDP checksum of the pseudo header and of the UDP header.
func headerSum6(h *[shift6 + udpSumAt]byte) uint64 {
	sum := swap16(protoUDP) + uint64(le.Uint32(h[udp6At:])) + 2*uint64(le.Uint16(h[udp6At+4:]))
	for at := ip6SrcAt; at < udp6At; at += 8 {
		sum += halves(le.Uint64(h[at:]))
	}
	return sum
}
