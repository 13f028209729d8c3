package pipe_test

import (
	"testing"

	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/pipe"
	"github.com/seed-48afdc40/netmap/internal/port"
)

func TestPort(t *testing.T) {
	kringtest.TestPort(t, []uint32{2, 3, 8, 64}, func(t testing.TB, slots uint32) kringtest.Net {
		region := kringtest.NewRegion(t, 1024)
		shape := port.Shape{TxRings: 2, RxRings: 2, TxSlots: slots, RxSlots: slots}
		p := pipe.New(region, "x{1", "x}1", shape)
		return kringtest.Net{Region: region, Port: p.Master, From: p.Slave, To: p.Slave}
	})
}
