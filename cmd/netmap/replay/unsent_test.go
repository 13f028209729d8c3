package replay

import (
	"bytes"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// A frame that the interface cannot send is reported with the reason. It does not count as sent,
// and delays no other frame.
func TestUnsent(t *testing.T) {
	testutil.CheckLeaks(t)
	a, b := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, a, "va", b, "vb", 1)
	before := received(t, b)
	var out bytes.Buffer
	file := writeFile(t, makeFile(capfile.Pcap, 100)) // every tenth frame has 5000 bytes
	var err error
	a.Do(func() {
		cmd := New()
		cmd.SetOut(&out)
		cmd.SetErr(&out)
		cmd.SetArgs(strings.Fields("-i netmap:va -t -w 0 " + file))
		err = cmd.Execute()
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Sent 90 frames",
		"10 frames not sent: 10 longer than the interface's MTU."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in\n%s", want, &out)
		}
	}
	if n := received(t, b) - before; n < 90 {
		t.Errorf("%d frames arrived, want 90", n)
	}
}

// received returns the number of frames that vb has received.
func received(t *testing.T, ns *testutil.NS) (n uint64) {
	ns.Do(func() {
		if l, err := netlink.LinkByName("vb"); err == nil {
			n = l.Attrs().Statistics.RxPackets
		}
	})
	return n
}
