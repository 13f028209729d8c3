package cli

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"
)

// lockedBuffer may be written by one goroutine and read by another.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestProgress(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out lockedBuffer
		end := progress(&out, terminal, time.Millisecond, func() string { return "7 frames" })
		for deadline := time.Now().Add(5 * time.Second); strings.Count(out.String(), "7 frames") < 2; {
			if time.Sleep(time.Millisecond); time.Now().After(deadline) {
				t.Fatalf("written: %q", out.String())
			}
		}
		end()
		got := out.String()
		if terminal != strings.HasSuffix(got, clearLine) || terminal == strings.Contains(got, "\n") {
			t.Errorf("terminal %v: %q", terminal, got)
		}
		if time.Sleep(3 * time.Millisecond); out.String() != got {
			t.Error("it goes on after its end")
		}
	}
	var out bytes.Buffer
	Progress(&out, false, func() string { t.Error("who does not watch is told"); return "" })()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}
