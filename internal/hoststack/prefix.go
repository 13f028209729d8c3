//go:build linux

package hoststack

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// makePrefixes makes the prefixes of frames to the host, see xsk.Prefix: [1] is for IPv6 packets
// without an Ethernet header, [0] for all other frames.
//
// With Ethernet headers, the kernel reads the prefix's header before the XDP program removes the
// prefix. So its type must not be one for which the kernel changes the frame, such as VLAN's.
// Without Ethernet headers, the kernel reads the first four bits as the version of an IP packet.
// After the program it reads the rest as the header of a frame that came by Ethernet: the
// destination is the interface's own address, and the type is the packet's.
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

// prefixOf returns the prefix for a frame that starts with these bytes.
func (s *Stack) prefixOf(frame []byte) []byte {
	if s.cfg.Layer == tap.Bare && len(frame) > 0 && frame[0]>>4 == 6 {
		return s.prefixes[1][:]
	}
	return s.prefixes[0][:]
}
