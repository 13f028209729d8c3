package cli

import (
	"os"
	"path/filepath"
	"testing"
)

func TestIsNode(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{plain: false, plain + "-not": false, "/dev/null": true, "/proc": true} {
		if got := isNode(path); got != want {
			t.Errorf("%s is a node: %v, want %v", path, got, want)
		}
	}
}
