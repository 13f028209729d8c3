package frame

import (
	"math/bits"
	"net/netip"
)

// Builder makes the frames of one stream.
type Builder struct {
	length int
	stream uint16
	flow   flow
	single bool // the flow never changes

	head  [udpSumAt]byte // all that stands before the UDP checksum
	words [5]uint64      // the same, for copying
	fixed uint64         // the sum of what the UDP checksum covers up to there, with the pseudo header
	mid   uint64         // mark, stream and the first part of the time, as they lie behind the checksum
	late  uint64         // the rest of the time
	sum   uint64         // fixed and mid
}

// NewBuilder is the builder of frames of that length, from MinLen to MaxLen.
func NewBuilder(f Flows, stream uint16, length int) *Builder {
	b := &Builder{length: length, stream: stream, flow: f.first(), single: f.single()}
	b.address()
	b.SetTime(0)
	return b
}

// Len is the length of the frames.
func (b *Builder) Len() int { return b.length }

// Stream is the number of the stream.
func (b *Builder) Stream() uint16 { return b.stream }

// SetTime sets the time that the next frames carry, Unix time in nanoseconds.
func (b *Builder) SetTime(t uint64) {
	t &= timeMask
	b.mid = bits.ReverseBytes64(mark<<32 | uint64(b.stream)<<16 | t>>32)
	b.late = t << 32
	b.sum = b.fixed + halves(b.mid)
}

// Put writes a frame into a buffer of at least 64 bytes and the frame's length. Bytes between the frame's end and 64 may
// change.
func (b *Builder) Put(buf []byte, seq uint64) {
	p := (*[64]byte)(buf)
	le.PutUint64(p[0:], b.words[0])
	le.PutUint64(p[8:], b.words[1])
	le.PutUint64(p[16:], b.words[2])
	le.PutUint64(p[24:], b.words[3])
	le.PutUint64(p[32:], b.words[4])
	word := bits.ReverseBytes64(b.late | seq>>32)
	last := bits.ReverseBytes32(uint32(seq))
	sum := b.sum + halves(word) + uint64(last)
	if b.length > patternAt {
		rest, s := patternOf(seq, b.length-patternAt)
		copy(buf[patternAt:], rest)
		sum += s
	}
	check := ^fold(sum)
	if check == 0 {
		check = 0xffff // 0 would say that there is none
	}
	le.PutUint64(p[udpSumAt:], b.mid|uint64(check))
	le.PutUint64(p[udpSumAt+8:], word)
	le.PutUint32(p[udpSumAt+16:], last)
	if !b.single {
		b.flow.next()
		b.address()
	}
}

// address writes the header for the current addresses and adds up its checksums.
func (b *Builder) address() {
	h, f := &b.head, &b.flow
	copy(h[0:], f.DstMAC.at(f.dstMAC))
	copy(h[6:], f.SrcMAC.at(f.srcMAC))
	be.PutUint16(h[12:], etherIPv4)
	be.PutUint32(h[ipAt:], versionIHL<<24|uint32(b.length-ipAt))
	be.PutUint32(h[ipIDAt:], markIP<<16)
	be.PutUint32(h[ipAt+8:], ttl<<24|protoUDP<<16) // and no checksum yet
	be.PutUint32(h[ipSrcAt:], f.src.ip)
	be.PutUint32(h[ipDstAt:], f.dst.ip)
	be.PutUint16(h[udpAt:], f.src.port)
	be.PutUint16(h[udpDstAt:], f.dst.port)
	be.PutUint16(h[udpLenAt:], uint16(b.length-udpAt))

	addresses := halves(le.Uint64(h[ipSrcAt:]))
	le.PutUint16(h[ipSumAt:], ^fold(halves(le.Uint64(h[ipAt:]))+uint64(le.Uint32(h[ipAt+8:]))+addresses))
	old := b.fixed
	b.fixed = addresses + swap16(protoUDP) + uint64(le.Uint32(h[udpAt:])) + 2*swap16(uint16(b.length-udpAt))
	b.sum += b.fixed - old
	for i := range b.words {
		b.words[i] = le.Uint64(h[8*i:])
	}
}

// flow is where a walk through Flows is.
type flow struct {
	Flows
	src, dst       host
	srcMAC, dstMAC uint64
}

type host struct {
	ip   uint32
	port uint16
}

func (f Flows) first() flow {
	return flow{Flows: f, src: f.Src.first(), dst: f.Dst.first(), srcMAC: f.SrcMAC.first, dstMAC: f.DstMAC.first}
}

// next goes on: the source's port counts fastest, then its address, then the destination's port and address. MAC
// addresses count for themselves.
func (f *flow) next() {
	if f.Src.next(&f.src) {
		f.Dst.next(&f.dst)
	}
	f.srcMAC = f.SrcMAC.next(f.srcMAC)
	f.dstMAC = f.DstMAC.next(f.dstMAC)
}

// next steps to the next host and says whether the range starts anew.
func (r Hosts) next(h *host) bool {
	if h.port < r.lastPort {
		h.port++
		return false
	}
	h.port = r.firstPort
	if h.ip < r.lastIP {
		h.ip++
		return false
	}
	h.ip = r.firstIP
	return true
}

func (r Hosts) first() host { return host{r.firstIP, r.firstPort} }

func (r MACs) next(m uint64) uint64 {
	if m < r.last {
		return m + 1
	}
	return r.first
}

func (r MACs) at(m uint64) []byte {
	var b [8]byte
	be.PutUint64(b[:], m)
	return b[2:]
}

func ipOf(v uint32) netip.Addr {
	var b [4]byte
	be.PutUint32(b[:], v)
	return netip.AddrFrom4(b)
}
