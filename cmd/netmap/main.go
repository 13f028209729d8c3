// Command netmap serves /dev/netmap, and has tools that make traffic and inspect interfaces.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		if !cli.IsLogged(err) {
			fmt.Fprintln(os.Stderr, "netmap:", err)
		}
		os.Exit(cli.ExitStatus(err))
	}
}
