package nic

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/xsk"
)

func TestChoose(t *testing.T) {
	z, n, g := xsk.ZeroCopy, xsk.Native, xsk.Generic
	all, copies, only := []xsk.Mode{z, n, g}, []xsk.Mode{n, g}, []xsk.Mode{g}
	for _, tt := range []struct {
		name string
		is   Traits
		want xsk.Mode
		try  []xsk.Mode
		why  string // a part of the reason
	}{
		{"card with all", Traits{Kind: "device", Driver: "ice", Known: true, Native: true, ZeroCopy: true}, z, all, "has it"},
		{"card without zero-copy", Traits{Kind: "device", Driver: "virtio_net", Known: true, Native: true}, n, copies, "no zero-copy"},
		{"card without XDP", Traits{Kind: "device", Driver: "e1000", Known: true}, g, copies, "no XDP"},
		{"card, before Linux 6.3", Traits{Kind: "device", Driver: "ixgbe"}, n, all, "does not tell"},
		{"veth", Traits{Kind: "veth", Driver: "veth", Known: true, Native: true}, n, copies, "no zero-copy"},
		{"veth, before Linux 6.3", Traits{Kind: "veth", Driver: "veth"}, n, all, "does not tell"},
		{"TAP", Traits{Kind: "tuntap", Driver: "tun", Known: true, Native: true}, n, copies, "no zero-copy"},
		{"loopback", Traits{Kind: "device", Known: true}, g, copies, "no XDP"},

		{"bond", Traits{Kind: "bond", Driver: "bonding", Known: true, Native: true}, g, only, "members"},
		{"bond of members without XDP", Traits{Kind: "bond", Driver: "bonding", Known: true}, g, only, "members"},
		{"bond of members with all", Traits{Kind: "bond", Driver: "bonding", Known: true, Native: true, ZeroCopy: true}, g, only, "members"},
		{"bond, before Linux 6.3", Traits{Kind: "bond", Driver: "bonding"}, g, only, "members"},
		{"Hyper-V", Traits{Kind: "device", Driver: "hv_netvsc", Known: true, Native: true}, g, only, "virtual function"},
		{"queues with other numbers", Traits{Driver: "fsl_dpa", Known: true, Native: true}, g, only, "numbers"},
		{"queues of no port", Traits{Driver: "mtk_soc_eth", Known: true, Native: true}, g, only, "no port"},

		{"team", Traits{Kind: "team", Driver: "team", Known: true}, g, copies, "no XDP"},
		{"VLAN", Traits{Kind: "vlan", Driver: "802.1Q VLAN Support", Known: true}, g, copies, "no XDP"},
		{"macvlan, before Linux 6.3", Traits{Kind: "macvlan", Driver: "macvlan"}, g, only, "a macvlan has other interfaces"},
		{"a kind to come that has members run it", Traits{Kind: "team", Driver: "team", Known: true, Native: true}, g, only, "a team has other interfaces"},
		{"a kind that nobody knows", Traits{Kind: "new", Known: true, Native: true, ZeroCopy: true}, g, only, "a new has other interfaces"},
	} {
		c, err := tt.is.Choose(nil)
		if err != nil || c.Mode != tt.want || !slices.Equal(c.Try, tt.try) || !strings.Contains(c.Why, tt.why) {
			t.Errorf("%s: %+v, %v; want %v, trying %v, %q", tt.name, c, err, tt.want, tt.try, tt.why)
		}
		for _, wish := range []xsk.Mode{z, n, g} {
			deaf := wish != g && !slices.Contains(c.Try, n) && !strings.Contains(c.Why, "other interfaces")
			got, err := tt.is.Choose(&wish)
			if deaf && (!errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), "--xdp-mode generic")) {
				t.Errorf("%s, %v wished: %+v, %v; want EOPNOTSUPP and advice", tt.name, wish, got, err)
			}
			if !deaf && (err != nil || got.Mode != wish || !slices.Equal(got.Try, []xsk.Mode{wish})) {
				t.Errorf("%s, %v wished: %+v, %v", tt.name, wish, got, err)
			}
		}
	}
}

func TestSetMode(t *testing.T) {
	var c Config
	for _, name := range append(ModeNames(), "") {
		if err := c.SetMode(name); err != nil || (c.Mode == nil) != (name == Auto || name == "") {
			t.Errorf("%q: %v, %v", name, c.Mode, err)
		}
	}
	if err := c.SetMode("zero-copy"); err != nil || *c.Mode != xsk.ZeroCopy {
		t.Errorf("zero-copy: %v, %v", c.Mode, err)
	}
	for _, name := range []string{"Native", "drv", "native copy", " "} {
		if err := c.SetMode(name); !errors.Is(err, syscall.EINVAL) || !strings.Contains(err.Error(), "auto, zero-copy, native, generic") {
			t.Errorf("%q: %v, want EINVAL and the list", name, err)
		}
	}
}
