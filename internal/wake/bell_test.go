package wake_test

import (
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/wake"
)

const (
	moment = 5 * time.Millisecond
	ages   = time.Minute
)

// took returns how long a sleep lasts.
func took(b *wake.Bell, left time.Duration) time.Duration {
	start := time.Now()
	b.Sleep(left)
	return time.Since(start)
}

func TestBell(t *testing.T) {
	b := wake.NewBell()
	if d := took(b, moment); d < moment {
		t.Errorf("without a Wake, a sleep of %v took %v", moment, d)
	}
	for _, left := range []time.Duration{-1, ages} {
		b.Wake()
		b.Wake() // merges with the first
		if d := took(b, left); d > ages/2 {
			t.Errorf("after a Wake, a sleep took %v", d)
		}
		if d := took(b, moment); d < moment {
			t.Errorf("one Wake ended two sleeps, the second after %v", d)
		}
		time.AfterFunc(moment, b.Wake)
		if d := took(b, left); d > ages/2 {
			t.Errorf("with a Wake in it, a sleep took %v", d)
		}
	}
	b.Wake()
	b.Forget()
	b.Forget()
	if d := took(b, moment); d < moment {
		t.Errorf("a forgotten Wake ended a sleep after %v", d)
	}
}

func TestSleepingAllocatesNothing(t *testing.T) {
	b := wake.NewBell()
	if n := testing.AllocsPerRun(100, func() {
		b.Sleep(0)
		b.Wake()
		b.Sleep(time.Hour)
		b.Wake()
		b.Sleep(-1)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
