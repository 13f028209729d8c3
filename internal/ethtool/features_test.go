//go:build linux

package ethtool

import (
	"testing"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

func TestBitNames(t *testing.T) {
	const set = 4
	bit := func(list *nl.RtAttr, name string, marked bool) {
		b := list.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS_BIT|unix.NLA_F_NESTED, nil)
		b.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_NAME, nl.ZeroTerminated(name))
		if marked {
			b.AddRtAttr(unix.ETHTOOL_A_BITSET_BIT_VALUE, nil)
		}
	}
	for _, noMask := range []bool{false, true} {
		top := nl.NewRtAttr(set|unix.NLA_F_NESTED, nil)
		if noMask {
			top.AddRtAttr(unix.ETHTOOL_A_BITSET_NOMASK, nil)
		}
		list := top.AddRtAttr(unix.ETHTOOL_A_BITSET_BITS|unix.NLA_F_NESTED, nil)
		bit(list, "rx-lro", true)
		bit(list, "rx-gro", false)
		a, err := Parse(top.Serialize())
		if err != nil {
			t.Fatal(err)
		}
		names, err := bitNames(a, set)
		if err != nil || !names["rx-lro"] || names["rx-gro"] != noMask {
			t.Errorf("without mask %v: %v, %v", noMask, names, err)
		}
	}
}
