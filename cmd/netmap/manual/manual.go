// Package manual is the hidden command netmap man. It writes a manual page for each command of the
// program, from the commands' help texts.
package manual

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

const section = "8"

// New returns the command netmap man, which packaging uses.
func New() *cobra.Command {
	return &cobra.Command{
		Use:    "man directory",
		Short:  "Write the manual pages into a directory",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := cmd.Root()
			for _, c := range append(children(root), root) {
				path := filepath.Join(args[0], pageName(c)+"."+section)
				if err := os.WriteFile(path, []byte(page(c, date())), 0o644); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// date is the date on the pages. It is the sources' date, so that the same sources make the same
// pages.
func date() time.Time {
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		return time.Unix(s, 0).UTC()
	}
	return cli.Date().UTC()
}

// children returns the visible commands below cmd, at any depth.
func children(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if documented(c) {
			all = append(append(all, c), children(c)...)
		}
	}
	return all
}

// documented reports whether a command has a page of its own. Commands that cobra adds have only
// their help.
func documented(c *cobra.Command) bool {
	return c.IsAvailableCommand() && c.Name() != "help" && c.Name() != "completion"
}

func pageName(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }
