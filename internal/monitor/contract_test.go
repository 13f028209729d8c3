package monitor_test

import (
	"testing"

	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/monitor"
	"github.com/seed-48afdc40/netmap/internal/pipe"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// Monitors of either end of a pipe see what the master sends. A second one in a chain sees what the
// first has released.
func TestPort(t *testing.T) {
	for _, c := range []struct {
		name    string
		ofSlave bool
		flags   []uint64 // of monitors; the last one is tested
	}{
		{"sent", false, []uint64{tx}},
		{"received", true, []uint64{rx}},
		{"came back", false, []uint64{z}},
		{"released", true, []uint64{tx | rx, z, z}},
	} {
		t.Run(c.name, func(t *testing.T) {
			kringtest.TestPort(t, []uint32{2, 8}, func(t testing.TB, slots uint32) kringtest.Net {
				region := kringtest.NewRegion(t, 1024)
				p := pipe.New(region, "x{1", "x}1",
					port.Shape{TxRings: 2, RxRings: 2, TxSlots: slots, RxSlots: slots})
				n := kringtest.Net{Region: region, From: p.Master, Lossy: true}
				n.Beside = []port.Port{p.Slave}
				parent := p.Master
				if c.ofSlave {
					parent = p.Slave
				}
				for i, flags := range c.flags {
					n.Port = monitor.New(region, parent, monitor.Config{Parent: "x", Serial: uint64(i),
						Flags: flags, TxSlots: slots, RxSlots: slots})
					if i < len(c.flags)-1 {
						n.Beside = append(n.Beside, n.Port)
					}
				}
				return n
			})
		})
	}
}
