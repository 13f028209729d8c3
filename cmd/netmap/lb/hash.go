package lb

import (
	"encoding/binary"
	"math/bits"
)

// hashing is the part of a frame that determines its pipe. The two directions of a conversation
// always have the same hash.
type hashing int

const (
	byFlow hashing = iota // addresses, protocol and ports
	byIP                  // IP addresses
	byMAC                 // Ethernet addresses
)

var hashings = map[string]hashing{"flow": byFlow, "ip": byIP, "mac": byMAC}

const (
	etherIPv4, etherIPv6, etherVLAN, etherQinQ, etherBridge = 0x0800, 0x86dd, 0x8100, 0x88a8, 0x6558

	protoHopByHop, protoIPIP, protoTCP, protoUDP, protoDCCP, protoIPv6 = 0, 4, 6, 17, 33, 41
	protoRouting, protoFragment, protoGRE, protoAH, protoOptions       = 43, 44, 47, 51, 60
	protoSCTP, protoUDPLite                                            = 132, 136

	etherLen, vlanLen, ipv4Len, ipv6Len, greLen = 14, 4, 20, 40, 4

	// Limits of parsing a frame.
	mostTags, mostTunnels, mostExtensions = 4, 3, 8

	// Flags of the optional fields of a GRE header.
	greChecksum, greKey, greSequence byte = 0x80, 0x20, 0x10

	seedA, seedB uint64 = 0x9e3779b97f4a7c15, 0xd6e8feb86659fd93
)

// hash returns the hash of a frame, and whether it is IP. A flow is that of the innermost packet of
// tunnels (IP in IP, GRE). All fragments of a packet have the same hash, which is made of addresses
// and protocol only. Frames that are not IP, or are cut off before the IP addresses, are hashed by
// their Ethernet addresses.
func (by hashing) hash(frame []byte) (h uint64, ip bool) {
	if len(frame) < etherLen {
		return 0, false
	}
	if by != byMAC {
		if h, ip = by.ether(frame, mostTunnels); ip {
			return h, true
		}
	}
	a := uint64(binary.BigEndian.Uint32(frame))<<16 | uint64(binary.BigEndian.Uint16(frame[4:]))
	b := uint64(binary.BigEndian.Uint32(frame[6:]))<<16 | uint64(binary.BigEndian.Uint16(frame[10:]))
	kind := binary.BigEndian.Uint16(frame[12:])
	return join(mix(a, seedA), mix(b, seedA), 0), by == byMAC &&
		(kind == etherIPv4 || kind == etherIPv6)
}

// mix hashes two words: it folds the halves of their product.
func mix(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a^seedA, b^seedB)
	return hi ^ lo
}

// join returns the hash of the two ends of a conversation, in either order, and of one more word.
func join(a, b, more uint64) uint64 { return mix(a+b, a^b^more) }

// pipeOf returns the number of the pipe for a hash.
func pipeOf(h uint64, pipes int) uint64 {
	pipe, _ := bits.Mul64(h, uint64(pipes))
	return pipe
}

// ether returns the hash of the packet in a frame, behind VLAN tags.
func (by hashing) ether(f []byte, tunnels int) (uint64, bool) {
	if len(f) < etherLen {
		return 0, false
	}
	kind := binary.BigEndian.Uint16(f[12:])
	f = f[etherLen:]
	for range mostTags {
		if kind != etherVLAN && kind != etherQinQ || len(f) < vlanLen {
			break
		}
		kind = binary.BigEndian.Uint16(f[2:])
		f = f[vlanLen:]
	}
	return by.packet(kind, f, tunnels)
}

// packet returns the hash of a packet of Ethernet type kind.
func (by hashing) packet(kind uint16, f []byte, tunnels int) (uint64, bool) {
	switch kind {
	case etherIPv4:
		return by.ipv4(f, tunnels)
	case etherIPv6:
		return by.ipv6(f, tunnels)
	case etherBridge:
		return by.ether(f, tunnels)
	}
	return 0, false
}

