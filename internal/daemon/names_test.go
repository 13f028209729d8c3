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

// TestNamesOfInterfaces tests that Go programs open an interface by each of its names, with and
// without the device. One name looks like a ring of another interface; one does not fit into a
// request.
func TestNamesOfInterfaces(t *testing.T) {
	path, _ := serve(t)
	here, there := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, here, "eth-0", there, "vb", 2)
	medium := strings.Repeat("medium-", 9)                    // 63 characters
	long := strings.Repeat("long@altname^", 9) + "1234567890" // 127 characters
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
		"device": func(name string, o ...netmap.Option) (*netmap.Port, error) {
			return netmap.OpenDevice(path, name, o...)
		},
	} {
		for name, rings := range map[string]int{
			"eth-0": 2, "netmap:eth-0": 2, "netmap:eth-0-1": 1, "a-b/c": 2, "netmap:a-b/c-1/R": 1,
			medium: 2, medium + "-0": 1, long: 2, "netmap:" + long + "^": 1,
		} {
			here.Do(func() {
				p, err := open(name)
				testutil.Require(t, "AF_XDP", err)
				if len(p.Rx()) != rings {
					t.Errorf("%s %s: %d rings, want %d", how, name, len(p.Rx()), rings)
				}
				p.Close()
			})
		}
		here.Do(func() {
			for name, want := range map[string]syscall.Errno{
				"eth-1": syscall.ENXIO, "eth-": syscall.EINVAL, long[1:]: syscall.EINVAL,
				strings.Repeat("x", 127): syscall.ENXIO,
				strings.Repeat("x", 128): syscall.ENAMETOOLONG,
			} {
				if _, err := open(name); !errors.Is(err, want) {
					t.Errorf("%s %s: %v, want %v", how, name, err, want)
				}
			}
		})
	}
}
