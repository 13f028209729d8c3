// Package frame builds the frames by which a generator and a receiver measure each other, and checks them: each carries its
// sequence number, the time it was made, and bytes that follow from the two, so that a receiver who knows nothing of the
// sender can tell what was lost, repeated, reordered or changed.
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
// All numbers are in network byte order. The checksums of IP and UDP are right. Up to the pattern the UDP checksum tells
// what was changed; the pattern is compared byte by byte.
package frame

import (
	"encoding/binary"
	"math/bits"
)

const (
	// MinLen is the length of the shortest frame, without CRC: the shortest of Ethernet.
	MinLen = 60
	// MaxLen is the length of the longest.
	MaxLen = 16384

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

	mark   = 0x9e4d // at markAt
	markIP = 0x6d70 // the other half, in the identification of IP

	etherIPv4  = 0x0800
	versionIHL = 0x45
	ttl        = 64
	protoUDP   = 17
	protoTCP   = 6

	timeMask = 1<<48 - 1
)

// be and le: numbers are big-endian on the wire. Checksums are added up in little-endian words, which gives the same
// checksum with its bytes swapped, and saves swapping the data.
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

// Since is how many nanoseconds lie between a frame's time and now, both modulo 2^48. It is negative if the frame comes
// from a clock that is ahead.
func Since(now, then uint64) int64 { return int64((now-then)<<16) >> 16 }

// Turn copies a frame with source and destination exchanged, MAC addresses, IPv4 addresses and ports: the answer to a
// ping. Checksums stay right. It returns the length.
func Turn(dst, src []byte) int {
	n := copy(dst, src)
	if n < ipAt {
		return n
	}
	copy(dst[0:6], src[6:12])
	copy(dst[6:12], src[0:6])
	if n < udpAt || be.Uint16(src[12:]) != etherIPv4 || src[ipAt]>>4 != 4 {
		return n
	}
	copy(dst[ipSrcAt:], src[ipDstAt:ipDstAt+4])
	copy(dst[ipDstAt:], src[ipSrcAt:ipSrcAt+4])
	ports := ipAt + int(src[ipAt]&0xf)*4
	if proto := src[ipAt+9]; (proto == protoUDP || proto == protoTCP) && n >= ports+4 && ports >= udpAt {
		copy(dst[ports:], src[ports+2:ports+4])
		copy(dst[ports+2:], src[ports:ports+2])
	}
	return n
}
