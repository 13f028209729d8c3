//go:build linux

package device

import (
	"strconv"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/daemon"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Programs that look for a pipe's parent with getifaddrs, to learn which end is theirs, find each
// other with every kind of request, and without permission to make interfaces.
func TestProgramsFindTheirEnds(t *testing.T) {
	n := newNodeWith(t, func(c *daemon.Config) { c.Engine.PipeInterfaces = true })
	ns := testutil.NewNS(t)
	for name, args := range map[string][2][]string{
		"of today":              {},
		"of API 12":             {{"-L", "12"}, {"-L", "12"}},
		"of API 12 and today":   {{"-L", "12"}, {}},
		"of an ordinary user":   {{"-u", "65534"}, {"-u", "65534"}},
		"of two ordinary users": {{"-u", "65534"}, {"-u", "65533"}},
	} {
		t.Run(name, func(t *testing.T) {
			first := start(t, ns, "ends", append([]string{"-d", n.path, "-i", "foo"},
				args[0]...)...).waitReady()
			second := start(t, ns, "ends", append([]string{"-d", n.path, "-i", "foo"},
				args[1]...)...)
			first.wait()
			second.wait()
			for i, want := range []string{"master", "slave"} {
				c, other := []*client{first, second}[i], []*client{second, first}[i]
				if c.result["end"] != want ||
					c.result["peer"] != strconv.Itoa(other.cmd.Process.Pid) {
					t.Errorf("program %d: %v, want the %s end and process %d", i, c.result, want,
						other.cmd.Process.Pid)
				}
			}
			eventually(t, "the interface is removed with the last end", func() bool {
				gone := false
				ns.Do(func() {
					_, err := netlink.LinkByName("foo")
					gone = err != nil
				})
				return gone
			})
		})
	}
}
