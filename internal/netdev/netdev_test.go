//go:build linux

package netdev_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// in runs f in a new network namespace with a veth pair, va and vb. The index of va is 77.
func in(t *testing.T, f func(va netlink.Link)) {
	t.Helper()
	testutil.NewNS(t).Do(func() { f(makePair(t)) })
}

func makePair(t *testing.T) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = "va", 77
	v := netlink.NewVeth(attrs)
	v.PeerName = "vb"
	testutil.Require(t, "veth interfaces", netlink.LinkAdd(v))
	return v
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFind(t *testing.T) {
	in(t, func(va netlink.Link) {
		long := strings.Repeat("long-altname/", 9) + "1234567890" // 127 characters
		must(t, netlink.LinkAddAltName(va, long))
		must(t, netlink.LinkAddAltName(va, "short@alt"))
		for name, want := range map[string]int{"lo": 1, "va": 77, long: 77, "short@alt": 77} {
			if id, err := netdev.Find(name); err != nil || id.Index != want || id.NS.Inode == 0 ||
				!netdev.Exists(name) {
				t.Errorf("find %s: %+v, %v, want index %d", name, id, err, want)
			}
		}
		for _, name := range []string{"", "v", "vaa", "none", long[:126], long + "x",
			strings.Repeat("x", 200)} {
			if id, err := netdev.Find(name); !errors.Is(err, syscall.ENODEV) ||
				netdev.Exists(name) {
				t.Errorf("find %q: %+v, %v, want ENODEV", name, id, err)
			}
		}
		if name, err := netdev.Name(77); name != "va" || err != nil {
			t.Errorf("77 is called %q, %v", name, err)
		}
		if _, err := netdev.Name(78000); !errors.Is(err, syscall.ENODEV) {
			t.Errorf("no interface: %v", err)
		}
	})
}

// Interfaces with the same name and index in two namespaces have different IDs.
func TestNamespaces(t *testing.T) {
	var a, b netdev.ID
	in(t, func(netlink.Link) { a, _ = netdev.Find("va") })
	in(t, func(netlink.Link) { b, _ = netdev.Find("va") })
	if a.Index != b.Index || a == b {
		t.Errorf("%+v and %+v", a, b)
	}
}

func TestDevice(t *testing.T) {
	other := testutil.NewNS(t)
	for name, end := range map[string]func(va netlink.Link) error{
		"deleted": netlink.LinkDel,
		"moved":   func(va netlink.Link) error { return netlink.LinkSetNsFd(va, other.FD()) },
	} {
		t.Run(name, func(t *testing.T) {
			testutil.CheckLeaks(t)
			in(t, func(va netlink.Link) {
				d, err := netdev.Open(77)
				testutil.Require(t, "packet sockets", err)
				defer d.Close()
				must(t, netlink.LinkSetName(va, "wan"))
				if d.Gone() || d.Name() != "wan" {
					t.Errorf("renamed: gone %v, called %q", d.Gone(), d.Name())
				}
				must(t, end(va))
				if name == "moved" { // vb has stayed
					vb, err := netlink.LinkByName("vb")
					must(t, err)
					must(t, netlink.LinkSetName(vb, "old"))
				}
				makePair(t) // va has index 77 again
				if !d.Gone() || d.Name() != "wan" {
					t.Errorf("gone %v, called %q", d.Gone(), d.Name())
				}
				if _, err := netdev.Open(78000); !errors.Is(err, syscall.ENODEV) {
					t.Errorf("open none: %v", err)
				}
			})
		})
	}
}

// bindTo and ask give the same answers.
func TestBothWays(t *testing.T) {
	in(t, func(va netlink.Link) {
		must(t, netlink.LinkAddAltName(va, "exactly_fifteen"))
		for _, name := range []string{"lo", "va", "vb", "exactly_fifteen", "exactly_fiftee",
			"none"} {
			a, errA := netdev.BindTo(name)
			b, errB := netdev.Ask(name)
			if a != b || errA != errB {
				t.Errorf("%s: %d, %v and %d, %v", name, a, errA, b, errB)
			}
		}
	})
}
