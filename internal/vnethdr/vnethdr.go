// Package vnethdr reads virtio-net headers, and does what they request of the packets behind them:
// it completes checksums, and splits packets that are larger than a frame. It knows no rings.
package vnethdr

import (
	"encoding/binary"
	"math/bits"
)

// Offload is what a virtio-net header requests.
type Offload struct {
	flags, kind byte // flags, gso_type without the ECN bit
	size        int  // gso_size: payload of a segment
	start       int  // csum_start: the checksum covers the packet from here on
	at          int  // csum_start + csum_offset: where the checksum is
}

// Flags and types of a virtio-net header.
const (
	NeedsSum  = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	DataValid = 2 // VIRTIO_NET_HDR_F_DATA_VALID

	GSONone  = 0    // VIRTIO_NET_HDR_GSO_NONE
	GSOTCP4  = 1    // VIRTIO_NET_HDR_GSO_TCPV4
	GSOUDP   = 3    // VIRTIO_NET_HDR_GSO_UDP: a datagram to be sent in IP fragments
	GSOTCP6  = 4    // VIRTIO_NET_HDR_GSO_TCPV6
	GSOUDPL4 = 5    // VIRTIO_NET_HDR_GSO_UDP_L4: several datagrams
	GSOECN   = 0x80 // VIRTIO_NET_HDR_GSO_ECN
)

// MinLength and MaxLength are the two lengths of a header in bytes: without and with num_buffers.
const (
	MinLength = 10
	MaxLength = 12
)

// ValidLength reports whether the headers of a port may have that length; 0 is none.
func ValidLength(n uint32) bool { return n == 0 || n == MinLength || n == MaxLength }

const etherHead = 14

// Parse reads the first MinLength bytes of a header, little-endian as the machine is.
func Parse(h []byte) Offload {
	start := int(binary.LittleEndian.Uint16(h[6:]))
	return Offload{
		flags: h[0], kind: h[1] &^ GSOECN, size: int(binary.LittleEndian.Uint16(h[4:])),
		start: start, at: start + int(binary.LittleEndian.Uint16(h[8:])),
	}
}

// Valid reports whether flags and type are known.
func (o Offload) Valid() bool {
	switch o.kind {
	case GSONone, GSOTCP4, GSOTCP6, GSOUDP, GSOUDPL4:
		return o.flags&^(NeedsSum|DataValid) == 0
	}
	return false
}

// None reports whether nothing is requested.
func (o Offload) None() bool { return o.kind == GSONone && o.flags&NeedsSum == 0 }

// Splits reports whether the packet has to be split.
func (o Offload) Splits() bool { return o.kind != GSONone }

// Complete writes the checksum, whose field holds the sum of the pseudo header. It returns false if
// the field is not in the packet.
func (o Offload) Complete(packet []byte) bool {
	if o.at+2 > len(packet) {
		return false
	}
	binary.BigEndian.PutUint16(packet[o.at:], ^sumTo(sum(0, packet[o.start:])))
	return true
}

// Segments splits a packet into frames.
type Segments struct {
	packet  []byte // headers and the whole payload
	ip, l4  int    // where the headers start
	payload int    // where the part that is split starts
	size    int    // bytes of that part in a frame
	kind    byte
	v4      bool
	off     int // in the payload
	index   int // of the next frame
}

// Offsets in headers.
const (
	ip4Length, ip4ID, ip4Fragment, ip4Proto, ip4Sum, ip4Src = 2, 4, 6, 9, 10, 12
	ip6Length, ip6Next, ip6Src                              = 4, 6, 8
	tcpSeq, tcpOffset, tcpFlags, tcpSum                     = 4, 12, 13, 16
	udpLength, udpSum                                       = 4, 6

	ip6Head, udpHead = 40, 8

	tcpFIN, tcpPSH, tcpCWR = 0x01, 0x08, 0x80
	moreFragments          = 0x2000
)

// Init starts with the first frame; no frame is longer than most bytes. It returns false for a
// packet that does not have the headers of the type of offload.
func (s *Segments) Init(packet []byte, wish Offload, most int) bool {
	*s = Segments{packet: packet, kind: wish.kind, ip: etherHead}
	var proto byte
	for {
		if len(packet) < s.ip {
			return false
		}
		kind := binary.BigEndian.Uint16(packet[s.ip-2:])
		if kind == 0x8100 || kind == 0x88a8 {
			s.ip += 4
			continue
		}
		if s.v4 = kind == 0x0800; !s.v4 && kind != 0x86dd {
			return false
		}
		break
	}
	ip := packet[s.ip:]
	switch {
	case s.v4:
		if len(ip) < 20 || ip[0]>>4 != 4 || ip[0]&0xf < 5 {
			return false
		}
		s.l4, proto = s.ip+int(ip[0]&0xf)*4, ip[ip4Proto]
	default:
		if len(ip) < ip6Head || ip[0]>>4 != 6 {
			return false
		}
		s.l4, proto = s.ip+ip6Head, ip[ip6Next]
	}
	return s.initL4(proto, wish, most)
}

