package bridge

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Frames pass from a pipe through two interfaces to a switch, and back: in one slot and in three,
// with and without offsets. A buffer must have room for a frame of the whole MTU behind the offset.
func TestForwardThroughInterfaces(t *testing.T) {
	for _, tt := range []struct {
		mtu   int
		pairs [][2]string
		sizes []int
	}{
		{9000, [][2]string{{"a}1", "netmap:v0"}, {"netmap:v1", "vale0:b"}}, []int{60, 9000}},
		{1500, [][2]string{{"a}1@offset=64", "netmap:v0"},
			{"netmap:v1@offset=64", "vale0:b@offset=128"}}, []int{60, 1514}},
	} {
		t.Run(fmt.Sprint(tt.mtu), func(t *testing.T) {
			testutil.CheckLeaks(t)
			ns := veth(t, tt.mtu)
			f, err := embed.New(embed.Config{Buffers: 32768, BufSize: 4096, NoHugePages: true,
				Promisc: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			forwardAll(t, ns, f, tt.pairs)
			r := &running{t: t, f: f}
			a, c := r.open("a{1"), r.open("vale0:c")
			for _, size := range tt.sizes {
				r.pass(a, c, 12, size, all)
				r.pass(c, a, 12, size, all)
			}
		})
	}
}

// veth returns a namespace with the interfaces v0 and v1, the two ends of a veth pair.
func veth(t *testing.T, mtu int) *testutil.NS {
	t.Helper()
	ns := testutil.NewNS(t)
	testutil.Veth(t, ns, "v0", ns, "v1", 1)
	ns.Do(func() {
		for _, name := range []string{"v0", "v1"} {
			l, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetMTU(l, mtu)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
	return ns
}

// forwardAll runs a bridge between each pair of ports until the test ends.
func forwardAll(t *testing.T, ns *testutil.NS, f *embed.Framework, pairs [][2]string) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, len(pairs))
	t.Cleanup(func() {
		stop()
		for range pairs {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	})
	for i, pair := range pairs {
		o := mustParse(t, "--json", "-i", pair[0], "-i", pair[1])
		ns.Do(func() {
			directions, err := o.open(f.Open)
			if err != nil {
				for range pairs[i:] {
					done <- nil
				}
			}
			testutil.Require(t, "AF_XDP", err)
			go func() { done <- o.bridge(ctx, directions) }()
		})
	}
}

// Frames that an interface could not send are reported with the reason, even if the interface was
// opened by an alternative name and renamed meanwhile.
func TestUnsentUnderOtherNames(t *testing.T) {
	const alt = "the-interface-with-a-long-name"
	testutil.CheckLeaks(t)
	ns := veth(t, 1500)
	v0 := func(change func(netlink.Link) error) {
		t.Helper()
		ns.Do(func() {
			l, err := netlink.LinkByName("v0")
			if err == nil {
				err = change(l)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	v0(func(l netlink.Link) error { return netlink.LinkAddAltName(l, alt) })
	f, err := embed.New(embed.Config{Buffers: 16384, BufSize: 4096, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var o *flags
	done := make(chan error, 1)
	ns.Do(func() {
		o = mustParse(t, "--json", "-i", "a}1/R", "-i", "netmap:"+alt+"/T")
		directions, err := o.open(f.Open)
		testutil.Require(t, "AF_XDP", err)
		go func() { done <- o.bridge(ctx, directions) }()
	})
	v0(func(l netlink.Link) error { return netlink.LinkSetName(l, "renamed") })
	a, err := f.Open("a{1")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		a.Tx()[0].Send(make([]byte, 3000))
	}
	if err := a.TxSync(); err != nil {
		t.Fatal(err)
	}
	lost := func() (n uint64) {
		for _, s := range f.Stats() {
			n += s.Drops["too-long-for-mtu"]
		}
		return n
	}
	for end := time.Now().Add(10 * time.Second); lost() < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d frames refused", lost())
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if out := fmt.Sprint(o.out); !strings.Contains(out, `"too-long-for-mtu":3`) {
		t.Errorf("the summary is %s", out)
	}
}
