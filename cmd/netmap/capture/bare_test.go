//go:build linux

package capture

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Frames of an interface without Ethernet headers are written with that link type. Filters are
// refused, because they read Ethernet headers.
func TestBareInterface(t *testing.T) {
	ns := testutil.NewNS(t)
	var tun *tap.Interface
	var err error
	ns.Do(func() {
		if tun, err = tap.NewQueues("tun7", tap.Bare, 1); err == nil {
			var l netlink.Link
			if l, err = netlink.LinkByName("tun7"); err == nil {
				err = netlink.LinkSetUp(l)
			}
		}
	})
	testutil.Require(t, "TUN", err)
	defer tun.Close()
	name := filepath.Join(t.TempDir(), "out.pcap")
	args := []string{"-i", "netmap:tun7", "--device=embedded", "-w", name, "--format", "pcap", "-t",
		"50ms"}
	capture := func(args ...string) (err error) {
		o := mustParse(t, args...)
		o.out, o.err = io.Discard, io.Discard
		ns.Do(func() { err = o.run(t.Context()) })
		return err
	}
	testutil.Require(t, "AF_XDP", capture(args...))
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if r, err := pcapgo.NewReader(f); err != nil || r.LinkType() != layers.LinkTypeRaw {
		t.Errorf("link type %v, %v", r, err)
	}
	if err := capture(append(args, "udp")...); err == nil ||
		!strings.Contains(err.Error(), "Ethernet headers") {
		t.Errorf("with a filter: %v", err)
	}
}
