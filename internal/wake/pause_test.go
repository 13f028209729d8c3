package wake_test

import (
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/wake"
)

func TestPauses(t *testing.T) {
	var p wake.Pauses
	if d := p.Spin(); d != 0 {
		t.Errorf("before the first event: Spin = %v", d)
	}
	for i, c := range []struct {
		took time.Duration
		came bool
		want time.Duration
	}{
		{time.Second, true, 0},
		{wake.Short, true, 0},
		{wake.Short - 1, true, wake.Short},
		{0, true, wake.Short},
		{time.Second, true, 0},       // one long pause ends looking
		{time.Microsecond, false, 0}, // a timeout is no event, however short
		{time.Microsecond, true, wake.Short},
		{time.Microsecond, false, 0},
	} {
		if p.Over(c.took, c.came); p.Spin() != c.want {
			t.Errorf("%d: after a pause of %v (with an event: %v) Spin = %v, want %v",
				i, c.took, c.came, p.Spin(), c.want)
		}
	}
}
