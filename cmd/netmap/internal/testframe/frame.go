// Package frame builds the frames by which a generator and a receiver measure each other, and
// checks them: each carries its sequence number, the time it was made, and bytes that follow from
// the two, so that a receiver who knows nothing of the sender can tell what was lost, repeated,
// reordered or changed.
//
//	 0  Ethernet                 14 bytes
//	14  IPv4, no options         20 bytes, identification is a part of the mark
//	34  UDP                       8 bytes
//	42  mark                      2 bytes
//	44  stream                    2 bytes, one for every sending thread
//	46  time                      6 bytes, nanoseconds of Unix time modulo 2^48: it wraps after 78 hours
//	52  sequence number           8 bytes, from 0, counted in each stream by itself
//	60  pattern                   the rest, see pattern
//
// With IPv6 everything from UDP on stands 20 bytes later, and its flow label is a part of the mark.
//
// All numbers are in network byte order. The checksums of IP and UDP are right. Up to the pattern
// the UDP checksum tells what was changed; the pattern is compared byte by byte.
package testframe

import (
	"encoding/binary"
	"math/bits"
)

const (
	// MinLen is the length of the shortest frame, without CRC: the shortest of Ethernet.
	MinLen = 60
	// MaxLen is the length of the longest.
	MaxLen = 16384
	// MinLen6 is MinLen with IPv6: the mark does not fit into less.
	MinLen6 = MinLen + shift6
	// MarkLen is how much of it the mark takes, with all that belongs to it.
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

	shift6    = 20 // how much later all from UDP on stands with IPv6
	ip6LenAt  = 18
	ip6NextAt = 20
	ip6SrcAt  = 22
	ip6DstAt  = 38
	udp6At    = udpAt + shift6

	mark   = 0x9e4d // at markAt
	markIP = 0x6d70 // the other half, in the identification of IP, or in the flow label

	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	version6   = 6 << 28
	versionIHL = 0x45
	ttl        = 64
	protoUDP   = 17
	protoTCP   = 6

	timeMask = 1<<48 - 1
)

// be and le: numbers are big-endian on the wire. Checksums are added up in little-endian words,
// which gives the same checksum with its bytes swapped, and saves swapping the data.
var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// halves is what a word of 64 bits contributes to a sum. Sums are folded at the end only.
func halves(w uint64) uint64 { return w>>32 + w&0xffffffff }

// fold makes a sum of one's complement arithmetic out of a sum of words.
func fold(sum uint64) uint16 {
	sum = halves(sum)
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum)
}

// swap16 turns a number around into the order in which sums are made.
func swap16(v uint16) uint64 { return uint64(bits.ReverseBytes16(v)) }

// Since is how many nanoseconds lie between a frame's time and now, both modulo 2^48. It is
// negative if the frame comes from a clock that is ahead.
func Since(now, then uint64) int64 { return int64((now-then)<<16) >> 16 }

// Turn copies a frame with source and destination exchanged, MAC addresses, IP addresses and ports:
// the answer to a ping. Checksums stay right. It returns the length.
func Turn(dst, src []byte) int {
	n := copy(dst, src)
	if n < ipAt {
		return n
	}
	exchange(dst, src, 0, 6)
	switch kind := be.Uint16(src[12:]); {
	case kind == etherIPv4 && n >= udpAt && src[ipAt]>>4 == 4:
		exchange(dst, src, ipSrcAt, 4)
		if ports := ipAt + int(src[ipAt]&0xf)*4; ports >= udpAt {
			turnPorts(dst[:n], src, src[ipAt+9], ports)
		}
	case kind == etherIPv6 && n >= udp6At && src[ipAt]>>4 == 6:
		exchange(dst, src, ip6SrcAt, 16)
		turnPorts(dst[:n], src, src[ip6NextAt], udp6At)
	}
	return n
}

// exchange writes the two fields of size bytes that stand at a place of src into dst, the other way
// round.
func exchange(dst, src []byte, at, size int) {
	copy(dst[at:], src[at+size:at+2*size])
	copy(dst[at+size:], src[at:at+size])
}

func turnPorts(dst, src []byte, proto byte, at int) {
	if (proto == protoUDP || proto == protoTCP) && len(dst) >= at+4 {
		exchange(dst, src, at, 2)
	}
}
