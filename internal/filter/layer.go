package filter

import (
	"encoding/binary"
	"net/netip"
)

// layers says where in a frame the headers are, in bytes from its start.
type layers struct {
	link    uint32 // the Ethernet type
	payload uint32 // what follows it: the IP header
}

var ethernet = layers{12, 14}

// where the bytes of a protocol are that proto[offset] means.
type load int

const (
	noLoad    load = iota
	linkLoad       // from the start of the frame
	netLoad        // from the IP or ARP header
	ipLoad         // from what an IPv4 header of any length is followed by
	icmp6Load      // from what an IPv6 header is followed by
)

// protocol is what a protocol's name stands for.
type protocol struct {
	ether uint32 // its Ethernet type
	ip    uint32 // its number in IP
	test  func(*layers) *cond
	load  load
}

const (
	etherIP, etherARP, etherRARP, etherIP6 = 0x0800, 0x0806, 0x8035, 0x86dd

	ipTCP, ipUDP, ipSCTP, ip6Fragment = 6, 17, 132, 44
)

// protocols are the names of protocols.
var protocols = map[string]protocol{
	"ether": {test: func(*layers) *cond { return nil }, load: linkLoad},
	"link":  {test: func(*layers) *cond { return nil }, load: linkLoad},
	"ip":    overEther(etherIP),
	"ip6":   overEther(etherIP6),
	"arp":   overEther(etherARP),
	"rarp":  overEther(etherRARP),
	"aarp":  {ether: 0x80f3, test: func(l *layers) *cond { return l.etherType(0x80f3) }},
	"stp":   {ether: 0x42, test: func(l *layers) *cond { return l.etherType(0x42) }},
	"icmp":  {ip: 1, test: func(l *layers) *cond { return l.carried("ip", 1) }, load: ipLoad},
	"igmp":  {ip: 2, test: func(l *layers) *cond { return l.carried("ip", 2) }, load: ipLoad},
	"igrp":  {ip: 9, test: func(l *layers) *cond { return l.carried("ip", 9) }, load: ipLoad},
	"vrrp":  {ip: 112, test: func(l *layers) *cond { return l.carried("ip", 112) }, load: ipLoad},
	"carp":  {ip: 112, test: func(l *layers) *cond { return l.carried("ip", 112) }, load: ipLoad},
	"icmp6": {ip: 58, test: func(l *layers) *cond { return l.carried("ip6", 58) }, load: icmp6Load},
	"tcp":   overIP(ipTCP, ipLoad),
	"udp":   overIP(ipUDP, ipLoad),
	"sctp":  overIP(ipSCTP, ipLoad),
	"pim":   overIP(103, ipLoad),
	"ah":    overIP(51, noLoad),
	"esp":   overIP(50, noLoad),
}

func overEther(kind uint32) protocol {
	return protocol{ether: kind, test: func(l *layers) *cond { return l.etherType(kind) }, load: netLoad}
}

func overIP(number uint32, from load) protocol {
	return protocol{ip: number, test: func(l *layers) *cond { return l.carried("", number) }, load: from}
}

// portProtocols are the protocols in which a port is looked for, by qualifier.
var portProtocols = map[string][]uint32{
	"": {ipTCP, ipUDP, ipSCTP}, "tcp": {ipTCP}, "udp": {ipUDP}, "sctp": {ipSCTP},
}

// transportNames are those under which the system knows services.
var transportNames = map[uint32]string{ipTCP: "tcp", ipUDP: "udp"}

// etherType is a frame of that type. Numbers that are lengths are the service access points of LLC.
func (l *layers) etherType(n uint32) *cond {
	const longest = 1500
	if n > longest {
		return test(jumpEqual, n, ins(loadHalf, l.link))
	}
	return and(not(test(jumpGreater, longest, ins(loadHalf, l.link))), test(jumpEqual, n, ins(loadByte, l.payload)))
}

// carried is a frame whose IP, or Ethernet, header says that such a protocol follows; nil when proto is none that says so. IPv6 is
// looked into behind a fragment header, and behind no other.
func (l *layers) carried(proto string, n uint32) *cond {
	switch proto {
	case "":
		return or(l.carried("ip", n), l.carried("ip6", n))
	case "ether", "link":
		return l.etherType(n)
	case "ip":
		return and(l.etherType(etherIP), test(jumpEqual, n, ins(loadByte, l.payload+9)))
	case "ip6":
		next := ins(loadByte, l.payload+6)
		behind := and(test(jumpEqual, ip6Fragment, next), test(jumpEqual, n, ins(loadByte, l.payload+40)))
		return and(l.etherType(etherIP6), or(test(jumpEqual, n, next), behind))
	}
	return nil
}