func (by hashing) ipv4(f []byte, tunnels int) (uint64, bool) {
	if len(f) < ipv4Len {
		return 0, false
	}
	size := 4 * int(f[0]&15)
	if f[0]>>4 != 4 || size < ipv4Len {
		return 0, false
	}
	a, b := uint64(binary.BigEndian.Uint32(f[12:])), uint64(binary.BigEndian.Uint32(f[16:]))
	if by == byIP {
		return join(mix(a, 0), mix(b, 0), 0), true
	}
	proto := f[9]
	whole := binary.BigEndian.Uint16(f[6:])&0x3fff == 0 && len(f) >= size
	if whole {
		if h, ok := by.inner(proto, f[size:], tunnels); ok {
			return h, true
		}
	}
	sport, dport := uint64(0), uint64(0)
	if whole {
		sport, dport = ports(proto, f[size:])
	}
	return join(mix(a, sport), mix(b, dport), uint64(proto)), true
}

func (by hashing) ipv6(f []byte, tunnels int) (uint64, bool) {
	if len(f) < ipv6Len || f[0]>>4 != 6 {
		return 0, false
	}
	a := mix(binary.BigEndian.Uint64(f[8:]), binary.BigEndian.Uint64(f[16:]))
	b := mix(binary.BigEndian.Uint64(f[24:]), binary.BigEndian.Uint64(f[32:]))
	if by == byIP {
		return join(a, b, 0), true
	}
	proto, rest, whole := extensions(f[6], f[ipv6Len:])
	if whole {
		if h, ok := by.inner(proto, rest, tunnels); ok {
			return h, true
		}
	}
	sport, dport := uint64(0), uint64(0)
	if whole {
		sport, dport = ports(proto, rest)
	}
	return join(mix(a, sport), mix(b, dport), uint64(proto)), true
}

// extensions skips the extension headers of IPv6. whole is false for fragments and for packets that
// are cut off.
func extensions(proto byte, f []byte) (last byte, rest []byte, whole bool) {
	for range mostExtensions {
		size := 8
		switch proto {
		case protoHopByHop, protoRouting, protoOptions:
			if len(f) >= 2 {
				size += 8 * int(f[1])
			}
		case protoAH:
			if len(f) >= 2 {
				size = 4 * (int(f[1]) + 2)
			}
		case protoFragment:
			if len(f) < size {
				return proto, nil, false
			}
			if binary.BigEndian.Uint16(f[2:])&^6 != 0 { // not the only fragment
				return f[0], nil, false
			}
		default:
			return proto, f, true
		}
		if len(f) < size {
			return proto, nil, false
		}
		proto, f = f[0], f[size:]
	}
	return proto, nil, false
}

// ports returns the ports behind an IP header, plus 1; 0 if the protocol has none.
func ports(proto byte, f []byte) (src, dst uint64) {
	switch proto {
	case protoTCP, protoUDP, protoSCTP, protoDCCP, protoUDPLite:
		if len(f) >= 4 {
			return 1 + uint64(binary.BigEndian.Uint16(f)), 1 + uint64(binary.BigEndian.Uint16(f[2:]))
		}
	}
	return 0, 0
}

// inner returns the hash of the packet in a tunnel.
func (by hashing) inner(proto byte, f []byte, tunnels int) (uint64, bool) {
	if tunnels == 0 {
		return 0, false
	}
	switch proto {
	case protoIPIP:
		return by.ipv4(f, tunnels-1)
	case protoIPv6:
		return by.ipv6(f, tunnels-1)
	case protoGRE:
		return by.gre(f, tunnels-1)
	}
	return 0, false
}

// gre returns the hash of the packet in GRE, version 0.
func (by hashing) gre(f []byte, tunnels int) (uint64, bool) {
	if len(f) < greLen || f[1]&7 != 0 {
		return 0, false
	}
	size := greLen + 4*bits.OnesCount8(f[0]&(greChecksum|greKey|greSequence))
	if len(f) < size {
		return 0, false
	}
	return by.packet(binary.BigEndian.Uint16(f[2:]), f[size:], tunnels)
}
