package engine

import (
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/mem"
)

// While a port is being opened, which may take a second, the status shows the previous ports with
// their present counters.
func TestStatusDoesNotWaitForOpening(t *testing.T) {
	e, err := New(Config{Region: mem.Config{NoHuge: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	b, err := e.Register("vale0:a", abi.Register{Mode: abi.RegAllNIC})
	if err != nil {
		t.Fatal(err)
	}
	if s := e.Status(); len(s.Ports) != 1 {
		t.Fatalf("%+v", s)
	}
	e.reg.Lock()
	defer e.reg.Unlock()
	b.entry.Port.Rings(abi.DirTx)[0].Traffic.Add(7, 420)
	done := make(chan uint64)
	go func() { done <- e.Status().Ports[0].Rings[0].Frames }()
	select {
	case frames := <-done:
		if frames != 7 {
			t.Errorf("%d frames, want 7", frames)
		}
	case <-time.After(10 * time.Second):
		t.Error("the status waits for the engine")
	}
}