// join applies a test to the directions.
func (d direction) join(match func(direction) *cond) *cond {
	switch d {
	case either:
		return or(match(src), match(dst))
	case both:
		return and(match(src), match(dst))
	}
	return match(d)
}

// ether is a frame from or to an Ethernet address.
func (l *layers) ether(d direction, a [6]byte) *cond {
	at := uint32(6)
	if d == dst {
		at = 0
	}
	return and(test(jumpEqual, binary.BigEndian.Uint32(a[2:]), ins(loadWord, at+2)),
		test(jumpEqual, uint32(binary.BigEndian.Uint16(a[:])), ins(loadHalf, at)))
}

// hostTest is how frames of one protocol are asked for an address.
type hostTest struct {
	proto    *cond
	src, dst uint32 // where the addresses are
}

// hostTests are the tests for an address in the protocols that the qualifier allows, none if it allows none.
func (l *layers) hostTests(proto string, six bool) (list []hostTest) {
	for _, k := range []struct {
		name     string
		six      bool
		src, dst uint32
	}{{"ip", false, 12, 16}, {"arp", false, 14, 24}, {"rarp", false, 14, 24}, {"ip6", true, 8, 24}} {
		if k.six == six && (proto == "" || proto == k.name) {
			list = append(list, hostTest{protocols[k.name].test(l), l.payload + k.src, l.payload + k.dst})
		}
	}
	return list
}

// match is a frame with an address in the network.
func (h hostTest) match(d direction, n netip.Prefix) (c *cond) {
	at := h.src
	if d == dst {
		at = h.dst
	}
	bytes := n.Addr().AsSlice()
	for i := 0; 8*i < n.Bits(); i += 4 {
		steps := []instruction{ins(loadWord, at+uint32(i))}
		if left := n.Bits() - 8*i; left < 32 {
			steps = append(steps, ins(andK, ^uint32(0)<<(32-left)))
		}
		c = and(c, test(jumpEqual, binary.BigEndian.Uint32(bytes[i:]), steps...))
	}
	if c == nil { // all addresses
		c = always
	}
	return c
}

// firstFragment is an IPv4 packet that is no later fragment, which would have no header of what it carries.
func (l *layers) firstFragment() *cond {
	return not(test(jumpAnySet, 0x1fff, ins(loadHalf, l.payload+6)))
}

// portTest is a frame with a port in a range.
func (l *layers) portTest(protos []uint32, d direction, low, high uint32) *cond {
	in := func(steps ...instruction) *cond {
		if low == high {
			return test(jumpEqual, low, steps...)
		}
		return and(test(jumpGreaterEqual, low, steps...), not(test(jumpGreater, high, steps...)))
	}
	offset := map[direction]uint32{src: 0, dst: 2}
	four := d.join(func(d direction) *cond {
		return in(ins(loadHeaderLen, l.payload), ins(loadHalfX, l.payload+offset[d]))
	})
	six := d.join(func(d direction) *cond { return in(ins(loadHalf, l.payload+40+offset[d])) })
	var is4, is6 *cond
	for _, n := range protos {
		is4 = or(is4, test(jumpEqual, n, ins(loadByte, l.payload+9)))
		is6 = or(is6, test(jumpEqual, n, ins(loadByte, l.payload+6)))
	}
	return or(and(l.etherType(etherIP6), is6, six), and(l.etherType(etherIP), is4, l.firstFragment(), four))
}

// castTest is a frame to everybody, or to a group, nil if the protocol has no such thing.
func (l *layers) castTest(proto, word string) *cond {
	switch {
	case proto == "ether" && word == "broadcast":
		return l.ether(dst, [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	case proto == "ether":
		return test(jumpAnySet, 1, ins(loadByte, 0))
	case proto == "ip" && word == "multicast":
		return and(l.etherType(etherIP), test(jumpGreaterEqual, 224, ins(loadByte, l.payload+16)))
	case proto == "ip6" && word == "multicast":
		return and(l.etherType(etherIP6), test(jumpEqual, 255, ins(loadByte, l.payload+24)))
	}
	return nil
}
