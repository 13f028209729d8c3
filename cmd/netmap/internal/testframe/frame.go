// Package testframe builds and checks the frames of a traffic generator. Each frame has a sequence
// number, the time at which it was made, and a pattern that follows from the number. So a receiver
// finds lost, repeated, reordered and changed frames without knowing the sender.
//
//	 0  Ethernet                 14 bytes
//	14  IPv4, no options         20 bytes, identification is a part of the mark
//	34  UDP                       8 bytes
//	42  mark                      2 bytes
//	44  stream                    2 bytes, one for every sending thread
//	46  time                      6 bytes, Unix time in ns modulo 2^48: it wraps after 78 hours
//	52  sequence number           8 bytes, from 0, counted in each stream by itself
//	60  pattern                   the rest, see pattern
//
// With IPv6, all from UDP on stands 20 bytes later, and the flow label is a part of the mark.
//
// All numbers are in network byte order. The checksums of IP and UDP are correct. A change before
// the pattern makes the UDP checksum wrong; the pattern is compared byte by byte.
package testframe

import (
	"encoding/binary"
	"math/bits"
)

const (
	// MinLen is the length of the shortest frame in bytes without CRC: Ethernet's minimum.
	MinLen = 60
	// MaxLen is the length of the longest frame.
	MaxLen = 16384
	// MinLen6 is MinLen with IPv6: the mark does not fit into a shorter frame.
	MinLen6 = MinLen + shift6
	// MarkLen is the length of mark, stream, time and sequence number together.
	MarkLen = patternAt - markAt

	ipAt      = 14
	ipIDAt    = 18
	ipSumAt   = 24
	ipSrcAt   = 26
	ipDstAt   = 30
	udpAt     = 34
	udpDstAt  = 36
	udpLenAt  = 38
	udpSumAt  = 40
	markAt    = 42
	streamAt  = 44
	timeAt    = 46
	seqAt     = 52
	patternAt = MinLen

	shift6    = 20 // how many bytes later all from UDP on stands with IPv6
	ip6LenAt  = 18
	ip6NextAt = 20
	ip6SrcAt  = 22
	ip6DstAt  = 38
	udp6At    = udpAt + shift6

	mark   = 0x9e4d // at markAt
	markIP = 0x6d70 // the other half, in IPv4's identification or IPv6's flow label

	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	version6   = 6 << 28
	versionIHL = 0x45
	ttl        = 64
	protoUDP   = 17
	protoTCP   = 6

	timeMask = 1<<48 - 1
)

// Numbers are big-endian on the wire. Checksums are summed in little-endian words, which gives the
// same checksum with its bytes swapped, and saves swapping the data.
var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// halves is what a word of 64 bits adds to a sum. Sums are folded only at the end.
func halves(w uint64) uint64 { return w>>32 + w&0xffffffff }

// fold turns a sum of words into a one's complement sum of 16 bits.
func fold(sum uint64) uint16 {
	sum = halves(sum)
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}

// swap16 swaps the bytes of a number, for sums of little-endian words.
func swap16(v uint16) uint64 { return uint64(bits.ReverseBytes16(v)) }

// Since is the time from then, which a frame carries, to now, in nanoseconds. Both are modulo 2^48.
// The result is negative if the sender's clock is ahead.
func Since(now, then uint64) int64 { return int64((now-then)<<16) >> 16 }

// Reverse copies a frame with source and destination exchanged: MAC addresses, IP addresses and
// ports. Checksums stay correct. It returns the length of the copy.
func Reverse(dst, src []byte) int {
	n := copy(dst, src)
	if n < ipAt {
		return n
	}
	exchange(dst, src, 0, 6)
	switch kind := be.Uint16(src[12:]); {
	case kind == etherIPv4 && n >= udpAt && src[ipAt]>>4 == 4:
		exchange(dst, src, ipSrcAt, 4)
		if ports := ipAt + int(src[ipAt]&0xf)*4; ports >= udpAt {
			exchangePorts(dst[:n], src, src[ipAt+9], ports)
		}
	case kind == etherIPv6 && n >= udp6At && src[ipAt]>>4 == 6:
		exchange(dst, src, ip6SrcAt, 16)
		exchangePorts(dst[:n], src, src[ip6NextAt], udp6At)
	}
	return n
}

// exchange copies two fields of size bytes each, which stand at at, and exchanges them.
func exchange(dst, src []byte, at, size int) {
	copy(dst[at:], src[at+size:at+2*size])
	copy(dst[at+size:], src[at:at+size])
}

func exchangePorts(dst, src []byte, proto byte, at int) {
	if (proto == protoUDP || proto == protoTCP) && len(dst) >= at+4 {
		exchange(dst, src, at, 2)
	}
}
