package cli

import (
	"runtime/debug"
	"time"
)

// version is set by who builds a package (go build -ldflags -X).
var version string

// Version is which netmap this is: of the module, or of the commit that it was built from.
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// Date is the day of the commit that this was built from, today if that is not known.
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
