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

// linkWait is how many seconds the links of interfaces get to come up, where nobody says.
const linkWait = 2

// AddWaitFlag defines the flag with which users say how long WaitForLink waits. The default is what fits
// the ports, and text says so.
func AddWaitFlag(f *pflag.FlagSet, seconds *int, name, text string) {
	*seconds = -1 // what the text says
	f.VarP(NewValue(seconds, parseWait, "seconds", ""), name, "w", text)
}

// parseWait reads how long to wait; what is longer than some years is a slip.
func parseWait(s string) (int, error) {
	const most = 100_000_000
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("it takes 0 to %d seconds", most)
	}
	return n, nil
}

// LinkWait is how many seconds the links of ports get to come up: below 0, wish is what fits the
// ports.
func LinkWait(wish int, ports ...string) int {
	if wish < 0 && slices.ContainsFunc(ports, func(p string) bool { return !IsSoftware(p) }) {
		return linkWait
	}
	return max(wish, 0)
}

// WaitForLink gives the links of interfaces time to come up: opening an interface resets some. Below 0, seconds is what fits
// the ports. The error is the context's.
func WaitForLink(ctx context.Context, w io.Writer, seconds int, ports ...string) error {
	if seconds = LinkWait(seconds, ports...); seconds > 0 {
		fmt.Fprintf(w, "Waiting %s for the link of %s.\n", Count(uint64(seconds), "second"), strings.Join(ports, " and "))
	}
	return Sleep(ctx, time.Duration(seconds)*time.Second)
}

// Sleep sleeps until the time is over, or the context, whose error it then returns.
func Sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
