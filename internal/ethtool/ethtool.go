//go:build linux

// Package ethtool reads and changes settings of interfaces through generic netlink: those that
// ethtool(8) shows, and the XDP features of drivers. Interfaces are those of the calling thread's
// network namespace.
package ethtool

import (
	"fmt"
	"sort"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Ethtool sends a command of the ethtool family about an interface. EOPNOTSUPP when the driver does
// not implement the command.
func Ethtool(ifindex int, command uint8) (Attrs, error) {
	return Ask("ethtool", command, header(ifindex))
}

// set sends a command that changes a setting. The kernel only acknowledges it.
func set(ifindex int, command uint8, attrs ...*nl.RtAttr) error {
	h := header(ifindex)
	h.AddRtAttr(unix.ETHTOOL_A_HEADER_FLAGS, nl.Uint32Attr(unix.ETHTOOL_FLAG_OMIT_REPLY))
	_, err := request("ethtool", command, append([]*nl.RtAttr{h}, attrs...)...)
	return err
}

// header is the attribute that names the interface.
func header(ifindex int) *nl.RtAttr {
	h := nl.NewRtAttr(unix.NLA_F_NESTED|1, nil) // (ETHTOOL_A_*_HEADER) is 1 in every message
	h.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(ifindex)))
	return h
}

// AskDriver returns the name of the interface's driver.
func AskDriver(name string) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return "", err
	}
	return unix.ByteSliceToString(info.Driver[:]), nil
}

// Channels are numbers of queues of an interface: those in use, and the largest possible ones. A
// combined queue receives and sends.
type Channels struct {
	Rx          int `json:"rx"`
	Tx          int `json:"tx"`
	Combined    int `json:"combined"`
	MaxRx       int `json:"max_rx"`
	MaxTx       int `json:"max_tx"`
	MaxCombined int `json:"max_combined"`
}

// String lists the queues in use: "4 combined", "2 rx and 2 tx".
func (c Channels) String() string {
	var parts []string
	for _, p := range []struct {
		n    int
		kind string
	}{{c.Combined, "combined"}, {c.Rx, "rx"}, {c.Tx, "tx"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.kind))
		}
	}
	return strings.Join(parts, " and ")
}

// AskChannels returns the interface's queues. EOPNOTSUPP when the driver cannot change them.
func AskChannels(ifindex int) (Channels, error) {
	a, err := Ethtool(ifindex, unix.ETHTOOL_MSG_CHANNELS_GET)
	if err != nil {
		return Channels{}, err
	}
	return Channels{
		Rx:          a.Number(unix.ETHTOOL_A_CHANNELS_RX_COUNT),
		Tx:          a.Number(unix.ETHTOOL_A_CHANNELS_TX_COUNT),
		Combined:    a.Number(unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT),
		MaxRx:       a.Number(unix.ETHTOOL_A_CHANNELS_RX_MAX),
		MaxTx:       a.Number(unix.ETHTOOL_A_CHANNELS_TX_MAX),
		MaxCombined: a.Number(unix.ETHTOOL_A_CHANNELS_COMBINED_MAX),
	}, nil
}

// SetChannels changes how many queues are in use. It leaves out kinds whose maximum is 0. EINVAL
// for a number that the driver does not support, and when a queue would go to which an AF_XDP
// socket is bound.
func SetChannels(ifindex int, c Channels) error {
	var attrs []*nl.RtAttr
	for _, part := range []struct {
		kind, now, most int
	}{
		{unix.ETHTOOL_A_CHANNELS_RX_COUNT, c.Rx, c.MaxRx},
		{unix.ETHTOOL_A_CHANNELS_TX_COUNT, c.Tx, c.MaxTx},
		{unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT, c.Combined, c.MaxCombined},
	} {
		if part.most > 0 {
			attrs = append(attrs, nl.NewRtAttr(part.kind, nl.Uint32Attr(uint32(part.now))))
		}
	}
	return set(ifindex, unix.ETHTOOL_MSG_CHANNELS_SET, attrs...)
}

// XDP describes a driver's support of XDP.
type XDP struct {
	Features int // bits: XDPBasic and so on
	Segments int // most buffers of a zero-copy frame
	Metadata int // bits of what is known of received frames: XDPRxTimestamp; needs Linux 6.6
}

// Bits of XDP.Features (NETDEV_XDP_ACT_*).
const (
	XDPBasic    = 1 << 0
	XDPRedirect = 1 << 1
	XDPZeroCopy = 1 << 3
)

// Native reports whether the driver runs XDP programs that redirect frames to sockets.
func (x XDP) Native() bool { return x.Features&XDPBasic != 0 && x.Features&XDPRedirect != 0 }

// ZeroCopy reports whether the driver also has zero-copy.
func (x XDP) ZeroCopy() bool { return x.Native() && x.Features&XDPZeroCopy != 0 }

// XDPRxTimestamp is a bit of XDP.Metadata: the time at which the frame arrived
// (NETDEV_XDP_RX_METADATA_TIMESTAMP).
const XDPRxTimestamp = 1 << 0

// From linux/netdev.h.
const (
	netdevCmdQueueGet     = 10
	netdevAQueueID        = 1
	netdevAQueueIfindex   = 2
	netdevAQueueType      = 3
	netdevQueueTypeRx     = 0
	netdevQueueTypeTx     = 1
	netdevCmdDevGet       = 1
	netdevADevIfindex     = 1
	netdevADevXDPFeatures = 3
	netdevADevZCSegments  = 4
	netdevADevRxMetadata  = 5
)

// AskXDP returns what the driver supports. Needs Linux 6.3.
func AskXDP(ifindex int) (XDP, error) {
	a, err := Ask("netdev", netdevCmdDevGet,
		nl.NewRtAttr(netdevADevIfindex, nl.Uint32Attr(uint32(ifindex))))
	if err != nil {
		return XDP{}, err
	}
	return XDP{
		Features: a.Number(netdevADevXDPFeatures),
		Segments: a.Number(netdevADevZCSegments),
		Metadata: a.Number(netdevADevRxMetadata),
	}, nil
}

// Queues are an interface's numbers of queues.
type Queues struct{ Rx, Tx int }

// AskQueues returns how many queues are in use, at most room. It asks the kernel, not the driver:
// these are the queues to which AF_XDP sockets can be bound. The answer is 0 while the interface is
// down, and before Linux 6.9.
func AskQueues(ifindex int, room Queues) Queues {
	// Package netlink does not read a list of queues to its end, so they are counted by search.
	count := func(kind, room int) int {
		return sort.Search(room, func(id int) bool { return !hasQueue(ifindex, kind, id) })
	}
	return Queues{Rx: count(netdevQueueTypeRx, room.Rx), Tx: count(netdevQueueTypeTx, room.Tx)}
}

func hasQueue(ifindex, kind, id int) bool {
	msgs, err := request("netdev", netdevCmdQueueGet,
		nl.NewRtAttr(netdevAQueueID, nl.Uint32Attr(uint32(id))),
		nl.NewRtAttr(netdevAQueueIfindex, nl.Uint32Attr(uint32(ifindex))),
		nl.NewRtAttr(netdevAQueueType, nl.Uint32Attr(uint32(kind))))
	// The answer is empty while the interface is down.
	return err == nil && len(msgs) > 0 && len(msgs[0]) > nl.SizeofGenlmsg
}
