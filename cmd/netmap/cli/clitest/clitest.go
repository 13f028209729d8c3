// Package clitest runs wrong command lines, for the tests of commands.
package clitest

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// Fails runs a command with the words of args, as the program would. The command has to end with
// that status, and with an error of one line that contains want. Fails returns the command's
// output.
func Fails(t *testing.T, cmd *cobra.Command, args string, status int,
	want string) (written string) {
	t.Helper()
	var out bytes.Buffer
	cli.MarkUsage(cmd)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SetArgs(strings.Fields(args))
	err := cmd.ExecuteContext(t.Context())
	if err == nil || cli.ExitStatus(err) != status || !strings.Contains(err.Error(), want) ||
		strings.Contains(err.Error(), "\n") {
		t.Errorf("%s %s: status %d, error %v; want %d and one line with %q", cmd.Name(), args,
			cli.ExitStatus(err), err, status, want)
	}
	return out.String()
}
