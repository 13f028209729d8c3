package filter

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// qualifiers say what an address, port or number is of.
type qualifiers struct {
	proto string // "" is any that fits
	dir   direction
	kind  string // host, net, port, portrange or proto
}

type direction int

const (
	either direction = iota // src or dst
	src
	dst
	both // src and dst
)

// primitive is a qualified address or number, a protocol, or a word that stands for itself.
func (p *parser) primitive() *cond {
	t := p.peek()
	switch {
	case !t.word:
		p.fail("want a host, net, port, protocol or comparison")
	case !t.plain && t.text == "vlan":
		return p.vlan()
	case p.is("less", "greater"):
		return p.lengthLimit()
	case p.is("broadcast", "multicast"):
		return p.cast("ether")
	case !t.plain && (protocols[t.text].test != nil || p.is("src", "dst", "host", "net", "port", "portrange", "proto")):
		return p.qualified()
	case p.last == nil:
		p.fail("want host, net, port or another qualifier before it")
	}
	return p.id(*p.last)
}

// qualified reads qualifiers and what they are of. A protocol alone is a test for itself.
func (p *parser) qualified() *cond {
	var q qualifiers
	start := p.at
	if protocols[p.peek().text].test != nil {
		q.proto = p.peek().text
		p.at++
		if p.is("broadcast", "multicast") {
			return p.cast(q.proto)
		}
		if !p.is("src", "dst", "host", "net", "port", "portrange", "proto") {
			p.last = nil
			return p.protocol(start, q.proto)
		}
	}
	q.dir = p.direction()
	q.kind = "host"
	if p.is("host", "net", "port", "portrange", "proto") {
		q.kind = p.peek().text
		p.at++
	}
	p.last = &q
	return p.ids(q, 0)
}

// protocol is the test for a protocol alone.
func (p *parser) protocol(at int, name string) *cond {
	c := protocols[name].test(&p.layers)
	if c == nil {
		p.failAt(at, "every frame is one: name a host, net or proto of it")
	}
	return c
}

// direction reads src, dst, "src or dst" or "src and dst".
func (p *parser) direction() direction {
	one := map[string]direction{"src": src, "dst": dst}
	d, ok := one[p.peek().text]
	if !ok || p.peek().plain {
		return either
	}
	p.at++
	other, ok := one[p.ahead(1).text]
	if !ok || other == d || !p.is("or", "and") {
		return d
	}
	d = either
	if p.is("and") {
		d = both
	}
	p.at += 2
	return d
}

// ids are one address, port or number, or several in parentheses.
func (p *parser) ids(q qualifiers, depth int) *cond {
	if depth > depthLimit {
		p.fail("the expression is nested too deeply")
	}
	switch {
	case p.take("not"):
		return not(p.ids(q, depth+1))
	case !p.take("("):
		return p.id(q)
	}
	c := p.ids(q, depth+1)
	for {
		switch {
		case p.take("and"):
			c = and(c, p.ids(q, depth+1))
		case p.take("or"):
			c = or(c, p.ids(q, depth+1))
		default:
			p.want(")")
			return c
		}
	}
}

// id is one address, port or number.
func (p *parser) id(q qualifiers) *cond {
	if !p.peek().word {
		p.fail("want a " + q.kind)
	}
	switch q.kind {
	case "port", "portrange":
		return p.ports(q)
	case "proto":
		return p.protoNumber(q)
	}
	if q.proto == "ether" {
		return p.mac(q)
	}
	return p.address(q)
}

// mac is an Ethernet address.
func (p *parser) mac(q qualifiers) *cond {
	if q.kind == "net" {
		p.fail("there are no networks of Ethernet addresses: want ether host")
	}
	a, ok := parseMAC(p.peek().text)
	if !ok {
		p.fail("no Ethernet address, such as 02:00:00:00:00:01")
	}
	p.at++
	return q.dir.join(func(d direction) *cond { return p.ether(d, a) })
}

// parseMAC reads six numbers of one digit or two.
func parseMAC(text string) (a [6]byte, ok bool) {
	parts := strings.Split(text, ":")
	if len(parts) != len(a) {
		return a, false
	}
	for i, s := range parts {
		b, err := strconv.ParseUint(s, 16, 8)
		if err != nil || len(s) > 2 {
			return a, false
		}
		a[i] = byte(b)
	}
	return a, true
}

// address is a host or a network, of IPv4, IPv6 or ARP.
func (p *parser) address(q qualifiers) *cond {
	at := p.at
	prefix, ok := parseNet(p.peek().text)
	if !ok {
		p.fail("no IP address: names are not looked up")
	}
	p.at++
	if p.take("/") {
		bits, err := strconv.Atoi(p.peek().text)
		if err != nil || bits < 0 || bits > prefix.Addr().BitLen() {
			p.fail(fmt.Sprintf("want the length of a network, 0 to %d", prefix.Addr().BitLen()))
		}
		p.at++
		prefix = netip.PrefixFrom(prefix.Addr(), bits)
	} else if q.kind == "net" && p.take("mask") {
		prefix = p.mask(prefix.Addr())
	}
	if prefix.Masked().Addr() != prefix.Addr() {
		p.failAt(at, fmt.Sprintf("not the start of a network of %d bits: want %v", prefix.Bits(), prefix.Masked().Addr()))
	}
	tests := p.hostTests(q.proto, prefix.Addr().Is6())
	if tests == nil {
		p.failAt(at, fmt.Sprintf("an address like this is none of %s", q.proto))
	}
	var c *cond
	for _, host := range tests {
		c = or(c, and(host.proto, q.dir.join(func(d direction) *cond { return host.match(d, prefix) })))
	}
	return c
}

