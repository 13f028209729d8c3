package filter

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// kinds are the qualifiers that tell what an identifier is.
var kinds = []string{"host", "net", "port", "portrange", "proto"}

// qualifiers tell what an address, port or number belongs to.
type qualifiers struct {
	proto string // "" for any
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

// primitive parses an address or number with qualifiers, a protocol, or a word with a meaning of
// its own.
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
		return p.group("ether")
	case !t.plain && (protocols[t.text].test != nil || p.is("src", "dst") || p.is(kinds...)):
		return p.qualified()
	case p.last == nil:
		p.fail("want host, net, port or another qualifier before it")
	}
	return p.id(*p.last)
}

// qualified parses qualifiers, and what they belong to. A protocol alone is a test for the
// protocol.
func (p *parser) qualified() *cond {
	var q qualifiers
	start := p.at
	if protocols[p.peek().text].test != nil {
		q.proto = p.peek().text
		p.at++
		if p.is("broadcast", "multicast") {
			return p.group(q.proto)
		}
		if !p.is("src", "dst") && !p.is(kinds...) {
			p.last = nil
			return p.protocol(start, q.proto)
		}
	}
	q.dir = p.direction()
	q.kind = "host"
	if p.is(kinds...) {
		q.kind = p.peek().text
		p.at++
	}
	p.last = &q
	return p.ids(q, 0)
}

// protocol returns the test for a protocol alone.
func (p *parser) protocol(at int, name string) *cond {
	c := protocols[name].test(&p.layers)
	if c == nil {
		p.failAt(at, "every frame is one: want a host or proto after it")
	}
	return c
}

// direction parses src, dst, "src or dst" or "src and dst".
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

// ids parses an address, port or number, or several of them in parentheses.
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

// id parses an address, port or number.
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

// mac parses an Ethernet address.
func (p *parser) mac(q qualifiers) *cond {
	if q.kind == "net" {
		p.fail("there are no networks of Ethernet addresses: want ether host")
	}
	a, ok := parseMAC(p.peek().text)
	if !ok {
		p.fail("want an Ethernet address, such as 02:00:00:00:00:01")
	}
	p.at++
	return q.dir.join(func(d direction) *cond { return p.ether(d, a) })
}

// parseMAC parses six numbers of one or two digits.
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

// address parses an address of a host or network, of IPv4, IPv6 or ARP.
func (p *parser) address(q qualifiers) *cond {
	at := p.at
	prefix, ok := parseNet(p.peek().text)
	if !ok {
		p.fail("want an IP address: names are not looked up")
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
		p.failAt(at, fmt.Sprintf("not the start of a network of %d bits: want %v",
			prefix.Bits(), prefix.Masked().Addr()))
	}
	tests := p.hostTests(q.proto, prefix.Addr().Is6())
	if tests == nil {
		p.failAt(at, fmt.Sprintf("%s has no addresses of this kind", q.proto))
	}
	var c *cond
	for _, host := range tests {
		match := func(d direction) *cond { return host.match(d, prefix) }
		c = or(c, and(host.proto, q.dir.join(match)))
	}
	return c
}

// mask parses the mask of a network: ones followed by zeros.
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

// parseNet parses an address. An IPv4 address with fewer than four numbers is a network.
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

// ports parses a port or a range of ports.
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

// port parses a port. The name of a service may exclude some of the protocols.
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
		p.fail("want a port: no service here has this name")
	}
	p.at++
	if len(left) > 1 { // a name of both TCP and UDP excludes no protocol
		left = protos
	}
	return uint32(found), left
}

// protoNumber parses the number or name of the protocol that another one carries.
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
			p.fail("this protocol is not known here: write its number")
		}
	}
	p.at++
	c := p.carried(q.proto, uint32(n))
	if c == nil {
		p.failAt(p.at-1, fmt.Sprintf("%s has no field for the protocol that it carries", q.proto))
	}
	return c
}

// lengthLimit parses "less" or "greater" with a length.
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

// group parses "broadcast" or "multicast" of Ethernet or IP.
func (p *parser) group(proto string) *cond {
	word := p.peek().text
	p.last = nil
	c := p.groupTest(proto, word)
	if c == nil {
		p.fail(proto + " has no " + word + " that can be recognized in a frame")
	}
	p.at++
	return c
}

// vlan parses "vlan", which matches frames with a VLAN tag, with this number if there is one. Later
// terms are about the headers after the tag.
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

// isNumber reports whether a word is a number.
func isNumber(t token) bool {
	_, err := strconv.ParseUint(t.text, 0, 32)
	return t.word && err == nil
}
