package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// linkWait is the default time in seconds for links of interfaces to come up.
const linkWait = 2

// AddWaitFlag defines the flag for the seconds that WaitForLink waits. The default is -1,
// LinkWait's default for the ports; text describes it.
func AddWaitFlag(f *pflag.FlagSet, seconds *int, name, text string) {
	*seconds = -1 // described by text
	f.VarP(NewValue(seconds, parseWait, "seconds", ""), name, "w", text)
}

// parseWait parses a number of seconds. More than some years is a mistake.
func parseWait(s string) (int, error) {
	const most = 100_000_000
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("it takes 0 to %d seconds", most)
	}
	return n, nil
}

// LinkWait is how many seconds to wait for the links of ports. A wish below 0 is the default: 2 if
// one of the ports is an interface, else 0.
func LinkWait(wish int, ports ...string) int {
	if wish < 0 && slices.ContainsFunc(ports, func(p string) bool { return !IsSoftware(p) }) {
		return linkWait
	}
	return max(wish, 0)
}

// WaitForLink waits for the links of interfaces to come up, because opening an interface
// resets some links. seconds is as for LinkWait. The error is the context's.
func WaitForLink(ctx context.Context, w io.Writer, seconds int, ports ...string) error {
	if seconds = LinkWait(seconds, ports...); seconds > 0 {
		fmt.Fprintf(w, "Waiting %s for the link of %s.\n", Count(uint64(seconds), "second"),
			strings.Join(ports, " and "))
	}
	return Sleep(ctx, time.Duration(seconds)*time.Second)
}

// Sleep sleeps for d. If the context ends, it returns the context's error.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
