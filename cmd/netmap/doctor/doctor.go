// Package doctor is the commands that look at things: netmap info at interfaces, and netmap doctor
// at them and the machine. Both show findings of the same checks.
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
interfaces that are named, and tells the command that mends it.

  ok     all is well
  warn   netmap works, but not as well as it could
  fail   netmap does not work

It changes nothing that lasts: as root it makes a device node in a directory for
temporary files for a moment, to see whether that works. --probe tries out XDP
on the interfaces, which takes their traffic for a moment and resets the link of
some cards. --restore puts back what netmap has changed on interfaces when it
was killed and could not do so itself, and looks for nothing else.

The exit status is 0 when nothing fails, 1 when something does, and 2 for
mistakes on the command line.`

type doctorFlags struct {
	path, stateDir         string
	asJSON, probe, restore bool
	bufSize                uint32
}

// New is the command netmap doctor.
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
		"bytes of a buffer that frames have to fit into")
	fs.BoolVar(&f.asJSON, "json", false, "write JSON")
	fs.BoolVar(&f.probe, "probe", false, "try out each mode of XDP on the interfaces; disturbs them")
	fs.BoolVar(&f.restore, "restore", false,
		"give interfaces back that a netmap that was killed has changed")
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

// verdict is an error when anything fails.
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

// lineWidth is how wide lines may be: 80 characters where nobody can tell.
func lineWidth(w io.Writer) int {
	if width := cli.TermWidth(w); width >= 60 {
		return min(width, 100)
	}
	return 80
}

// giveBack puts back what was left behind.
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
