package main

import (
	"io"
	"testing"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		status int
		args   []string
	}{
		{0, nil}, {0, []string{"help", "gen"}}, {0, []string{"gen", "-h"}}, {0, []string{"info"}},
		{1, []string{"info", "nosuch0"}}, {1, []string{"gen", "-f", "rx", "-i", "nosuch0"}},
		{2, []string{"nosuch"}}, {2, []string{"gen", "extra"}}, {2, []string{"gen", "--nosuch"}}, {2, []string{"gen", "-n", "x"}},
		{2, []string{"gen", "-f", "nosuch", "-i", "x{1"}}, {2, []string{"serve", "extra"}},
		{0, []string{"bridge", "-h"}}, {1, []string{"bridge", "-i", "nosuch0", "-i", "nosuch1", "-w", "0"}}, {2, []string{"bridge"}},
		{2, []string{"bridge", "-i", "a", "--filter", "nosuch"}}, {0, []string{"lb", "-h"}}, {2, []string{"lb"}}, {2, []string{"lb", "-i", "a", "-p", "0"}},
		{2, []string{"capture"}}, {2, []string{"replay", "f"}}, {1, []string{"replay", "-i", "x{1", "/nosuch/file"}},
		{0, []string{"vale"}}, {2, []string{"vale", "nosuch"}}, {2, []string{"vale", "attach", "eth0"}}, {1, []string{"vale", "list", "--device", "/nosuch/node"}},
		{2, []string{"top", "--once", "--json"}}, {1, []string{"top", "--status", "/nosuch/socket"}},
		{2, []string{"serve", "--http"}}, {2, []string{"serve", "--http", "nowhere"}}, {2, []string{"serve", "--mode", "999"}}, {2, []string{"serve", "--group", "nosuch"}},
	} {
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs(tt.args)
		if err := root.ExecuteContext(t.Context()); cli.ExitStatus(err) != tt.status {
			t.Errorf("netmap %q: %v, status %d, want %d", tt.args, err, cli.ExitStatus(err), tt.status)
		}
	}
}
