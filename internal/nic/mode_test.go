//go:build linux

package nic_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// A mode that the user chooses is used, and frames pass in it; or the error names the mode to
// choose instead.
func TestXDPMode(t *testing.T) {
	testutil.CheckLeaks(t)
	na, nb := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, na, "va", nb, "vb", 1)
	na.Do(func() {
		va, err := netlink.LinkByName("va")
		if err != nil {
			t.Fatal(err)
		}
		attrs := netlink.LinkAttrs{Name: "mv", ParentIndex: va.Attrs().Index}
		testutil.Require(t, "macvlan", netlink.LinkAdd(&netlink.Macvlan{LinkAttrs: attrs,
			Mode: netlink.MACVLAN_MODE_BRIDGE}))
		mv, err := netlink.LinkByName("mv")
		if err == nil {
			err = netlink.LinkSetUp(mv)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, tt := range []struct {
		mode, name string
		want       string // the mode that is used, or a part of the error
	}{
		{"", "va", "native copy"}, {"auto", "va", "native copy"}, {"native", "va", "native copy"},
		{"generic", "va", "generic"},
		{"zero-copy", "va", "no zero-copy"}, {"zero-copy", "va/T", "no zero-copy"},
		{"", "mv", "generic"}, {"generic", "mv", "generic"}, {"auto", "mv/T", "generic"},
		{"native", "mv", "--xdp-mode generic"}, {"native", "mv/T", "--xdp-mode generic"},
		{"zero-copy", "mv", "--xdp-mode generic"},
	} {
		f, err := embed.New(embed.Config{Buffers: 8192, StateDir: t.TempDir(), XDPMode: tt.mode,
			Promisc: true})
		if err != nil {
			t.Fatal(err)
		}
		var a, b *netmap.Port
		nb.Do(func() { b, err = f.Open("netmap:vb/T") })
		testutil.Require(t, "AF_XDP", ignore(err, tt.mode == "zero-copy"))
		na.Do(func() { a, err = f.Open("netmap:" + tt.name) })
		switch {
		case err != nil:
			if !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s, mode %q: %v, want EOPNOTSUPP and %q", tt.name, tt.mode, err, tt.want)
			}
		case modeOf(f, tt.name) != tt.want:
			t.Errorf("%s, mode %q: it is %q, want %q", tt.name, tt.mode, modeOf(f, tt.name), tt.want)
		case b != nil && len(a.Rx()) > 0:
			arrives(t, a, b)
		}
		f.Close()
	}
}

// ignore returns err, or nil if the error does not matter.
func ignore(err error, of bool) error {
	if of {
		return nil
	}
	return err
}

func modeOf(f *embed.Framework, name string) string {
	name, _, _ = strings.Cut(name, "/")
	for _, s := range f.Stats() {
		if s.Name == name {
			return s.Detail
		}
	}
	return ""
}

// arrives checks that a broadcast frame of one port reaches the other.
func arrives(t *testing.T, to, from *netmap.Port) {
	t.Helper()
	want := frame(1, 100)
	copy(want, "\xff\xff\xff\xff\xff\xff") // which a macvlan gets, too
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		from.Tx()[0].Send(want)
		from.TxSync()
		to.Poll(t.Context(), netmap.In, 20*time.Millisecond)
		for _, got := range to.Rx()[0].Frames() {
			if string(got) == string(want) {
				return
			}
		}
	}
	t.Errorf("%s receives nothing", to.Name())
}