// mask reads a network's mask, which has to be ones and then zeros.
func (p *parser) mask(a netip.Addr) netip.Prefix {
	m, err := netip.ParseAddr(p.peek().text)
	if err != nil || !m.Is4() || !a.Is4() {
		p.fail("want the mask of an IPv4 network, such as 255.255.255.0")
	}
	b := m.As4()
	ones, bits := net.IPMask(b[:]).Size()
	if bits == 0 {
		p.fail("want a mask of ones and then zeros")
	}
	p.at++
	return netip.PrefixFrom(a, ones)
}

// parseNet reads an address. One of IPv4 may have fewer than four numbers, and is a network then.
func parseNet(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" && !a.Is4In6() {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	parts := strings.Split(text, ".")
	if len(parts) > 3 || text == "" {
		return netip.Prefix{}, false
	}
	a, err := netip.ParseAddr(text + strings.Repeat(".0", 4-len(parts)))
	return netip.PrefixFrom(a, 8*len(parts)), err == nil
}

// ports is a port or a range of ports.
func (p *parser) ports(q qualifiers) *cond {
	at := p.at
	protos := portProtocols[q.proto]
	if protos == nil {
		p.failAt(at, fmt.Sprintf("%s has no ports", q.proto))
	}
	low, protos := p.port(protos)
	high := low
	if q.kind == "portrange" && p.take("-") {
		high, protos = p.port(protos)
	}
	if low > high {
		low, high = high, low
	}
	return p.portTest(protos, q.dir, low, high)
}

// port is one port. A name may leave only some of the protocols.
func (p *parser) port(protos []uint32) (uint32, []uint32) {
	text := p.peek().text
	if n, err := strconv.ParseUint(text, 0, 64); err == nil {
		if n > 65535 {
			p.fail("want a port from 0 to 65535")
		}
		p.at++
		return uint32(n), protos
	}
	found, left := -1, []uint32(nil)
	for _, proto := range protos {
		n, err := net.LookupPort(transportNames[proto], text)
		if err == nil && transportNames[proto] != "" && (found < 0 || n == found) {
			found, left = n, append(left, proto)
		}
	}
	if found < 0 {
		p.fail("no port, and no service that is known here")
	}
	p.at++
	if len(left) > 1 { // a name that TCP and UDP share is not bound to them
		left = protos
	}
	return uint32(found), left
}

// protoNumber is the number or the name of a protocol that another one carries.
func (p *parser) protoNumber(q qualifiers) *cond {
	if q.dir != either {
		p.fail("a protocol has no source and no destination")
	}
	text := p.peek().text
	n, err := strconv.ParseUint(text, 0, 32)
	if err != nil {
		named := protocols[text]
		switch {
		case q.proto == "ether" && named.ether != 0:
			n = uint64(named.ether)
		case q.proto != "ether" && named.ip != 0:
			n = uint64(named.ip)
		default:
			p.fail("no protocol that is known here: write its number")
		}
	}
	p.at++
	c := p.carried(q.proto, uint32(n))
	if c == nil {
		p.failAt(p.at-1, fmt.Sprintf("%s says of no frame what it carries", q.proto))
	}
	return c
}

// lengthLimit is less or greater.
func (p *parser) lengthLimit() *cond {
	less := p.is("less")
	p.at++
	p.last = nil
	n := p.number("a length in bytes")
	if less {
		return not(test(jumpGreater, n, ins(loadLen, 0)))
	}
	return test(jumpGreaterEqual, n, ins(loadLen, 0))
}

func (p *parser) number(what string) uint32 {
	n, err := strconv.ParseUint(p.peek().text, 0, 32)
	if err != nil {
		p.fail("want " + what)
	}
	p.at++
	return uint32(n)
}

// cast is broadcast or multicast, of Ethernet or IP.
func (p *parser) cast(proto string) *cond {
	word := p.peek().text
	p.last = nil
	c := p.castTest(proto, word)
	if c == nil {
		p.fail(proto + " has no " + word + " that a frame shows")
	}
	p.at++
	return c
}

// vlan is a frame with a VLAN tag, of that number if there is one. What follows is about what the tag wraps.
func (p *parser) vlan() *cond {
	p.at++
	p.last = nil
	c := or(p.etherType(0x8100), p.etherType(0x88a8), p.etherType(0x9100))
	if isNumber(p.peek()) {
		id := p.number("the number of a VLAN")
		if id > 4095 {
			p.failAt(p.at-1, "want the number of a VLAN, up to 4095")
		}
		c = and(c, test(jumpEqual, id, ins(loadHalf, p.payload), ins(andK, 0xfff)))
	}
	p.link += 4
	p.payload += 4
	return c
}

// isNumber says whether a word is a number, and no address.
func isNumber(t token) bool {
	_, err := strconv.ParseUint(t.text, 0, 32)
	return t.word && err == nil
}
