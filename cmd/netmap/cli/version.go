package cli

import (
	"runtime/debug"
	"time"
)

// version is set when a package is built (go build -ldflags -X).
var version string

// Version is the version of the package, of the module, or of the commit.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// Date is the date of the commit from which this was built, today if it is unknown.
func Date() time.Time {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if t, err := time.Parse(time.RFC3339, s.Value); err == nil {
				return t
			}
		}
	}
	return time.Now()
}
