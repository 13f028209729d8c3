//go:build linux

package hoststack

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// makePrefixes makes what frames to the host start with while generic XDP is on the interface: see
// xsk.Prefix.
//
// Where frames have an Ethernet header the kernel reads the prefix's before the XDP program takes
// it off: its type must not be one that has the kernel change the frame, as a VLAN's would. Where
// they have none the kernel reads the first four bits, as the version of an IP packet, and after
// the program the rest, as if the frame had come by Ethernet: a packet to the interface's own
// address, of the type that is to be.
func makePrefixes(cfg *Config) (prefixes [2][xsk.PrefixSize]byte) {
	var secret [8]byte
	binary.NativeEndian.PutUint64(secret[:], cfg.Prefix.Secret)
	for i, ip := range []struct {
		version   byte
		etherType uint16
	}{{4, unix.ETH_P_IP}, {6, unix.ETH_P_IPV6}} {
		p, source := prefixes[i][:], cfg.Prefix.SourceAt()
		copy(p[source:], secret[:6])
		if cfg.Layer == tap.Ethernet {
			binary.BigEndian.PutUint16(p[source+6:], unix.ETH_P_802_EX1)
			continue
		}
		p[0] = ip.version << 4
		copy(p[source-6:source], cfg.Address)
		binary.BigEndian.PutUint16(p[source+6:], ip.etherType)
	}
	return prefixes
}

// prefixOf is the prefix for a frame that starts so.
func (s *Stack) prefixOf(frame []byte) []byte {
	if s.cfg.Layer == tap.Bare && len(frame) > 0 && frame[0]>>4 == 6 {
		return s.prefixes[1][:]
	}
	return s.prefixes[0][:]
}
