package testframe

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// MACs is a range of MAC addresses.
type MACs struct{ first, last uint64 }

// ParseMACs parses "02:00:00:00:00:01" or "02:00:00:00:00:01-02:00:00:00:00:ff".
func ParseMACs(s string) (MACs, error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	first, err := parseMAC(from)
	if err != nil {
		return MACs{}, err
	}
	last, err := parseMAC(to)
	if err != nil {
		return MACs{}, err
	}
	if last < first {
		return MACs{}, fmt.Errorf("the range %s ends before it begins", s)
	}
	return MACs{first, last}, nil
}

// OneMAC returns the range of one address of 6 bytes.
func OneMAC(a net.HardwareAddr) MACs {
	var b [8]byte
	copy(b[2:], a)
	v := be.Uint64(b[:])
	return MACs{v, v}
}

func parseMAC(s string) (uint64, error) {
	fields := strings.Split(s, ":")
	var v uint64
	for _, f := range fields { // as ether_aton(3) parses them: one digit is enough
		b, err := strconv.ParseUint(f, 16, 8)
		if err != nil || len(fields) != 6 {
			return 0, fmt.Errorf("%q is not a MAC address: write it as 02:00:00:00:00:01", s)
		}
		v = v<<8 | b
	}
	return v, nil
}

// Empty reports whether no range was given.
func (r MACs) Empty() bool { return r == MACs{} }

// String formats the range for ParseMACs.
func (r MACs) String() string {
	s := net.HardwareAddr(r.at(r.first)).String()
	if r.last != r.first {
		s += "-" + net.HardwareAddr(r.at(r.last)).String()
	}
	return s
}

// defaultPort is the UDP port by default.
const defaultPort = 1234

// Hosts is a range of IP addresses and, for each of them, a range of UDP ports. IPv6 addresses
// differ in one group of 16 bits.
type Hosts struct {
	firstIP, lastIP     uint32 // or the counting group of an IPv6 address
	firstPort, lastPort uint16
	v6                  bool
	group               uint8    // the counting group, from 0 to 7
	base                [16]byte // the first IPv6 address
}

// IPv6 reports whether the addresses are of IPv6.
func (r Hosts) IPv6() bool { return r.v6 }

func (r Hosts) single() bool { return r.firstIP == r.lastIP && r.firstPort == r.lastPort }

// put6 writes an IPv6 address.
func (r Hosts) put6(b []byte, h host) {
	copy(b, r.base[:])
	be.PutUint16(b[2*r.group:], uint16(h.ip))
}

// ParseHosts parses "10.0.0.1", "10.0.0.1:1234", or two of these with a dash between them, or the
// same with IPv6: "2001:db8::1", "[2001:db8::1]:1234". A range of IPv6 addresses counts in the
// group in which the two differ, or in the group whose number, from 0 to 7, stands before an @:
// "6@2001:db8::1:0-2001:db8::ff:0". The ends of a range may be in either order.
func ParseHosts(s string) (Hosts, error) {
	from, to, isRange := strings.Cut(s, "-")
	first, err := parseEnd(from, end{port: defaultPort, group: -1})
	if err != nil {
		return Hosts{}, err
	}
	last := first
	if isRange {
		if last, err = parseEnd(to, first); err != nil {
			return Hosts{}, err
		}
	}
	if first.ip.Is4() != last.ip.Is4() {
		return Hosts{}, fmt.Errorf("the range %s begins with one version of IP and ends with another", s)
	}
	r := Hosts{firstPort: min(first.port, last.port), lastPort: max(first.port, last.port)}
	if first.ip.Is4() {
		a, b := first.ip.As4(), last.ip.As4()
		r.bounds(be.Uint32(a[:]), be.Uint32(b[:]))
		return r, nil
	}
	return r, r.parse6(s, first, last)
}

func (r *Hosts) bounds(a, b uint32) { r.firstIP, r.lastIP = min(a, b), max(a, b) }

// parse6 sets the range of IPv6 addresses, and finds the counting group.
func (r *Hosts) parse6(s string, first, last end) error {
	a, b := first.ip.As16(), last.ip.As16()
	group := last.group
	for g := range 8 {
		if a[2*g] == b[2*g] && a[2*g+1] == b[2*g+1] || g == group {
			continue
		}
		if group >= 0 {
			return fmt.Errorf("the ends of %s differ in more than 16 bits: "+
				"a range of IPv6 addresses counts in one group, here %d", s, group)
		}
		group = g
	}
	if group < 0 {
		group = 7
	}
	r.v6, r.group, r.base = true, uint8(group), a
	r.bounds(uint32(be.Uint16(a[2*group:])), uint32(be.Uint16(b[2*group:])))
	return nil
}

// end is one end of a range.
type end struct {
	ip    netip.Addr
	port  uint16
	group int // below 0 if not given
}

// parseEnd parses an end. Port and group that it does not name are those of other.
func parseEnd(s string, other end) (e end, err error) {
	e = other
	text := s
	if group, rest, ok := strings.Cut(s, "@"); ok {
		v, err := strconv.ParseUint(group, 0, 8)
		if err != nil || v > 7 {
			return e, fmt.Errorf("%q of %s is not a group of an IPv6 address: groups go from 0 to 7",
				group, s)
		}
		e.group, text = int(v), rest
	}
	number, hasPort := "", false
	if inner, ok := strings.CutPrefix(text, "["); ok {
		if text, number, ok = strings.Cut(inner, "]"); !ok {
			return e, fmt.Errorf("%q has a [ without a ]", s)
		}
		number, hasPort = strings.CutPrefix(number, ":")
		if !hasPort && number != "" {
			return e, fmt.Errorf("%q: the text behind ] is not a port", s)
		}
	} else if strings.Count(text, ":") == 1 {
		text, number, hasPort = strings.Cut(text, ":")
	}
	if e.ip, err = netip.ParseAddr(text); err != nil || e.ip.Zone() != "" {
		return e, fmt.Errorf("%q is not an IP address: write it as 10.0.0.1, 10.0.0.1:1234, "+
			"2001:db8::1 or [2001:db8::1]:1234", s)
	}
	if hasPort {
		v, err := strconv.ParseUint(number, 0, 16)
		if err != nil {
			return e, fmt.Errorf("port %q of %s is not a number from 0 to 65535", number, text)
		}
		e.port = uint16(v)
	}
	return e, nil
}

// String formats the range for ParseHosts.
func (r Hosts) String() string {
	s := r.end(r.firstIP, r.firstPort)
	if !r.single() {
		s += "-" + r.end(r.lastIP, r.lastPort)
	}
	return s
}

func (r Hosts) end(ip uint32, port uint16) string {
	if !r.v6 {
		var b [4]byte
		be.PutUint32(b[:], ip)
		return netip.AddrPortFrom(netip.AddrFrom4(b), port).String()
	}
	var b [16]byte
	r.put6(b[:], host{ip: ip})
	return netip.AddrPortFrom(netip.AddrFrom16(b), port).String()
}
