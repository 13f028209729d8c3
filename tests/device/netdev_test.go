//go:build linux

package device

import (
	"strings"
	"testing"
)

// A descriptor answers the ioctls of network devices as a socket does, for the interface to which
// it is bound.
func TestIoctlsOfNetworkDevices(t *testing.T) {
	n := newNode(t)
	h := newHosts(t)
	c := n.start(h.a, "netdev", "-i", nic)
	await(t, "netdev ends", c.ended)
	if c.err != nil {
		t.Errorf("%v\n%s%s", c.err, strings.Join(values(c), "\n"), c.stderr.String())
	}
}
