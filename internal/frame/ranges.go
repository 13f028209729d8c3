package frame

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Flows are the addresses of the frames of a stream. Where ranges are longer than one, every frame takes the next.
type Flows struct {
	SrcMAC, DstMAC MACs
	Src, Dst       Hosts
}

func (f Flows) single() bool {
	return f.SrcMAC.first == f.SrcMAC.last && f.DstMAC.first == f.DstMAC.last && f.Src.single() && f.Dst.single()
}

// MACs is a range of MAC addresses.
type MACs struct{ first, last uint64 }

// ParseMACs reads "02:00:00:00:00:01" or "02:00:00:00:00:01-02:00:00:00:00:ff".
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

// OneMAC is the range of one address of 6 bytes.
func OneMAC(a net.HardwareAddr) MACs {
	var b [8]byte
	copy(b[2:], a)
	v := be.Uint64(b[:])
	return MACs{v, v}
}

func parseMAC(s string) (uint64, error) {
	a, err := net.ParseMAC(s)
	if err != nil || len(a) != 6 {
		return 0, fmt.Errorf("%q is no MAC address: write it as 02:00:00:00:00:01", s)
	}
	return OneMAC(a).first, nil
}

// Empty says whether no range was given.
func (r MACs) Empty() bool { return r == MACs{} }

// String is the range as ParseMACs reads it.
func (r MACs) String() string {
	s := net.HardwareAddr(r.at(r.first)).String()
	if r.last != r.first {
		s += "-" + net.HardwareAddr(r.at(r.last)).String()
	}
	return s
}

// defaultPort is the UDP port where none is named.
const defaultPort = 1234

// Hosts is a range of IPv4 addresses and, for each of them, a range of UDP ports.
type Hosts struct {
	firstIP, lastIP     uint32
	firstPort, lastPort uint16
}

func (r Hosts) single() bool { return r.firstIP == r.lastIP && r.firstPort == r.lastPort }

// ParseHosts reads "10.0.0.1", "10.0.0.1:1234", or two of these with a dash between them.
func ParseHosts(s string) (Hosts, error) {
	from, to, isRange := strings.Cut(s, "-")
	if !isRange {
		to = from
	}
	first, err := parseHost(from, defaultPort)
	if err != nil {
		return Hosts{}, err
	}
	last, err := parseHost(to, first.port)
	if err != nil {
		return Hosts{}, err
	}
	if last.ip < first.ip || last.port < first.port {
		return Hosts{}, fmt.Errorf("the range %s ends before it begins", s)
	}
	return Hosts{first.ip, last.ip, first.port, last.port}, nil
}

func parseHost(s string, port uint16) (host, error) {
	ip, number, hasPort := strings.Cut(s, ":")
	a, err := netip.ParseAddr(ip)
	if err != nil || !a.Is4() {
		return host{}, fmt.Errorf("%q is no IPv4 address: write it as 10.0.0.1 or 10.0.0.1:1234", s)
	}
	if hasPort {
		v, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return host{}, fmt.Errorf("port %q of %s is no number from 0 to 65535", number, ip)
		}
		port = uint16(v)
	}
	b := a.As4()
	return host{be.Uint32(b[:]), port}, nil
}

// String is the range as ParseHosts reads it.
func (r Hosts) String() string {
	s := fmt.Sprintf("%s:%d", ipOf(r.firstIP), r.firstPort)
	if !r.single() {
		s += fmt.Sprintf("-%s:%d", ipOf(r.lastIP), r.lastPort)
	}
	return s
}
