//go:build linux

package nic

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// What the kernel and drivers say of queues contradicts itself. Whatever they say, a port has at
// least one ring in each direction, and none for a queue that no socket can be bound to.
func TestQueues(t *testing.T) {
	type q = ethtool.Queues
	type c = ethtool.Channels
	for _, tt := range []struct {
		name     string
		channels *c
		room     q
		inUse    q
		want     q
	}{
		{"card", &c{Combined: 4, MaxCombined: 8}, q{Rx: 8, Tx: 8}, q{Rx: 4, Tx: 4}, q{Rx: 4, Tx: 4}},
		{"card before Linux 6.9", &c{Combined: 4, MaxCombined: 8}, q{Rx: 8, Tx: 8}, q{}, q{Rx: 4, Tx: 4}},
		{"card with queues for itself", &c{Combined: 2, MaxCombined: 2}, q{Rx: 4, Tx: 4}, q{Rx: 4, Tx: 4}, q{Rx: 2, Tx: 2}},
		{"card that says more than there is", &c{Combined: 8, MaxCombined: 8}, q{Rx: 8, Tx: 8}, q{Rx: 1, Tx: 2}, q{Rx: 1, Tx: 2}},
		{"separate channels", &c{Rx: 2, Tx: 3}, q{Rx: 2, Tx: 3}, q{Rx: 2, Tx: 3}, q{Rx: 2, Tx: 3}},
		{"both kinds of channels", &c{Rx: 1, Tx: 2, Combined: 4}, q{Rx: 5, Tx: 6}, q{Rx: 5, Tx: 6}, q{Rx: 5, Tx: 6}},
		{"channels for receiving only", &c{Rx: 4}, q{Rx: 4, Tx: 4}, q{Rx: 4, Tx: 2}, q{Rx: 4, Tx: 2}},
		{"channels for sending only", &c{Tx: 4}, q{Rx: 4, Tx: 4}, q{Rx: 1, Tx: 4}, q{Rx: 1, Tx: 4}},
		{"channels for receiving only, down", &c{Rx: 4}, q{Rx: 4, Tx: 4}, q{}, q{Rx: 4, Tx: 1}},
		{"TAP that nobody reads", &c{MaxCombined: 1}, q{Rx: 1, Tx: 1}, q{Rx: 1, Tx: 1}, q{Rx: 1, Tx: 1}},
		{"TAP with many queues that nobody reads", &c{MaxCombined: 256}, q{Rx: 256, Tx: 256}, q{Rx: 1, Tx: 1}, q{Rx: 1, Tx: 1}},
		{"the same, down", &c{MaxCombined: 256}, q{Rx: 256, Tx: 256}, q{}, q{Rx: 1, Tx: 1}},
		{"driver that does not tell", nil, q{Rx: 1, Tx: 4}, q{Rx: 1, Tx: 2}, q{Rx: 1, Tx: 2}},
		{"driver that does not tell, down", nil, q{Rx: 1, Tx: 4}, q{}, q{Rx: 1, Tx: 4}},
		{"nothing known", nil, q{}, q{}, q{Rx: 1, Tx: 1}},
		{"many queues", nil, q{Rx: 300, Tx: 300}, q{Rx: 300, Tx: 300}, q{Rx: 300, Tx: 300}},
		{"no sense", &c{Rx: -1, Combined: -3}, q{Rx: -1}, q{}, q{Rx: 1, Tx: 1}},
	} {
		f := Facts{Name: "x", Channels: tt.channels, Room: tt.room, InUse: tt.inUse}
		if got := f.Queues(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if l, err := f.link(); err != nil || l.queues != tt.want {
			t.Errorf("%s: link has %+v, %v", tt.name, l.queues, err)
		}
	}
	for _, n := range []int{maxQueues, maxQueues + 1, 70000} {
		f := Facts{Name: "x", Room: ethtool.Queues{Rx: 1, Tx: n}}
		if _, err := f.link(); errors.Is(err, syscall.EINVAL) != (n > maxQueues) {
			t.Errorf("%d queues: %v", n, err)
		}
	}
}

// A port ends when its interface gets other queues, and not for what else becomes known or
// forgotten of them.
func TestChanged(t *testing.T) {
	type q = ethtool.Queues
	type c = ethtool.Channels
	wish := c{Combined: 4, MaxCombined: 4}
	for _, tt := range []struct {
		name        string
		before, now Facts
		wish        *c
		want        bool
	}{
		{"nothing", Facts{Channels: &c{Combined: 2}}, Facts{Channels: &c{Combined: 2}}, nil, false},
		{"more channels", Facts{Channels: &c{Combined: 2}}, Facts{Channels: &c{Combined: 4}}, nil, true},
		{"the maximum only", Facts{Channels: &c{Combined: 2, MaxCombined: 2}}, Facts{Channels: &c{Combined: 2, MaxCombined: 4}}, nil, false},
		{"TAP gets a reader", Facts{Channels: &c{}, InUse: q{Rx: 1, Tx: 1}}, Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}}, nil, false},
		{"TAP loses its reader", Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}}, Facts{Channels: &c{}, InUse: q{Rx: 1, Tx: 1}}, nil, false},
		{"TAP gets a second reader", Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}}, Facts{Channels: &c{Combined: 2}, InUse: q{Rx: 2, Tx: 2}}, nil, true},
		{"down", Facts{Room: q{Rx: 4, Tx: 4}, InUse: q{Rx: 2, Tx: 2}}, Facts{Room: q{Rx: 4, Tx: 4}}, nil, false},
		{"other queues in use", Facts{InUse: q{Rx: 2, Tx: 2}}, Facts{InUse: q{Rx: 2, Tx: 1}}, nil, true},
		{"the wish comes true", Facts{Channels: &c{Combined: 1}}, Facts{Channels: &wish, InUse: q{Rx: 4, Tx: 4}}, &wish, false},
		{"the wish goes", Facts{Channels: &c{Combined: 1}}, Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}}, &wish, false},
		{"against the wish", Facts{Channels: &c{Combined: 1}}, Facts{Channels: &c{Combined: 2}}, &wish, true},
	} {
		l := linkInfo{facts: &tt.before, queues: tt.before.Queues(), wish: tt.wish}
		if got := l.changed(&tt.now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// Users hear of what they would not expect, and of nothing else.
func TestNotes(t *testing.T) {
	for _, tt := range []struct{ kind, layer, want string }{
		{"device", "ether", ""},
		{"veth", "ether", ""},
		{"device", "loopback", "does not reach itself"},
		{"tuntap", "none", "no Ethernet header"},
		{"ipip", "ipip", "no Ethernet header"},
		{"", "ppp", "no Ethernet header"},
		{"vrf", "ether", "nothing arrives here in any mode: what members of a VRF receive"},
		{"ifb", "ether", "nothing arrives here in any mode: what is redirected to an ifb"},
		{"bond", "ether", "VLAN tag"},
		{"macvlan", "ether", "VLAN tag"},
	} {
		f := Facts{Name: "x", Kind: tt.kind, Layer: tt.layer}
		if got := strings.Join(f.Notes(), "; "); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s, %s: %q, want %q", tt.kind, tt.layer, got, tt.want)
		}
		if f.Bare() != (tt.want == "no Ethernet header") {
			t.Errorf("%s: bare %v", tt.layer, f.Bare())
		}
	}
}

// Generic mode is told of where nobody has asked for it.
func TestGenericIsTold(t *testing.T) {
	g, n := xsk.Generic, xsk.Native
	for _, tt := range []struct {
		choice Choice
		mode   xsk.Mode
		want   string
	}{
		{Choice{Mode: g, Why: "the driver has no XDP"}, g, "the driver has no XDP"},
		{Choice{Mode: g, Why: asAsked}, g, ""},
		{Choice{Mode: n, Why: "the driver has XDP"}, n, ""},
		{Choice{Mode: n, Why: "the driver has XDP"}, g, "as it is set up now"},
	} {
		p := Port{choice: tt.choice, mode: tt.mode}
		if got := p.whyGeneric(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v in %v: %q, want %q", tt.choice, tt.mode, got, tt.want)
		}
	}
}
