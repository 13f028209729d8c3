package nicfacts

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

func TestChoose(t *testing.T) {
	z, n, g := xsk.ZeroCopy, xsk.Native, xsk.Generic
	all, copies, only := []xsk.Mode{z, n, g}, []xsk.Mode{n, g}, []xsk.Mode{g}
	none := &ethtool.XDP{}
	native := &ethtool.XDP{Features: ethtool.XDPBasic | ethtool.XDPRedirect}
	zeroCopy := &ethtool.XDP{Features: native.Features | ethtool.XDPZeroCopy}
	for _, tt := range []struct {
		name string
		is   Facts
		want xsk.Mode
		try  []xsk.Mode
		why  string // a part of the reason
	}{
		{"card with all", Facts{Kind: "device", Driver: "ice", XDP: zeroCopy}, z, all, "has it"},
		{"card without zero-copy", Facts{Kind: "device", Driver: "virtio_net", XDP: native}, n, copies,
			"no zero-copy"},
		{"card without XDP", Facts{Kind: "device", Driver: "e1000", XDP: none}, g, copies, "no XDP"},
		{"card, before Linux 6.3", Facts{Kind: "device", Driver: "ixgbe"}, n, all, "does not tell"},
		{"veth", Facts{Kind: "veth", Driver: "veth", XDP: native}, n, copies, "no zero-copy"},
		{"veth, before Linux 6.3", Facts{Kind: "veth", Driver: "veth"}, n, all, "does not tell"},
		{"TAP", Facts{Kind: "tuntap", Driver: "tun", XDP: native}, n, copies, "no zero-copy"},
		{"loopback", Facts{Kind: "device", XDP: none}, g, copies, "no XDP"},

		{"bond", Facts{Kind: "bond", Driver: "bonding", XDP: native}, g, only, "members"},
		{"bond of members without XDP", Facts{Kind: "bond", Driver: "bonding", XDP: none}, g, only,
			"members"},
		{"bond of members with all", Facts{Kind: "bond", Driver: "bonding", XDP: zeroCopy}, g, only,
			"members"},
		{"bond, before Linux 6.3", Facts{Kind: "bond", Driver: "bonding"}, g, only, "members"},
		{"Hyper-V", Facts{Kind: "device", Driver: "hv_netvsc", XDP: native}, g, only, "virtual function"},
		{"queues with other numbers", Facts{Driver: "fsl_dpa", XDP: native}, g, only, "numbers"},
		{"queues of no port", Facts{Driver: "mtk_soc_eth", XDP: native}, g, only, "no port"},

		{"team", Facts{Kind: "team", Driver: "team", XDP: none}, g, copies, "no XDP"},
		{"VLAN", Facts{Kind: "vlan", Driver: "802.1Q VLAN Support", XDP: none}, g, copies, "no XDP"},
		{"macvlan, before Linux 6.3", Facts{Kind: "macvlan", Driver: "macvlan"}, g, only,
			"a macvlan has other interfaces"},
		{"a kind to come that has members run it", Facts{Kind: "team", Driver: "team", XDP: native}, g,
			only, "a team has other interfaces"},
		{"a kind that nobody knows", Facts{Kind: "new", XDP: zeroCopy}, g, only,
			"a new has other interfaces"},
	} {
		c, err := tt.is.Choose(nil)
		if err != nil || c.Mode != tt.want || !slices.Equal(c.Try, tt.try) ||
			!strings.Contains(c.Why, tt.why) {
			t.Errorf("%s: %+v, %v; want %v, trying %v, %q", tt.name, c, err, tt.want, tt.try, tt.why)
		}
		for _, wish := range []xsk.Mode{z, n, g} {
			deaf := wish != g && !slices.Contains(c.Try, n) && !strings.Contains(c.Why, "other interfaces")
			got, err := tt.is.Choose(&wish)
			if deaf && (!errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(),
				"--xdp-mode generic")) {
				t.Errorf("%s, %v wished: %+v, %v; want EOPNOTSUPP and advice", tt.name, wish, got, err)
			}
			if !deaf && (err != nil || got.Mode != wish || !slices.Equal(got.Try, []xsk.Mode{wish})) {
				t.Errorf("%s, %v wished: %+v, %v", tt.name, wish, got, err)
			}
		}
	}
}

func TestParseMode(t *testing.T) {
	for _, name := range append(ModeNames(), "") {
		if m, err := ParseMode(name); err != nil || (m == nil) != (name == Auto || name == "") {
			t.Errorf("%q: %v, %v", name, m, err)
		}
	}
	if m, err := ParseMode("zero-copy"); err != nil || *m != xsk.ZeroCopy {
		t.Errorf("zero-copy: %v, %v", m, err)
	}
	const list = "auto, zero-copy, native, generic"
	for _, name := range []string{"Native", "drv", "native copy", " "} {
		_, err := ParseMode(name)
		if !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), list) {
			t.Errorf("%q: %v, want EINVAL and the list", name, err)
		}
	}
}
