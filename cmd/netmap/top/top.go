// Package top is the command that watches a running daemon: its ports, rings, losses, switches and clients.
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

Keys: tab, ← → or 1 to 5 choose a view, s what it is sorted by, p or space
pauses, + and - change how often it looks, ↑ ↓ scroll, q ends it. A terminal of
150 by 40 or more shows everything on the first page.

tx and rx are as a port's program sees them: what it sends, what it receives.
"lost" counts frames that were dropped at that port, for whatever reason.

Without a terminal it writes plain text every --interval. The numbers come from
the status API of the daemon, which doc/monitoring.md describes.`

const examples = `  netmap top
  netmap top --once
  netmap top --json | jq '.ports[].name'
  netmap top --status 127.0.0.1:9669`

// flags are those of top.
type flags struct {
	daemon   cli.Daemon
	interval time.Duration
	once     bool
	json     bool
}

// shortest is how often the daemon may be asked.
const shortest = 100 * time.Millisecond

// New is the command.
func New() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:     "top",
		Short:   "Watch ports, rates, losses, switches and clients of a running daemon",
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
	return cmd
}

func (f *flags) addFlags(fs *pflag.FlagSet) {
	f.daemon.AddFlags(fs)
	fs.DurationVarP(&f.interval, "interval", "T", time.Second, "how often to look")
	fs.BoolVar(&f.once, "once", false, "write one report, of what happens within --interval, and end")
	fs.BoolVar(&f.json, "json", false, "write one snapshot as the status API gives it, and end")
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
	d := f.daemon.Status()
	defer d.Close()
	first, err := d.Get(ctx)
	switch {
	case err != nil:
		return err
	case f.json:
		return json.NewEncoder(out).Encode(first)
	case f.once || !cli.IsTerminal(out):
		return f.write(ctx, out, d, first)
	}
	m := newModel(ctx, d, first, f.interval)
	_, err = tea.NewProgram(m, tea.WithContext(ctx), tea.WithOutput(out)).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil
	}
	return err
}

// write writes reports as text, until the context ends.
func (f *flags) write(ctx context.Context, out io.Writer, d *status.Daemon, before *status.Status) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(f.interval):
		}
		now, err := d.Get(ctx)
		if err != nil {
			return err
		}
		s := screen{now: now, before: before, theme: noTheme}
		if _, err := io.WriteString(out, s.text()); err != nil || f.once {
			return err
		}
		fmt.Fprintln(out)
		before = now
	}
}
