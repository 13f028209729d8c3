//go:build linux

package nic_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// newOwnPair is newPair with a framework that keeps its records in the test's own directory.
func newOwnPair(t *testing.T, queues int) (p *pair, dir string) {
	t.Helper()
	p, dir = newPair(t, queues), filepath.Join(t.TempDir(), "state")
	f, err := embed.New(embed.Config{Promisc: true, StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	p.f.Close()
	p.f = f
	return p, dir
}

// setup has the settings that the port changes on an interface.
type setup struct {
	vlan     bool // tags are removed from frames
	promisc  int
	channels ethtool.Channels
	records  int
}

func look(t *testing.T, ns *testutil.NS, dir string) (s setup) {
	t.Helper()
	inNS(t, ns, "va", func(l netlink.Link) error {
		f, err := ethtool.AskFeatures(l.Attrs().Index)
		if err != nil {
			return err
		}
		s.vlan, s.promisc = f.Active[ethtool.FeatureRxVLAN], l.Attrs().Promisc
		s.channels, err = ethtool.AskChannels(l.Attrs().Index)
		return err
	})
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	s.records = len(entries)
	return s
}

func TestOffloadsAreOffWhileReceiving(t *testing.T) {
	p, dir := newOwnPair(t, 1)
	before := look(t, p.na, dir)
	if !before.vlan || before.promisc != 0 {
		t.Fatalf("%+v: nothing to change", before)
	}
	tx := p.open(p.na, "netmap:va", netmap.TxOnly())
	if got := look(t, p.na, dir); got != before {
		t.Errorf("sending changed %+v to %+v", before, got)
	}
	rx := p.open(p.na, "netmap:va", netmap.RxOnly())
	want := before
	want.vlan, want.promisc, want.records = false, 1, 1
	if got := look(t, p.na, dir); got != want {
		t.Errorf("receiving: %+v, want %+v", got, want)
	}
	tx.Close()
	if got := look(t, p.na, dir); got != want {
		t.Errorf("still receiving: %+v, want %+v", got, want)
	}
	rx.Close()
	if got := look(t, p.na, dir); got != before {
		t.Errorf("closed: %+v, want %+v", got, before)
	}
}

// The queues that a driver needs are set before the first socket is bound. The kernel keeps queues
// with sockets, so they are restored after the last socket has closed.
func TestQueuesWhileInUse(t *testing.T) {
	p, dir := newOwnPair(t, 4)
	two := ethtool.Channels{Rx: 2, MaxRx: 4, Tx: 2, MaxTx: 4}
	inNS(t, p.na, "va", func(l netlink.Link) error {
		return ethtool.SetChannels(l.Attrs().Index,
			two)
	})
	four := two
	four.Rx, four.Tx = 4, 4
	nic.WishChannels(t, "veth", four)
	before := look(t, p.na, dir)
	for range 3 {
		a := p.open(p.na, "netmap:va")
		if got := look(t, p.na, dir); len(a.Rx()) != 4 || len(a.Tx()) != 4 || got.channels != four {
			t.Fatalf("%v, %+v, want four queues", a, got)
		}
		b := p.open(p.nb, "netmap:vb")
		time.Sleep(1200 * time.Millisecond) // until the watcher has looked
		pump(t, b, a, 200, 60)
		b.Close()
		a.Close()
		if got := look(t, p.na, dir); got != before {
			t.Fatalf("closed: %+v, want %+v", got, before)
		}
	}
}

// Settings that cannot be recorded are not changed, and the port's error says why it does not open.
func TestNoPlaceForState(t *testing.T) {
	p, dir := newOwnPair(t, 1)
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	p.na.Do(func() { _, err = p.f.Open("netmap:va") })
	if err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("%v, want one that names %s", err, dir)
	}
}
