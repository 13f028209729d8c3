package cli

import (
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/portname"
)

// A framework inside the process has buffers for the ports that it is made for, and not more.
func TestBuffersFollowThePorts(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := testutil.NewNS(t)
	testutil.Veth(t, ns, "va", ns, "vb", 18)
	name := func(s string) portname.Name {
		n, err := portname.Parse(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	var d Device
	for _, c := range []struct {
		ports []portname.Name
		rings int // rings of interfaces
	}{
		{nil, -1}, {[]portname.Name{name("vale0:a"), name("x{1")}, -1}, // they take the default number
		{[]portname.Name{name("va"), name("vb")}, 2 * 36}, {[]portname.Name{name("va-3")}, 2},
		{[]portname.Name{name("va/R")}, 18}, {[]portname.Name{name("va"), name("vale0:a")}, 36 + 4},
	} {
		n := 0
		ns.Do(func() { n = d.buffers(c.ports) })
		least := max(c.rings, 0) * 1024
		if c.rings < 0 && n != 0 || c.rings > 0 && (n < least || n > least+least/100+4200) {
			t.Errorf("%v: %d buffers", c.ports, n)
		}
	}
	ns.Do(func() { // two interfaces of 18 queues once needed too many buffers
		open, closeAll, err := d.Opener(2048, name("va"), name("vb"))
		if err != nil {
			t.Fatal(err)
		}
		defer closeAll()
		for _, name := range []string{"va", "vb"} {
			for _, way := range []netmap.Option{netmap.RxOnly(), netmap.TxOnly()} {
				_, err := open(name, way)
				testutil.Require(t, "AF_XDP", err)
			}
		}
	})
}
