package null_test

import (
	"testing"

	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/null"
	"github.com/seed-48afdc40/netmap/internal/port"
)

func TestPort(t *testing.T) {
	kringtest.TestPort(t, []uint32{2, 64}, func(t testing.TB, slots uint32) kringtest.Net {
		region := kringtest.NewRegion(t, 512)
		shape := port.Shape{TxRings: 2, RxRings: 2, TxSlots: slots, RxSlots: slots}
		return kringtest.Net{Region: region, Port: null.New(region, "null:x", shape)}
	})
}
