//go:build linux

package nic_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// rare is the time after which the interface itself would receive: frames that arrive sooner were
// fetched by programs.
const rare = 100 * time.Millisecond

func newBusyPair(t *testing.T, mode string) (p *pair, dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "state")
	return newSizedPair(t, 1, embed.Config{BusyPoll: rare, StateDir: dir, XDPMode: mode}), dir
}

func deferralOf(t *testing.T, ns *testutil.NS, name string) (d ethtool.Deferral) {
	t.Helper()
	inNS(t, ns, name, func(l netlink.Link) (err error) {
		d, err = ethtool.AskDeferral(l.Attrs().Index)
		return err
	})
	return d
}

// mayPoll opens an interface for busy polling. can is false if the kernel does not know the receive
// loop, which the error must say: since Linux 6.13 veth does not report it.
func (p *pair) mayPoll(ns *testutil.NS, name string, options ...netmap.Option) (port *netmap.Port,
	can bool) {
	p.t.Helper()
	var err error
	ns.Do(func() { port, err = p.f.Open(name, options...) })
	if errors.Is(err, syscall.EOPNOTSUPP) {
		if !strings.Contains(err.Error(), "do without busy polling") {
			p.t.Errorf("the error does not say what to do: %v", err)
		}
		return nil, false
	}
	testutil.Require(p.t, "AF_XDP", err)
	p.t.Cleanup(func() { port.Close() })
	return port, true
}

// The settings of an interface are changed while a port receives. Other interfaces are not changed:
// the other end has the same index in its namespace. The settings are restored also where polling
// fails.
func TestBusyPollChangesSettingsWhileReceiving(t *testing.T) {
	p, dir := newBusyPair(t, "")
	before, other := deferralOf(t, p.na, "va"), deferralOf(t, p.nb, "vb")
	want := ethtool.Deferral{HardIRQs: 2, FlushTimeout: int(rare.Nanoseconds())}
	rx, can := p.mayPoll(p.na, "netmap:va", netmap.RxOnly())
	if can {
		if got := deferralOf(t, p.na, "va"); got != want {
			t.Errorf("receiving: %v, want %v", got, want)
		}
		if got := deferralOf(t, p.nb, "vb"); got != other {
			t.Errorf("the other end: %v, want %v", got, other)
		}
		rx.Close()
	}
	if got := deferralOf(t, p.na, "va"); got != before {
		t.Errorf("closed: %v, want %v", got, before)
	}
	if left, err := os.ReadDir(dir); len(left) > 0 || err != nil && !os.IsNotExist(err) {
		t.Errorf("records are left: %v, %v", left, err)
	}
}

// requireOlder skips a test on that kernel version and later ones. On an older kernel the test must
// work.
func requireOlder(t *testing.T, major, minor int, why string) {
	t.Helper()
	var u unix.Utsname
	var is [2]int
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	if _, err := fmt.Sscanf(release, "%d.%d", &is[0], &is[1]); err != nil {
		t.Fatalf("kernel %s: %v", release, err)
	}
	if slices.Compare(is[:], []int{major, minor}) < 0 {
		t.Fatalf("kernel %s is older than %d.%d, and cannot", release, major, minor)
	}
	t.Skipf("needs a kernel older than %d.%d, and this is %s: %s", major, minor, release, why)
}

// Frames arrive in the syncs of the program that receives; the interface itself would take much
// longer. A sleeping program is woken.
func TestBusyPollReceives(t *testing.T) {
	p, _ := newBusyPair(t, "")
	rx, can := p.mayPoll(p.na, "netmap:va")
	if !can {
		requireOlder(t, 6, 13, "veth does not tell newer kernels what to poll")
	}
	tx, _ := p.mayPoll(p.nb, "netmap:vb")
	const frames = 40
	atOnce := 0
	for i := range frames {
		tx.Tx()[0].Send(frame(i, 60))
		if err := errors.Join(tx.TxSync(), rx.RxSync()); err != nil {
			t.Fatal(err)
		}
		for _, b := range rx.Rx()[0].Frames() {
			if string(b) == string(frame(i, 60)) {
				atOnce++
			}
		}
	}
	if atOnce < frames/2 {
		t.Errorf("%d of %d frames came in the first sync after them", atOnce, frames)
	}
	for i := range 5 {
		tx.Tx()[0].Send(frame(i, 60))
		if err := tx.TxSync(); err != nil {
			t.Fatal(err)
		}
		if ready, err := rx.Poll(t.Context(), netmap.In, 10*time.Second); ready != netmap.In {
			t.Fatalf("frame %d: Poll = %v, %v", i, ready, err)
		}
		for range rx.Rx()[0].Frames() {
		}
	}
}

// In generic mode there is nothing to poll, and no setting stays changed.
func TestBusyPollNeedsADriver(t *testing.T) {
	p, dir := newBusyPair(t, "generic")
	before := deferralOf(t, p.na, "va")
	var err error
	p.na.Do(func() { _, err = p.f.Open("netmap:va") })
	if !errors.Is(err, syscall.EOPNOTSUPP) || !strings.Contains(err.Error(), "--busy-poll") {
		t.Errorf("Open = %v, want EOPNOTSUPP that names --busy-poll", err)
	}
	if got := deferralOf(t, p.na, "va"); got != before {
		t.Errorf("after the error: %v, want %v", got, before)
	}
	if left, err := takeover.Pending(dir); len(left) > 0 || err != nil {
		t.Errorf("records are left: %+v, %v", left, err)
	}
}

func TestBusyPollBounds(t *testing.T) {
	for _, d := range []time.Duration{-time.Microsecond, -1, 1, time.Microsecond - 1, rare + 1,
		time.Hour} {
		if err := new(nic.Config).SetBusyPoll(d); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("SetBusyPoll(%v) = %v", d, err)
		}
		if _, err := embed.New(embed.Config{BusyPoll: d}); !errors.Is(err, syscall.EINVAL) {
			t.Errorf("New with BusyPoll %v = %v", d, err)
		}
	}
	for _, d := range []time.Duration{0, time.Microsecond, rare} {
		if err := new(nic.Config).SetBusyPoll(d); err != nil {
			t.Errorf("SetBusyPoll(%v) = %v", d, err)
		}
	}
}
