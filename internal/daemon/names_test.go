//go:build linux

package daemon

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Go programs open an interface by each of its names, also by one that looks like a ring of another or does not fit into a
// request, through the device and without.
func TestNamesOfInterfaces(t *testing.T) {
	path, _ := serve(t)
	here, there := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, here, "eth-0", there, "vb", 2)
	medium, long := strings.Repeat("medium-", 9), strings.Repeat("long@altname^", 9)+"1234567890" // 63 and 127 characters
	here.Do(func() {
		l, err := netlink.LinkByName("eth-0")
		for _, alt := range []string{"a-b/c", medium, long} {
			err = errors.Join(err, netlink.LinkAddAltName(l, alt))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	f, err := embed.New(embed.Config{StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for how, open := range map[string]func(string, ...netmap.Option) (*netmap.Port, error){
		"embedded": f.Open,
		"device":   func(name string, o ...netmap.Option) (*netmap.Port, error) { return netmap.OpenDevice(path, name, o...) },
	} {
		for _, name := range []string{"eth-0", "netmap:eth-0", "netmap:eth-0-1", "a-b/c", "netmap:a-b/c-1/R", medium, medium + "-0", long, "netmap:" + long + "^"} {
			here.Do(func() {
				p, err := open(name)
				testutil.Require(t, "AF_XDP", err)
				rings := 2
				if strings.HasSuffix(name, "-1") || strings.HasSuffix(name, "-1/R") || strings.HasSuffix(name, "--0") || strings.HasSuffix(name, "^") {
					rings = 1
				}
				if len(p.Rx()) != rings {
					t.Errorf("%s %s: %d rings, want %d", how, name, len(p.Rx()), rings)
				}
				p.Close()
			})
		}
		here.Do(func() {
			for name, want := range map[string]syscall.Errno{
				"eth-1": syscall.ENXIO, "eth-": syscall.EINVAL, long[1:]: syscall.EINVAL, strings.Repeat("x", 127): syscall.ENXIO, strings.Repeat("x", 128): syscall.ENAMETOOLONG,
			} {
				if _, err := open(name); !errors.Is(err, want) {
					t.Errorf("%s %s: %v, want %v", how, name, err, want)
				}
			}
		})
	}
}
