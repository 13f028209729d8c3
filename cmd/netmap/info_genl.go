package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// attrs are the attributes of a netlink message, or of one that is nested in it. Of attributes that occur more than once
// it keeps all.
type attrs map[uint16][][]byte

func parseAttrs(b []byte) (attrs, error) {
	list, err := nl.ParseRouteAttr(b)
	if err != nil {
		return nil, err
	}
	a := attrs{}
	for _, at := range list {
		kind := at.Attr.Type &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		a[kind] = append(a[kind], at.Value)
	}
	return a, nil
}

// number is the value of an attribute of 1 to 8 bytes, 0 if it is absent.
func (a attrs) number(kind uint16) int {
	if len(a[kind]) == 0 {
		return 0
	}
	switch b := a[kind][0]; len(b) {
	case 1:
		return int(b[0])
	case 4:
		return int(binary.NativeEndian.Uint32(b))
	case 8:
		return int(binary.NativeEndian.Uint64(b))
	}
	return 0
}

// nested are the attributes inside an attribute, none if it is absent.
func (a attrs) nested(kind uint16) (attrs, error) {
	if len(a[kind]) == 0 {
		return attrs{}, nil
	}
	return parseAttrs(a[kind][0])
}

// text is the value of an attribute that is a string.
func (a attrs) text(kind uint16) string {
	if len(a[kind]) == 0 {
		return ""
	}
	return strings.TrimRight(string(a[kind][0]), "\x00")
}

// genlHeader is struct genlmsghdr. That of package nl leaves its last two bytes to chance, and newer families want zeros.
type genlHeader [nl.SizeofGenlmsg]byte

func (h genlHeader) Len() int          { return len(h) }
func (h genlHeader) Serialize() []byte { return h[:] }

// genl asks a family of generic netlink about one thing, and returns the first answer.
func genl(family string, command uint8, question *nl.RtAttr) (attrs, error) {
	f, err := netlink.GenlFamilyGet(family)
	if err != nil {
		return nil, fmt.Errorf("this kernel does not tell: it has no generic netlink family %s: %w", family, err)
	}
	req := nl.NewNetlinkRequest(int(f.ID), unix.NLM_F_ACK)
	req.AddData(genlHeader{command, byte(f.Version)})
	req.AddData(question)
	msgs, err := req.Execute(unix.NETLINK_GENERIC, 0)
	if err != nil {
		return nil, err
	}
	if len(msgs) == 0 || len(msgs[0]) < nl.SizeofGenlmsg {
		return nil, fmt.Errorf("the kernel gave no answer")
	}
	return parseAttrs(msgs[0][nl.SizeofGenlmsg:])
}

// unsupported says whether an error means no more than that a driver has no answer.
func unsupported(err error) bool { return errors.Is(err, unix.EOPNOTSUPP) }

// askEthtool asks what ethtool would.
func (n *nicInfo) askEthtool(command uint8) (attrs, error) {
	header := nl.NewRtAttr(unix.NLA_F_NESTED|1, nil) // ETHTOOL_A_*_HEADER is 1 in every message
	header.AddRtAttr(unix.ETHTOOL_A_HEADER_DEV_INDEX, nl.Uint32Attr(uint32(n.Index)))
	return genl("ethtool", command, header)
}

func (n *nicInfo) askDriver() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, n.Name)
	if err != nil {
		return err
	}
	n.Driver = unix.ByteSliceToString(info.Driver[:])
	return nil
}

func (n *nicInfo) askSpeed() error {
	a, err := n.askEthtool(unix.ETHTOOL_MSG_LINKMODES_GET)
	if err != nil {
		return err
	}
	if speed := a.number(unix.ETHTOOL_A_LINKMODES_SPEED); speed != unix.SPEED_UNKNOWN&0xffffffff {
		n.Speed = speed
	}
	return nil
}

func (n *nicInfo) askChannels() error {
	a, err := n.askEthtool(unix.ETHTOOL_MSG_CHANNELS_GET)
	if err != nil {
		return err
	}
	n.Channel = &channels{
		Rx: a.number(unix.ETHTOOL_A_CHANNELS_RX_COUNT), MaxRx: a.number(unix.ETHTOOL_A_CHANNELS_RX_MAX),
		Tx: a.number(unix.ETHTOOL_A_CHANNELS_TX_COUNT), MaxTx: a.number(unix.ETHTOOL_A_CHANNELS_TX_MAX),
		Combined: a.number(unix.ETHTOOL_A_CHANNELS_COMBINED_COUNT), MaxCombined: a.number(unix.ETHTOOL_A_CHANNELS_COMBINED_MAX),
	}
	n.RxQueue, n.TxQueue = n.Channel.Rx+n.Channel.Combined, n.Channel.Tx+n.Channel.Combined
	return nil
}

func (n *nicInfo) askSlots() error {
	a, err := n.askEthtool(unix.ETHTOOL_MSG_RINGS_GET)
	if err != nil {
		return err
	}
	s := slots{
		Rx: a.number(unix.ETHTOOL_A_RINGS_RX), MaxRx: a.number(unix.ETHTOOL_A_RINGS_RX_MAX),
		Tx: a.number(unix.ETHTOOL_A_RINGS_TX), MaxTx: a.number(unix.ETHTOOL_A_RINGS_TX_MAX),
	}
	if s != (slots{}) {
		n.Slots = &s
	}
	return nil
}

// askFeatures finds the offloads that are on, and which of them stay on whatever one does.
func (n *nicInfo) askFeatures() error {
	a, err := n.askEthtool(unix.ETHTOOL_MSG_FEATURES_GET)
	if err != nil {
		return err
	}
	active, err := bitNames(a, unix.ETHTOOL_A_FEATURES_ACTIVE)
	if err != nil {
		return err
	}
	changeable, err := bitNames(a, unix.ETHTOOL_A_FEATURES_HW)
	if err != nil {
		return err
	}
	n.features = map[string]bool{}
	for name := range active {
		n.features[name] = changeable[name]
	}
	return nil
}

// bitNames are the names of the bits that are set in a bit set of ethtool's: those in the list if the set has no mask,
// otherwise those that are marked.
func bitNames(a attrs, kind uint16) (map[string]bool, error) {
	set, err := a.nested(kind)
	if err != nil {
		return nil, err
	}
	bits, err := set.nested(unix.ETHTOOL_A_BITSET_BITS)
	if err != nil {
		return nil, err
	}
	_, noMask := set[unix.ETHTOOL_A_BITSET_NOMASK]
	names := map[string]bool{}
	for _, b := range bits[unix.ETHTOOL_A_BITSET_BITS_BIT] {
		bit, err := parseAttrs(b)
		if err != nil {
			return nil, err
		}
		if _, marked := bit[unix.ETHTOOL_A_BITSET_BIT_VALUE]; noMask || marked {
			names[bit.text(unix.ETHTOOL_A_BITSET_BIT_NAME)] = true
		}
	}
	return names, nil
}
