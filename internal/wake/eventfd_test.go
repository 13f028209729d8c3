//go:build linux

package wake_test

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

func TestEventfd(t *testing.T) {
	testutil.CheckLeaks(t)
	e, err := wake.NewEventfd()
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	fds := []unix.PollFd{e.In()}
	e.Drain() // does not block
	start := time.Now()
	if n := wake.Poll(fds, moment); n != 0 || time.Since(start) < moment {
		t.Errorf("without a Wake, Poll returned %d after %v", n, time.Since(start))
	}
	e.Wake()
	e.Wake() // merges with the first
	for _, left := range []time.Duration{0, -1, ages} {
		if n := wake.Poll(fds, left); n != 1 {
			t.Errorf("woken: Poll for %v returned %d, want 1", left, n)
		}
	}
	e.Drain()
	if n := wake.Poll(fds, 0); n != 0 {
		t.Errorf("drained: Poll returned %d, want 0", n)
	}
	time.AfterFunc(moment, e.Wake)
	if n := wake.Poll(fds, -1); n != 1 {
		t.Errorf("woken while asleep: Poll returned %d, want 1", n)
	}
	n := testing.AllocsPerRun(100, func() { e.Wake(); wake.Poll(fds, time.Second); e.Drain() })
	if n > 0 {
		t.Errorf("%v allocations", n)
	}
}