func (s *Segments) initL4(proto byte, wish Offload, most int) bool {
	tcp := wish.kind == GSOTCP4 && s.v4 || wish.kind == GSOTCP6 && !s.v4
	udp := wish.kind == GSOUDP && s.v4 || wish.kind == GSOUDPL4
	switch {
	case tcp && proto == 6 && len(s.packet) >= s.l4+20:
		s.payload = s.l4 + int(s.packet[s.l4+tcpOffset]>>4)*4
		if s.payload < s.l4+20 {
			return false
		}
	case udp && proto == 17 && len(s.packet) >= s.l4+udpHead:
		s.payload = s.l4 + udpHead
	default:
		return false
	}
	if wish.kind == GSOUDP {
		binary.BigEndian.PutUint16(s.packet[s.l4+udpLength:], uint16(len(s.packet)-s.l4))
		s.sumL4(s.packet, len(s.packet))
		s.payload = s.l4
	}
	if len(s.packet)-s.ip > 1<<16-1 || len(s.packet) < s.payload {
		return false
	}
	s.size = most - s.payload
	if wish.size > 0 {
		s.size = min(s.size, wish.size)
	}
	if wish.kind == GSOUDP {
		s.size &^= 7
	}
	return s.size > 0
}

// Count is the number of frames.
func (s *Segments) Count() int { return max(1, (len(s.packet)-s.payload+s.size-1)/s.size) }

// More reports whether there is another frame.
func (s *Segments) More() bool { return s.index < s.Count() }

// Write writes the next frame to b and returns its length. It skips a frame that is longer than b,
// and returns 0.
func (s *Segments) Write(b []byte) int {
	from := s.payload + s.off
	data := s.packet[from:min(from+s.size, len(s.packet))]
	length, last := s.payload+len(data), from+len(data) == len(s.packet)
	off, index := s.off, s.index
	s.off += len(data)
	s.index++
	if len(b) < length {
		return 0
	}
	b = b[:length]
	copy(b, s.packet[:s.payload])
	copy(b[s.payload:], data)
	s.fixIP(b, off, index, last)
	switch l4 := b[s.l4:]; s.kind {
	case GSOUDP:
	case GSOUDPL4:
		binary.BigEndian.PutUint16(l4[udpLength:], uint16(len(l4)))
		s.sumL4(b, length)
	default:
		binary.BigEndian.PutUint32(l4[tcpSeq:], binary.BigEndian.Uint32(l4[tcpSeq:])+uint32(off))
		if !last {
			l4[tcpFlags] &^= tcpFIN | tcpPSH
		}
		if index > 0 {
			l4[tcpFlags] &^= tcpCWR
		}
		s.sumL4(b, length)
	}
	return length
}

// fixIP writes what differs from frame to frame in the IP header: length, identification or
// fragment offset, and checksum.
func (s *Segments) fixIP(b []byte, off, index int, last bool) {
	ip := b[s.ip:s.l4]
	if !s.v4 {
		binary.BigEndian.PutUint16(ip[ip6Length:], uint16(len(b)-s.l4))
		return
	}
	binary.BigEndian.PutUint16(ip[ip4Length:], uint16(len(b)-s.ip))
	if s.kind == GSOUDP {
		fragment := uint16(off / 8)
		if !last {
			fragment |= moreFragments
		}
		binary.BigEndian.PutUint16(ip[ip4Fragment:], fragment)
	} else {
		binary.BigEndian.PutUint16(ip[ip4ID:], binary.BigEndian.Uint16(ip[ip4ID:])+uint16(index))
	}
	ip[ip4Sum], ip[ip4Sum+1] = 0, 0
	binary.BigEndian.PutUint16(ip[ip4Sum:], ^fold(sum(0, ip)))
}

// sumL4 writes the checksum of TCP or UDP in the first length bytes of a frame.
func (s *Segments) sumL4(b []byte, length int) {
	l4, proto, at := b[s.l4:length], uint64(6), tcpSum
	if s.kind == GSOUDP || s.kind == GSOUDPL4 {
		proto, at = 17, udpSum
	}
	addresses := b[s.ip+ip6Src : s.ip+ip6Head]
	if s.v4 {
		addresses = b[s.ip+ip4Src : s.ip+20]
	}
	l4[at], l4[at+1] = 0, 0
	binary.BigEndian.PutUint16(l4[at:], ^sumTo(sum(sum(proto+uint64(len(l4)), addresses), l4)))
}

// sum adds the 16-bit words of b to acc, as 64-bit words. An even number of bytes comes before b.
func sum(acc uint64, b []byte) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		var carry uint64
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), 0)
		acc += carry
	}
	var last [8]byte
	copy(last[:], b)
	acc, carry := bits.Add64(acc, binary.BigEndian.Uint64(last[:]), 0)
	return acc + carry
}

// fold reduces a sum to 16 bits.
func fold(acc uint64) uint16 {
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}

// sumTo is fold for a sum whose complement is the checksum in a TCP or UDP header: it never returns
// 0xffff, because a checksum of 0 means that there is none.
func sumTo(acc uint64) uint16 {
	if n := fold(acc); n != 0xffff {
		return n
	}
	return 0
}
