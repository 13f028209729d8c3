package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// linkWait is how many seconds the links of interfaces get to come up, where nobody says.
const linkWait = 2

// AddWaitFlag defines the flag with which users say how long WaitForLink waits. The default is what fits
// the ports, and text says so.
func AddWaitFlag(f *pflag.FlagSet, seconds *int, name, text string) {
	f.IntVarP(seconds, name, "w", -1, text)
	f.Lookup(name).DefValue = "0" // not to be shown: -1 means what the text says
}

// WaitForLink gives the links of interfaces time to come up: opening an interface resets some. Below 0, seconds is what fits
// the ports. The error is the context's.
func WaitForLink(ctx context.Context, w io.Writer, seconds int, ports ...string) error {
	var interfaces []string
	for _, p := range ports {
		if !IsSoftware(p) {
			interfaces = append(interfaces, p)
		}
	}
	if seconds < 0 && len(interfaces) > 0 {
		seconds = linkWait
	}
	if seconds <= 0 {
		return ctx.Err()
	}
	fmt.Fprintf(w, "Waiting %s for the link of %s.\n", Count(uint64(seconds), "second"), strings.Join(ports, " and "))
	select {
	case <-time.After(time.Duration(seconds) * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
