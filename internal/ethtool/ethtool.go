//go:build linux

// Package ethtool asks the kernel about interfaces through generic netlink: what ethtool(8) would, and which XDP features
// a driver has. Interfaces are those of the calling thread's network namespace.
package ethtool

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Ethtool asks the family of that name. EOPNOTSUPP says that the driver has no answer.
func Ethtool(ifindex int, command uint8) (Attrs, error) {
	header := nl.NewRtAttr(unix.NLA_F_NESTED|1, nil) // ETHTOOL_A_*_HEADER is 1 in every message
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(ifindex)))
	return Ask("ethtool", command, header)
}

// Channels are the queues of an interface: those in use, and the most there can be. Combined ones receive and send.
type Channels struct {
	Rx, MaxRx, Tx, MaxTx, Combined, MaxCombined int
}

// AskChannels asks the driver. EOPNOTSUPP from one that has always the same.
func AskChannels(ifindex int) (Channels, error) {
	a, err := Ethtool(ifindex, unix.ETHTOOL_MSG_CHANNELS_GET)
	if err != nil {
		return Channels{}, err
	}
	return Channels{
		Rx: a.Number(unix.ETHTOOL_A_CHANNELS_RX_COUNT), MaxRx: a.Number(unix.ETHTOOL_A_CHANNELS_RX_MAX),
		Tx: a.Number(unix.ETHTOOL_A_CHANNELS_TX_COUNT), MaxTx: a.Number(unix.ETHTOOL_A_CHANNELS_TX_MAX),
		Combined: a.Number(unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT), MaxCombined: a.Number(unix.ETHTOOL_A_CHANNELS_COMBINED_MAX),
	}, nil
}

// XDP is what a driver can do with XDP.
type XDP struct {
	Features int // bits, XDPBasic and so on
	Segments int // buffers that a zero-copy frame may span
}

// Bits of XDP.Features. // NETDEV_XDP_ACT_*
const (
	XDPBasic    = 1 << 0
	XDPRedirect = 1 << 1
	XDPZeroCopy = 1 << 3
)

// From linux/netdev.h.
const (
	netdevCmdDevGet       = 1
	netdevADevIfindex     = 1
	netdevADevXDPFeatures = 3
	netdevADevZCSegments  = 4
)

// AskXDP asks what the driver says it can do. Kernels before 6.3 do not know.
func AskXDP(ifindex int) (XDP, error) {
	a, err := Ask("netdev", netdevCmdDevGet, nl.NewRtAttr(netdevADevIfindex, nl.Uint32Attr(uint32(ifindex))))
	if err != nil {
		return XDP{}, err
	}
	return XDP{Features: a.Number(netdevADevXDPFeatures), Segments: a.Number(netdevADevZCSegments)}, nil
}
