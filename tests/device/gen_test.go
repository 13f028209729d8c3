//go:build linux

package device

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// gen starts "netmap gen" on the node, or on a framework inside its process.
func (n *node) gen(ns *testutil.NS, args string) *client {
	n.t.Helper()
	device := "--device=" + n.path
	if strings.Contains(args, "--device") {
		device = "-v"
	}
	return start(n.t, ns, "netmap", append([]string{"gen", device}, strings.Fields(args)...)...)
}

// TestGen tests traffic between two processes: over the device, over an interface, from memory that
// the switch reads (NS_INDIRECT), and the examples of pkt-gen's manual page.
func TestGen(t *testing.T) {
	testutil.Require(t, "the program netmap", buildDaemon())
	n := newNode(t)
	h := newHosts(t)
	const frames = 500
	const manualPage = "-i netmap:" + nic + " -f tx -s 172.16.0.1:53 -d 172.16.1.3:53 " +
		"-D 00:07:43:29:2a:e0 -l 128 -w 0 -R 20k"
	for _, tt := range []struct {
		name, rx, tx string
		nic          bool
		size         int
	}{
		{"pipe", "-i x}1 -W", "-f tx -i x{1", false, 60},
		{"switch", "-i vale0:b -W -b 64", "-f tx -i vale0:a -R 20k -l 100", false, 100},
		{"from memory", "-i vale0:b -W", "-f tx -i vale0:a -R 20k -I -l 200", false, 200},
		{"headers", "-i vale0:b -W -H 12", "-f tx -i vale0:a -R 20k -H 12", false, 72},
		{"headers of one side", "-i vale0:b -W", "-f tx -i vale0:a -R 20k -H 10", false, 60},
		{"IPv6", "-i vale0:b -W", "-f tx -i vale0:a -R 20k -6 -z -Z", false, 80},
		{"manual page, over the device", "-i " + nic + " -f rx -W -w 0",
			manualPage, true, 128},
		{"manual page, inside", "-i " + nic + " -f rx -W -w 0 --device=embedded",
			manualPage + " --device=embedded", true, 128},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &node{t: t, path: n.path, d: n.d}
			defer n.wantEmpty() // or the interface is still in use in the next test
			var a, b *testutil.NS
			if tt.nic {
				a, b = h.a, h.b
			}
			rx := n.gen(b, tt.rx).waitReady()
			tx := n.gen(a, fmt.Sprintf("%s -n %d", tt.tx, frames)).wait()["text"]
			text := rx.wait()["text"]
			want := fmt.Sprintf("Received %d packets %d bytes ", frames, frames*tt.size)
			if !strings.Contains(text, want) {
				t.Errorf("received:\n%s%swant %s; sent:\n%s", text, rx.stderr.String(), want, tx)
			}
			good := fmt.Sprintf("%d good, 0 lost, 0 repeated, ", frames)
			if !strings.Contains(text, good) ||
				!strings.Contains(text, " 0 changed, 0 of unknown") {
				t.Errorf("received:\n%swant %s", text, want)
			}
		})
	}
}

// TestGenPings pings another process.
func TestGenPings(t *testing.T) {
	testutil.Require(t, "the program netmap", buildDaemon())
	n := newNode(t)
	pong := n.gen(nil, "-f pong -i vale0:b -n 200").waitReady()
	ping := n.gen(nil, "-f ping -i vale0:a -n 200 -l 500 -R 1000").wait()["text"]
	if !strings.Contains(ping, "Of 200 frames sent, 0 did not come back.") ||
		!strings.Contains(ping, "Round trip: min ") {
		t.Errorf("%s", ping)
	}
	pong.wait()
}
