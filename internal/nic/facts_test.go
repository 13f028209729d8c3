//go:build linux

package nic

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// The kernel and drivers report contradictory numbers of queues. Whatever they report, a port has
// at least one ring in each direction, and no ring for a queue to which no socket can be bound.
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
		{"card with queues for itself", &c{Combined: 2, MaxCombined: 2}, q{Rx: 4, Tx: 4}, q{Rx: 4, Tx: 4},
			q{Rx: 2, Tx: 2}},
		{"card that says more than there is", &c{Combined: 8, MaxCombined: 8}, q{Rx: 8, Tx: 8},
			q{Rx: 1, Tx: 2}, q{Rx: 1, Tx: 2}},
		{"separate channels", &c{Rx: 2, Tx: 3}, q{Rx: 2, Tx: 3}, q{Rx: 2, Tx: 3}, q{Rx: 2, Tx: 3}},
		{"both kinds of channels", &c{Rx: 1, Tx: 2, Combined: 4}, q{Rx: 5, Tx: 6}, q{Rx: 5, Tx: 6},
			q{Rx: 5, Tx: 6}},
		{"channels for receiving only", &c{Rx: 4}, q{Rx: 4, Tx: 4}, q{Rx: 4, Tx: 2}, q{Rx: 4, Tx: 2}},
		{"channels for sending only", &c{Tx: 4}, q{Rx: 4, Tx: 4}, q{Rx: 1, Tx: 4}, q{Rx: 1, Tx: 4}},
		{"channels for receiving only, down", &c{Rx: 4}, q{Rx: 4, Tx: 4}, q{}, q{Rx: 4, Tx: 1}},
		{"TAP that nobody reads", &c{MaxCombined: 1}, q{Rx: 1, Tx: 1}, q{Rx: 1, Tx: 1}, q{Rx: 1, Tx: 1}},
		{"TAP with many queues that nobody reads", &c{MaxCombined: 256}, q{Rx: 256, Tx: 256},
			q{Rx: 1, Tx: 1}, q{Rx: 1, Tx: 1}},
		{"the same, down", &c{MaxCombined: 256}, q{Rx: 256, Tx: 256}, q{}, q{Rx: 1, Tx: 1}},
		{"driver that does not tell", nil, q{Rx: 1, Tx: 4}, q{Rx: 1, Tx: 2}, q{Rx: 1, Tx: 2}},
		{"driver that does not tell, down", nil, q{Rx: 1, Tx: 4}, q{}, q{Rx: 1, Tx: 4}},
		{"nothing known", nil, q{}, q{}, q{Rx: 1, Tx: 1}},
		{"many queues", nil, q{Rx: 300, Tx: 300}, q{Rx: 300, Tx: 300}, q{Rx: 300, Tx: 300}},
		{"no sense", &c{Rx: -1, Combined: -3}, q{Rx: -1}, q{}, q{Rx: 1, Tx: 1}},
	} {
		f := nicfacts.Facts{Name: "x", Channels: tt.channels, Room: tt.room, InUse: tt.inUse}
		if got := f.Queues(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
		if l, err := describe(&f); err != nil || l.queues != tt.want {
			t.Errorf("%s: link has %+v, %v", tt.name, l.queues, err)
		}
	}
	for _, n := range []int{maxQueues, maxQueues + 1, 70000} {
		f := nicfacts.Facts{Name: "x", Room: ethtool.Queues{Rx: 1, Tx: n}}
		if _, err := describe(&f); errors.Is(err, syscall.EINVAL) != (n > maxQueues) {
			t.Errorf("%d queues: %v", n, err)
		}
	}
}

// A port fails when its interface gets other queues. It does not fail when other facts about the
// queues become known or unknown.
func TestChanged(t *testing.T) {
	type q = ethtool.Queues
	type c = ethtool.Channels
	wish := c{Combined: 4, MaxCombined: 4}
	for _, tt := range []struct {
		name        string
		before, now nicfacts.Facts
		wish        *c
		want        bool
	}{
		{"nothing", nicfacts.Facts{Channels: &c{Combined: 2}}, nicfacts.Facts{Channels: &c{Combined: 2}},
			nil, false},
		{"more channels", nicfacts.Facts{Channels: &c{Combined: 2}},
			nicfacts.Facts{Channels: &c{Combined: 4}}, nil, true},
		{"the maximum only", nicfacts.Facts{Channels: &c{Combined: 2, MaxCombined: 2}},
			nicfacts.Facts{Channels: &c{Combined: 2, MaxCombined: 4}}, nil, false},
		{"TAP gets a reader", nicfacts.Facts{Channels: &c{}, InUse: q{Rx: 1, Tx: 1}},
			nicfacts.Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}}, nil, false},
		{"TAP loses its reader", nicfacts.Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}},
			nicfacts.Facts{Channels: &c{}, InUse: q{Rx: 1, Tx: 1}}, nil, false},
		{"TAP gets a second reader", nicfacts.Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}},
			nicfacts.Facts{Channels: &c{Combined: 2}, InUse: q{Rx: 2, Tx: 2}}, nil, true},
		{"down", nicfacts.Facts{Room: q{Rx: 4, Tx: 4}, InUse: q{Rx: 2, Tx: 2}},
			nicfacts.Facts{Room: q{Rx: 4, Tx: 4}}, nil, false},
		{"other queues in use", nicfacts.Facts{InUse: q{Rx: 2, Tx: 2}},
			nicfacts.Facts{InUse: q{Rx: 2, Tx: 1}}, nil, true},
		{"the wish comes true", nicfacts.Facts{Channels: &c{Combined: 1}},
			nicfacts.Facts{Channels: &wish, InUse: q{Rx: 4, Tx: 4}}, &wish, false},
		{"the wish goes", nicfacts.Facts{Channels: &c{Combined: 1}},
			nicfacts.Facts{Channels: &c{Combined: 1}, InUse: q{Rx: 1, Tx: 1}}, &wish, false},
		{"against the wish", nicfacts.Facts{Channels: &c{Combined: 1}},
			nicfacts.Facts{Channels: &c{Combined: 2}}, &wish, true},
	} {
		l := linkInfo{facts: &tt.before, queues: tt.before.Queues(), wish: tt.wish}
		if got := l.changed(&tt.now); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// A note reports generic mode if the user has not asked for it.
func TestGenericIsTold(t *testing.T) {
	g, n := xsk.Generic, xsk.Native
	for _, tt := range []struct {
		choice nicfacts.Choice
		mode   xsk.Mode
		want   string
	}{
		{nicfacts.Choice{Mode: g, Why: "the driver has no XDP"}, g, "the driver has no XDP"},
		{nicfacts.Choice{Mode: g, Why: nicfacts.AsAsked}, g, ""},
		{nicfacts.Choice{Mode: n, Why: "the driver has XDP"}, n, ""},
		{nicfacts.Choice{Mode: n, Why: "the driver has XDP"}, g, "as it is set up now"},
	} {
		p := Port{choice: tt.choice, mode: tt.mode}
		if got := p.whyGeneric(); (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%+v in %v: %q, want %q", tt.choice, tt.mode, got, tt.want)
		}
	}
}
