// Package top is the command that shows a running daemon: its ports, rings, losses, switches and
// clients.
package top

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/status"
)

const help = `top shows what a running netmap serve is doing: ports and rings with their
rates, frames that were lost and why, VALE switches with the addresses that they
have learned, and the programs that have the device open.

top also shows commands that open ports inside their own process, as netmap
bridge does with interfaces: n goes to the next one. --status or --device shows
only one. A command of an ordinary user is shown only to that user and to root.

Keys: tab, ← → or 1 to 5 choose a view, s chooses the order, p or space pauses,
n goes to the next daemon or command, + and - change the interval, ↑ ↓ scroll,
q ends top. A terminal of 150 by 40 or more shows everything on the first page.

tx and rx are directions as the port's program sees them: it sends tx frames and
receives rx frames. "lost" counts frames that were dropped at the port.

Without a terminal, top writes plain text every --interval. --json writes one
object per line for each daemon and command. The numbers come from the status
API, which doc/monitoring.md describes.`

const examples = `  netmap top
  netmap top --once
  netmap top --json | jq '.ports[].name'
  netmap top --device /dev/netmap
  netmap top --status 127.0.0.1:9669`

// flags are the command's flags.
type flags struct {
	sources  cli.Frameworks
	interval time.Duration
	once     bool
	json     bool
}

// shortest is the shortest interval at which the daemon may be polled.
const shortest = 100 * time.Millisecond

// New returns the command.
func New() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:     "top",
		Short:   "Watch ports, rates, losses, switches and clients of daemons and commands",
		Long:    help,
		Example: examples,
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(); err != nil {
				return cli.Usage(err)
			}
			return f.run(cmd.Context(), cmd.OutOrStdout())
		},
	}
	f.addFlags(cmd.Flags())
	cmd.RegisterFlagCompletionFunc("status", cli.CompleteSocket)
	return cmd
}

func (f *flags) addFlags(fs *pflag.FlagSet) {
	f.sources.AddFlags(fs)
	fs.DurationVarP(&f.interval, "interval", "T", time.Second, "how often to look")
	fs.BoolVar(&f.once, "once", false, "write one report about one --interval, and end")
	fs.BoolVar(&f.json, "json", false,
		"write the status API's answer of each daemon and command, one object per line, and end")
}

func (f *flags) check() error {
	switch {
	case f.interval < shortest:
		return fmt.Errorf("--interval %v is too short: it takes %v or more", f.interval, shortest)
	case f.once && f.json:
		return errors.New("--json writes one snapshot as it is: leave --once out")
	}
	return nil
}

func (f *flags) run(ctx context.Context, out io.Writer) error {
	defer f.sources.Close()
	first, err := f.sources.Get(ctx)
	switch {
	case err != nil:
		return err
	case f.json:
		return writeJSON(out, first)
	case f.once || !cli.IsTerminal(out):
		return f.write(ctx, out, first)
	}
	m := newModel(ctx, f.sources.Get, first, f.interval)
	_, err = tea.NewProgram(m, tea.WithContext(ctx), tea.WithOutput(out)).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}

func writeJSON(out io.Writer, all []cli.Found) error {
	w := json.NewEncoder(out)
	for _, s := range all {
		if err := w.Encode(s.Status); err != nil {
			return err
		}
	}
	return nil
}

// write writes reports as text until the context ends.
func (f *flags) write(ctx context.Context, out io.Writer, before []cli.Found) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.interval):
		}
		now, err := f.sources.Get(ctx)
		if err != nil {
			return err
		}
		for i, s := range now {
			if i > 0 {
				fmt.Fprintln(out)
			}
			s := screen{now: s.Status, before: earlier(before, s), theme: noTheme}
			if _, err := io.WriteString(out, s.text()); err != nil {
				return err
			}
		}
		if f.once {
			return nil
		}
		fmt.Fprintln(out)
		before = now
	}
}

// earlier returns the previous status of the same framework, or nil if there is none. Another
// framework counts from 0.
func earlier(before []cli.Found, now cli.Found) *status.Status {
	for _, s := range before {
		if s.Address == now.Address && s.PID == now.PID && s.Started.Equal(now.Started) {
			return s.Status
		}
	}
	return nil
}
