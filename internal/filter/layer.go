package filter

import (
	"encoding/binary"
	"net/netip"
)

// layers are the positions of headers in a frame, in bytes from its start.
type layers struct {
	link    uint32 // position of the Ethernet type
	payload uint32 // position of what follows: the IP header
}

var ethernet = layers{12, 14}

// load tells where in a frame proto[offset] counts from.
type load int

const (
	noLoad    load = iota
	linkLoad       // from the start of the frame
	netLoad        // from the IP or ARP header
	ipLoad         // the end of the IPv4 header, whose length varies
	icmp6Load      // the end of the IPv6 header
)

// protocol describes a protocol.
type protocol struct {
	ether uint32 // Ethernet type
	ip    uint32 // number in IP
	test  func(*layers) *cond
	load  load
}

const (
	etherIP, etherARP, etherRARP, etherIP6 = 0x0800, 0x0806, 0x8035, 0x86dd

	ipTCP, ipUDP, ipSCTP, ip6Fragment = 6, 17, 132, 44
)

// protocols are the known protocols, by name.
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
	test := func(l *layers) *cond { return l.etherType(kind) }
	return protocol{ether: kind, test: test, load: netLoad}
}

func overIP(number uint32, from load) protocol {
	test := func(l *layers) *cond { return l.carried("", number) }
	return protocol{ip: number, test: test, load: from}
}

// portProtocols are the protocols that have ports, by qualifier.
var portProtocols = map[string][]uint32{
	"": {ipTCP, ipUDP, ipSCTP}, "tcp": {ipTCP}, "udp": {ipUDP}, "sctp": {ipSCTP},
}

// transportNames are the names of protocols in the system's list of services.
var transportNames = map[uint32]string{ipTCP: "tcp", ipUDP: "udp"}

// etherType matches frames with this Ethernet type. A number that would be a length is a service
// access point of LLC.
func (l *layers) etherType(n uint32) *cond {
	const longest = 1500
	if n > longest {
		return test(jumpEqual, n, ins(loadHalf, l.link))
	}
	return and(not(test(jumpGreater, longest, ins(loadHalf, l.link))),
		test(jumpEqual, n, ins(loadByte, l.payload)))
}

// carried matches frames whose IP or Ethernet header names protocol n as the next one. It returns
// nil if proto has no such field. In IPv6 it also looks behind a fragment header, and behind no
// other extension header.
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
		behind := and(test(jumpEqual, ip6Fragment, next),
			test(jumpEqual, n, ins(loadByte, l.payload+40)))
		return and(l.etherType(etherIP6), or(test(jumpEqual, n, next), behind))
	}
	return nil
}

// join combines the tests of a direction.
func (d direction) join(match func(direction) *cond) *cond {
	switch d {
	case either:
		return or(match(src), match(dst))
	case both:
		return and(match(src), match(dst))
	}
	return match(d)
}

// ether matches frames from or to an Ethernet address.
func (l *layers) ether(d direction, a [6]byte) *cond {
	at := uint32(6)
	if d == dst {
		at = 0
	}
	return and(test(jumpEqual, binary.BigEndian.Uint32(a[2:]), ins(loadWord, at+2)),
		test(jumpEqual, uint32(binary.BigEndian.Uint16(a[:])), ins(loadHalf, at)))
}

// hostTest matches frames of one protocol by their addresses.
type hostTest struct {
	proto    *cond
	src, dst uint32 // positions of the addresses
}

// hostTests returns the tests for an address in the protocols that the qualifier permits.
func (l *layers) hostTests(proto string, six bool) (list []hostTest) {
	for _, k := range []struct {
		name     string
		six      bool
		src, dst uint32
	}{
		{"ip", false, 12, 16},
		{"arp", false, 14, 24},
		{"rarp", false, 14, 24},
		{"ip6", true, 8, 24},
	} {
		if k.six == six && (proto == "" || proto == k.name) {
			is := protocols[k.name].test(l)
			list = append(list, hostTest{is, l.payload + k.src, l.payload + k.dst})
		}
	}
	return list
}

// match matches frames with an address in the network.
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
	if c == nil { // the network has all addresses
		c = always
	}
	return c
}

// firstFragment matches IPv4 packets other than later fragments. A later fragment lacks the header
// of the protocol that it carries.
func (l *layers) firstFragment() *cond {
	return not(test(jumpAnySet, 0x1fff, ins(loadHalf, l.payload+6)))
}

// portTest matches frames with a port from low to high.
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
	return or(and(l.etherType(etherIP6), is6, six),
		and(l.etherType(etherIP), is4, l.firstFragment(), four))
}

// groupTest matches frames to a broadcast or multicast address. It returns nil if the protocol has
// none that the frame shows.
func (l *layers) groupTest(proto, word string) *cond {
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
