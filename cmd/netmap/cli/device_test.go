package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestIsNode(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{plain: false, plain + "-not": false, "/dev/null": true,
		"/proc": true} {
		if got := IsNode(path); got != want {
			t.Errorf("%s is a node: %v, want %v", path, got, want)
		}
	}
}

func TestFlagsOfInterfaces(t *testing.T) {
	for args, want := range map[string]string{
		"--busy-poll=often":                    "want a duration",
		"--busy-poll=2s":                       "want from 1µs to 100ms",
		"--busy-poll=-1us":                     "want from 1µs to 100ms",
		"--device=/dev/x --busy-poll=200us":    "give it to netmap serve",
		"--device=/dev/x --busy-poll=0":        "",
		"--device=embedded --busy-poll=200us":  "",
		"--xdp-mode=drv":                       "want one of auto, zero-copy, native, generic",
		"--device=/dev/x --xdp-mode=generic":   "give it to netmap serve",
		"--device=embedded --xdp-mode=generic": "",
		"--xdp-mode=zero-copy":                 "",
		"--device=/nosuch":                     "",
	} {
		var d Device
		f := pflag.NewFlagSet("", pflag.ContinueOnError)
		d.AddFlags(f, "test")
		err := f.Parse(strings.Fields(args))
		if err == nil {
			var closeAll func()
			d.PreferNode()
			if _, closeAll, err = d.Opener(0); err == nil {
				closeAll()
			}
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
