//go:build linux

package nic_test

import (
	"context"
	"errors"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// inNS runs netlink calls in a namespace and fails the test on an error.
func inNS(t *testing.T, ns *testutil.NS, name string, f func(netlink.Link) error) {
	t.Helper()
	var err error
	ns.Do(func() {
		var l netlink.Link
		if l, err = netlink.LinkByName(name); err == nil {
			err = f(l)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// awaitError polls until the port fails. Until then no poll may return at once.
func awaitError(t *testing.T, p *netmap.Port, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	got, err := p.Poll(ctx, netmap.In, -1)
	if err != nil || got&netmap.Err == 0 {
		t.Fatalf("%s: poll says %v, %v", what, got, err)
	}
	if err := errors.Join(p.TxSync(), p.RxSync()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("%s: sync says %v, want EIO", what, err)
	}
}

// awaitHealth waits until the port works again after its link came up.
func awaitHealth(t *testing.T, p *netmap.Port) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); p.RxSync() != nil ||
		p.TxSync() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still in trouble after the link came up: %v", p.RxSync())
		}
	}
}

func TestLinkDownAndUp(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	pump(t, a, b, 100, 60)
	inNS(t, p.na, "va", netlink.LinkSetDown)
	awaitError(t, a, "after the link went down")
	inNS(t, p.na, "va", netlink.LinkSetUp)
	awaitHealth(t, a)
	pump(t, a, b, 1000, 60)
	pump(t, b, a, 1000, 60)
	a.Close()
	b.Close()
}

func TestLinkVanishes(t *testing.T) {
	p := newPair(t, 2)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	pump(t, a, b, 100, 60)
	inNS(t, p.na, "va", netlink.LinkDel)
	awaitError(t, a, "after the interface was deleted")
	awaitError(t, b, "after the peer was deleted")
	a.Close()
	b.Close()
	testutil.Veth(t, p.na, "va", p.nb, "vb", 2)
	a, b = p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	pump(t, a, b, 100, 60)
	a.Close()
	b.Close()
}

func TestQueuesChange(t *testing.T) {
	ethtool, err := exec.LookPath("ethtool")
	testutil.Require(t, "ethtool (Debian package ethtool)", err)
	p := newPair(t, 4)
	setQueues := func(n string) {
		t.Helper()
		p.na.Do(func() {
			if out, err := exec.Command(ethtool, "-L", "va", "rx", n, "tx", n).CombinedOutput(); err != nil {
				t.Fatalf("set queues to %s: %v: %s", n, err, out)
			}
		})
	}
	setQueues("2")
	a := p.open(p.na, "netmap:va")
	if len(a.Rx()) != 2 {
		t.Fatalf("%d rx rings of 2", len(a.Rx()))
	}
	setQueues("4") // the kernel refuses fewer
	awaitError(t, a, "after the queues changed")
	a.Close()
	a = p.open(p.na, "netmap:va")
	if len(a.Rx()) != 4 {
		t.Fatalf("%d rx rings of 4", len(a.Rx()))
	}
	a.Close()
}

// TestForgetful checks that a driver that loses its XDP program gets it again after every change
// that could have lost it, and that other drivers do not.
func TestForgetful(t *testing.T) {
	for _, driver := range []string{"veth", "another"} {
		t.Run(driver, func(t *testing.T) {
			nic.Forgetful(t, driver)
			p := newPair(t, 1)
			a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
			program := func() (id uint32) {
				inNS(t, p.na, "va", func(l netlink.Link) error {
					id = l.Attrs().Xdp.ProgId
					return nil
				})
				return id
			}
			changes := func(what string, change func(netlink.Link) error) {
				before := program()
				inNS(t, p.na, "va", change)
				for end := time.Now().Add(5 * time.Second); driver == "veth" &&
					program() == before; time.Sleep(time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("%s: the driver still has program %d", what, before)
					}
				}
				pump(t, b, a, 100, 60)
				if now := program(); driver != "veth" && now != before {
					t.Errorf("%s: program %d became %d", what, before, now)
				}
			}
			changes("MTU", func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1400) })
			changes("down and up", func(l netlink.Link) error {
				if err := netlink.LinkSetDown(l); err != nil {
					return err
				}
				awaitError(t, a, "after the link went down")
				defer awaitHealth(t, a)
				return netlink.LinkSetUp(l)
			})
			a.Close()
			b.Close()
		})
	}
}

func TestUnknownInterface(t *testing.T) {
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err = f.Open("netmap:nosuch0"); !errors.Is(err, syscall.ENXIO) {
		t.Fatalf("unknown interface: %v", err)
	}
}
