package lab

import (
	"testing"
	"time"
)

func TestCPUTime(t *testing.T) {
	stat := "77 (a) b (c) S 1 77 77 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 9 0 123 456"
	if d, err := parseCPUTime(stat); d != 2*time.Second || err != nil {
		t.Errorf("parseCPUTime = %v, %v, want 2s", d, err)
	}
	for _, bad := range []string{"", "77 (a) S 1", "77 (a) S 1 77 77 0 -1 4194560 1 2 3 4 x 50 0 0"} {
		if d, err := parseCPUTime(bad); err == nil {
			t.Errorf("parseCPUTime(%q) = %v", bad, d)
		}
	}
}
