//go:build linux

package nic_test

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Features that join frames are off on the interfaces below while any port receives frames that
// come through them.
func TestJoiningBelow(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := testutil.NewNS(t)
	parent, _ := testutil.Veth(t, ns, "va", ns, "vb", 1)
	open := func(f *embed.Framework, name string) (p *netmap.Port) {
		t.Helper()
		var err error
		ns.Do(func() { p, err = f.Open(name) })
		testutil.Require(t, "AF_XDP", err)
		return p
	}
	isOn := func() (on bool) {
		ns.Do(func() {
			f, err := ethtool.AskFeatures(parent)
			if err != nil {
				t.Fatal(err)
			}
			on = f.Active[ethtool.FeatureGRO]
		})
		return on
	}
	want := func(when string, on bool) {
		t.Helper()
		if isOn() != on {
			t.Errorf("%s: GRO of the parent is on: %v, want %v", when, !on, on)
		}
	}
	ns.Do(func() {
		testutil.Require(t, "GRO of veth", ethtool.SetFeatures(parent,
			map[string]bool{ethtool.FeatureGRO: true}))
		for _, name := range []string{"m0", "m1"} {
			attrs := netlink.LinkAttrs{Name: name, ParentIndex: parent}
			testutil.Require(t, "macvlan", netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs,
				Mode: netlink.MACVLAN_MODE_BRIDGE}))
		}
		l, err := netlink.LinkByName("m0")
		if err != nil {
			t.Fatal(err)
		}
		below, err := nicfacts.FindBelow(l.Attrs().Index)
		if err != nil || len(below) != 1 || below[0].Index != parent {
			t.Errorf("below m0: %+v, %v", below, err)
		}
		if below, err := nicfacts.FindBelow(parent); err != nil || len(below) > 0 {
			t.Errorf("below a veth: %+v, %v", below, err)
		}
	})
	dir := t.TempDir()
	var f [2]*embed.Framework
	for i := range f {
		var err error
		if f[i], err = embed.New(embed.Config{Buffers: 8192, StateDir: dir}); err != nil {
			t.Fatal(err)
		}
		defer f[i].Close()
	}
	want("at first", true)
	sender := open(f[0], "m0/T")
	want("one sends", true)
	a := open(f[0], "m0/R")
	want("one receives", false)
	b := open(f[1], "m1")
	a.Close()
	want("another receives", false)
	sender.Close()
	b.Close()
	want("all are closed", true)
	gone := open(f[0], "m0")
	want("one receives again", false)
	ns.Do(func() {
		l, err := netlink.LinkByName("m0")
		if err != nil || netlink.LinkDel(l) != nil {
			t.Fatal(l, err)
		}
	})
	for end := time.Now().Add(5 * time.Second); !isOn() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	want("its interface is gone", true)
	gone.Close()
}
