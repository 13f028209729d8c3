package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func TestProgress(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		var out testutil.Buffer
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
	Progress(&out, false, func() string { t.Error("the text is read"); return "" })()
	if out.Len() > 0 {
		t.Errorf("%q", out.String())
	}
}
