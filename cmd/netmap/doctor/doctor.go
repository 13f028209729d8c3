// Package doctor has two commands. netmap info describes interfaces, and netmap doctor checks them
// and the machine. Both show findings of the same checks.
package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

const doctorHelp = `doctor looks for what stands in the way of netmap on this machine, and of the
interfaces that are named, and shows the command that repairs it.

  ok     all is well
  warn   netmap works, but not as well as it could
  fail   netmap does not work

It makes no lasting changes. As root it makes a device node in a directory for
temporary files for a moment, to see whether that works. --probe tries XDP on
the interfaces, which takes their traffic for a moment and resets the link of
some cards. --restore only puts back the settings of interfaces that a netmap
has changed and could not put back, because it was killed.

The exit status is 0 if nothing fails, 1 if a check fails, and 2 for mistakes on
the command line.`

type doctorFlags struct {
	path, stateDir         string
	asJSON, probe, restore bool
	bufSize                uint32
}

// New returns the command netmap doctor.
func New() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:               "doctor [interface...]",
		Short:             "Find out what stands in the way of netmap on this machine",
		Long:              doctorHelp,
		ValidArgsFunction: cli.Interfaces,
		RunE: func(cmd *cobra.Command, names []string) error {
			if f.restore {
				return f.giveBack(cmd.OutOrStdout(), names)
			}
			return f.run(cmd, names)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.path, "path", "/dev/netmap", "device node to look at")
	fs.StringVar(&f.stateDir, "state-dir", takeover.DefaultDir(),
		"where settings of interfaces are kept until they are put back")
	fs.Uint32Var(&f.bufSize, "buffer-size", mem.Default.Buf.Size,
		"bytes of a buffer, which frames have to fit into")
	fs.BoolVar(&f.asJSON, "json", false, "write JSON")
	fs.BoolVar(&f.probe, "probe", false, "try out each mode of XDP on the interfaces; disturbs them")
	fs.BoolVar(&f.restore, "restore", false,
		"put back the settings of interfaces that a killed netmap has left changed")
	return cmd
}

func (f *doctorFlags) run(cmd *cobra.Command, names []string) error {
	var nics []*nicInfo
	if len(names) > 0 {
		var err error
		if nics, err = inspect(names); err != nil {
			return err
		}
	}
	m := machine{path: f.path, stateDir: f.stateDir, bufSize: f.bufSize}
	all := examine(&m, machineChecks)
	for _, n := range nics {
		n.bufSize = f.bufSize
		if f.probe {
			n.probe(cmd.Context(), f.stateDir)
		} else {
			n.advise()
		}
		all = append(all, n.findings...)
	}
	if err := showFindings(cmd.OutOrStdout(), all, f.asJSON); err != nil {
		return err
	}
	return verdict(all)
}

// verdict is an error if any finding fails.
func verdict(all []finding) error {
	failures := 0
	for _, f := range all {
		if f.Level == bad {
			failures++
		}
	}
	switch {
	case failures == 1:
		return errors.New("1 check fails")
	case failures > 1:
		return fmt.Errorf("%d checks fail", failures)
	}
	return nil
}

func showFindings(w io.Writer, all []finding, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(map[string]any{"ok": verdict(all) == nil, "findings": all})
	}
	of := "?"
	for _, f := range all {
		if f.Interface != of {
			of = f.Interface
			if of == "" {
				fmt.Fprintln(w, "machine")
			} else {
				fmt.Fprintf(w, "\n%s\n", of)
			}
		}
		if _, err := io.WriteString(w, f.text(lineWidth(w))); err != nil {
			return err
		}
	}
	return nil
}

// lineWidth is the width of the terminal, or 80 characters if there is none.
func lineWidth(w io.Writer) int {
	if width := cli.TermWidth(w); width >= 60 {
		return min(width, 100)
	}
	return 80
}

// giveBack restores the settings that killed programs have left behind.
func (f *doctorFlags) giveBack(w io.Writer, names []string) error {
	if len(names) > 0 {
		return cli.Usage(errors.New("--restore gives back all interfaces: name none"))
	}
	done, err := takeover.Recover(f.stateDir)
	if f.asJSON {
		return errors.Join(err, json.NewEncoder(w).Encode(map[string]any{"ok": err == nil,
			"restored": append([]takeover.Record{}, done...)}))
	}
	for _, r := range done {
		fmt.Fprintf(w, "%s is as it was: %s\n", r.Name, r.Changes.Undone())
	}
	if len(done) == 0 && err == nil {
		fmt.Fprintln(w, "Nothing to restore.")
	}
	return err
}
