package testframe

import "bytes"

// Mark is the data in a frame.
type Mark struct {
	Stream uint16
	Time   uint64 // modulo 2^48
	Seq    uint64
}

// Verdict is the result of checking a frame.
type Verdict uint8

// The verdicts.
const (
	Foreign Verdict = iota // not made by a Builder
	Corrupt                // made by a Builder, and changed since
	Good
)

// Checker checks frames. It remembers the last good header, because most frames have the same one.
// The zero Checker is ready for use.
type Checker struct {
	length int
	head   [4]uint64 // bytes 12 to 40 of a good header, some of them twice
	sum    uint64    // its part of the UDP checksum
}

// Check checks every byte of a frame except the MAC addresses. The Mark is valid only if the frame
// is Good.
func (c *Checker) Check(f []byte) (Mark, Verdict) {
	if len(f) < MinLen {
		return Mark{}, Foreign
	}
	p := (*[MinLen]byte)(f)
	middle := be.Uint64(p[markAt:])
	if middle>>48 != mark || be.Uint16(p[ipIDAt:]) != markIP {
		return check6(f)
	}
	m := Mark{Stream: uint16(middle >> 32), Time: be.Uint64(p[streamAt:]) & timeMask,
		Seq: be.Uint64(p[seqAt:])}
	head := [4]uint64{le.Uint64(p[12:]), le.Uint64(p[20:]), le.Uint64(p[28:]), le.Uint64(p[32:])}
	if head != c.head || len(f) != c.length {
		if !goodHeader(p, len(f)) {
			return m, Corrupt
		}
		c.head, c.length, c.sum = head, len(f), headerSum(p)
	}
	sum := c.sum + bodySum(p)
	if len(f) > patternAt {
		want, s := patternOf(m.Seq, len(f)-patternAt)
		if !bytes.Equal(f[patternAt:], want) {
			return m, Corrupt
		}
		sum += s
	}
	if fold(sum) != 0xffff {
		return m, Corrupt
	}
	return m, Good
}

func markOf(p *[MinLen]byte) Mark {
	return Mark{Stream: be.Uint16(p[streamAt:]), Time: be.Uint64(p[streamAt:]) & timeMask,
		Seq: be.Uint64(p[seqAt:])}
}

// bodySum is the part of the UDP checksum of the bytes from the checksum to the pattern.
func bodySum(p *[MinLen]byte) uint64 {
	return halves(le.Uint64(p[udpSumAt:])) + halves(le.Uint64(p[udpSumAt+8:])) +
		uint64(le.Uint32(p[udpSumAt+16:]))
}

// check6 checks a frame of IPv6. It is the same as IPv4 from UDP on, but 20 bytes later.
func check6(f []byte) (Mark, Verdict) {
	if len(f) < MinLen6 || be.Uint16(f[12:]) != etherIPv6 || be.Uint16(f[ipAt+2:]) != markIP ||
		be.Uint16(f[markAt+shift6:]) != mark {
		return Mark{}, Foreign
	}
	body := (*[MinLen]byte)(f[shift6:])
	m := markOf(body)
	n, h := len(f)-udp6At, (*[shift6 + udpSumAt]byte)(f)
	if len(f) > MaxLen || h[ipAt]>>4 != 6 || h[ipAt+1]&0xf != 0 || h[ip6NextAt] != protoUDP ||
		int(be.Uint16(h[ip6LenAt:])) != n ||
		int(be.Uint16(h[udp6At+4:])) != n {
		return m, Corrupt
	}
	want, sum := patternOf(m.Seq, len(f)-MinLen6)
	if !bytes.Equal(f[MinLen6:], want) || fold(sum+headerSum6(h)+bodySum(body)) != 0xffff {
		return m, Corrupt
	}
	return m, Good
}

func goodHeader(p *[MinLen]byte, n int) bool {
	sum := halves(le.Uint64(p[ipAt:])) + halves(le.Uint64(p[ipAt+8:])) + uint64(le.Uint32(p[ipAt+16:]))
	return n <= MaxLen && be.Uint32(p[12:]) == etherIPv4<<16|versionIHL<<8 && p[ipAt+9] == protoUDP &&
		int(be.Uint16(p[ipAt+2:])) == n-ipAt && int(be.Uint16(p[udpLenAt:])) == n-udpAt &&
		fold(sum) == 0xffff
}

// headerSum is the part of the UDP checksum of the pseudo header and of the UDP header.
func headerSum(p *[MinLen]byte) uint64 {
	return halves(le.Uint64(p[ipSrcAt:])) + swap16(protoUDP) + uint64(le.Uint32(p[udpAt:])) +
		2*uint64(le.Uint16(p[udpLenAt:]))
}
