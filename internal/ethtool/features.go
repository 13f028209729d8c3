//go:build linux

package ethtool

import (
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Names of features in the kernel. ethtool(8) has short names for some.
const (
	FeatureLRO        = "rx-lro"    // received frames are joined, by the card or its driver
	FeatureGROHW      = "rx-gro-hw" // the same, but reversible
	FeatureGRO        = "rx-gro"    // the same, by the kernel; never with an XDP program
	FeatureGROList    = "rx-gro-list"
	FeatureGROForward = "rx-udp-gro-forwarding"
	FeatureRxVLAN     = "rx-vlan-hw-parse" // VLAN tags are removed from received frames
	FeatureRxSTag     = "rx-vlan-stag-hw-parse"
	FeatureTxCsum     = "tx-checksum-ip-generic" // the card computes the checksums of sent frames
)

// Features are an interface's offloads, by their names in the kernel.
type Features struct {
	Active     map[string]bool // switched on
	Wanted     map[string]bool // requested; inactive if another one that it needs is off
	Changeable map[string]bool // can be switched
}

// AskFeatures returns all features of an interface.
func AskFeatures(ifindex int) (Features, error) {
	a, err := Ethtool(ifindex, unix.ETHTOOL_MSG_FEATURES_GET)
	if err != nil {
		return Features{}, err
	}
	var f Features
	for _, set := range []struct {
		kind uint16
		to   *map[string]bool
	}{
		{unix.ETHTOOL_A_FEATURES_ACTIVE, &f.Active},
		{unix.ETHTOOL_A_FEATURES_WANTED, &f.Wanted},
		{unix.ETHTOOL_A_FEATURES_HW, &f.Changeable},
	} {
		if *set.to, err = bitNames(a, set.kind); err != nil {
			return Features{}, err
		}
	}
	return f, nil
}

// SetFeatures requests features to be on or off, and does not touch others. The kernel does what it
// can: AskFeatures shows the result.
func SetFeatures(ifindex int, on map[string]bool) error {
	wanted := nl.NewRtAttr(unix.ETHTOOL_A_FEATURES_WANTED|unix.NLA_F_NESTED, nil)
	bits := wanted.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil)
	for name, value := range on {
		bit := bits.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED, nil)
		bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(name))
		if value {
			bit.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
		}
	}
	return set(ifindex, unix.ETHTOOL_MSG_FEATURES_SET, wanted)
}

// bitNames returns the names of the bits that are set in a bit set of ethtool's. If the set has no
// mask, all listed bits are set; otherwise the marked ones.
func bitNames(a Attrs, kind uint16) (map[string]bool, error) {
	set, err := a.Nested(kind)
	if err != nil {
		return nil, err
	}
	bits, err := set.Nested(unix.ETHTOOL_A_BITSET_BITS)
	if err != nil {
		return nil, err
	}
	_, noMask := set[unix.ETHTOOL_A_BITSET_NOMASK]
	names := map[string]bool{}
	for _, b := range bits[unix.ETHTOOL_A_BITSET_BITS_BIT] {
		bit, err := Parse(b)
		if err != nil {
			return nil, err
		}
		if _, marked := bit[unix.ETHTOOL_A_BITSET_BIT_VALUE]; noMask || marked {
			names[bit.Text(unix.ETHTOOL_A_BITSET_BIT_NAME)] = true
		}
	}
	return names, nil
}
