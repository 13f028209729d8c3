package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		status int
		args   []string
	}{
		{0, nil}, {0, []string{"help", "gen"}}, {0, []string{"gen", "-h"}}, {0, []string{"info"}},
		{1, []string{"info", "nosuch0"}}, {1, []string{"gen", "-f", "rx", "-i", "nosuch0"}},
		{2, []string{"nosuch"}}, {2, []string{"gen", "extra"}}, {2, []string{"gen", "--nosuch"}},
		{2, []string{"gen", "-n", "x"}},
		{2, []string{"gen", "-f", "nosuch", "-i", "x{1"}}, {2, []string{"serve", "extra"}},
		{0, []string{"bridge", "-h"}}, {1, []string{"bridge", "-i", "nosuch0", "-i", "nosuch1",
			"-w", "0"}},
		{2, []string{"bridge"}},
		{2, []string{"bridge", "-i", "a", "--filter", "nosuch"}}, {0, []string{"lb", "-h"}},
		{2, []string{"lb"}}, {2, []string{"lb", "-i", "a", "-p", "0"}},
		{2, []string{"capture"}},
		{2, []string{"capture", "-i", "vale0:a", "-w", "x", "--http", "127.0.0.1:0"}},
		{2, []string{"bridge", "-i", "a", "--http", "nowhere"}},
		{1, []string{"gen", "--status", "/proc/nosuch/sock"}},
		{2, []string{"replay", "f"}}, {1, []string{"replay", "-i", "x{1", "/nosuch/file"}},
		{0, []string{"vale"}}, {2, []string{"vale", "nosuch"}}, {2, []string{"vale", "attach", "eth0"}},
		{1, []string{"vale", "list", "--device", "/nosuch/node"}},
		{2, []string{"top", "--once", "--json"}}, {1, []string{"top", "--status", "/nosuch/socket"}},
		{2, []string{"serve", "--http"}}, {2, []string{"serve", "--http", "nowhere"}},
		{2, []string{"serve", "--mode", "999"}}, {2, []string{"serve", "--group", "nosuch"}},
		{2, []string{"serve", "--buffers", "10"}}, {2, []string{"serve", "--rings", "1"}},
		{2, []string{"serve", "--ring-size", "300", "--rings", "50"}},
		{2, []string{"serve", "--switches", "-1"}}, {2, []string{"serve", "--nic-slots", "100000"}},
		{2, []string{"serve", "--workers", "-1"}},
		{2, []string{"serve", "--workers", "20000"}},
		{2, []string{"serve", "--log-level", "loud"}}, {2, []string{"serve", "--log-format", "xml"}},
		{2, []string{"serve", "-v", "--log-level", "info"}},
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

// everyCommand calls f with all commands, the root included.
func everyCommand(cmd *cobra.Command, f func(*cobra.Command)) {
	f(cmd)
	for _, c := range cmd.Commands() {
		everyCommand(c, f)
	}
}

// examples are values that flags of a type take.
var examples = map[string]string{
	"string": "word", "int": "3", "uint32": "3", "uint16": "3", "uint": "3", "float64": "1",
	"duration": "3s",
	"strings":  "a,b", "stringArray": "a", "path": "/dev/nosuch", "format": "journal",
}

// flagError parses a command's arguments, and returns the error that the user sees.
func flagError(path string, args ...string) error {
	cmd, _, err := newRoot().Find(strings.Fields(path)[1:])
	if err == nil {
		err = cmd.ParseFlags(args)
	}
	switch {
	case err != nil:
		return cmd.FlagErrorFunc()(cmd, err)
	case cmd.Flags().NArg() > 0:
		return fmt.Errorf("%q are taken for arguments", cmd.Flags().Args())
	}
	return nil
}

// In every command, a flag and its value may be one word with "=", or two. A flag without its value
// is an error that says which value it takes.
func TestFlagsTakeTheirValuesEitherWay(t *testing.T) {
	tried := 0
	everyCommand(newRoot(), func(cmd *cobra.Command) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" || f.Value.Type() == "count" {
				return
			}
			value := cmp.Or(examples[f.Value.Type()], f.DefValue, "1")
			if f.Value.Set(value) != nil { // the flag has its own grammar
				value = cmp.Or(f.DefValue, "1k")
			}
			two := flagError(cmd.CommandPath(), "--"+f.Name, value)
			one := flagError(cmd.CommandPath(), "--"+f.Name+"="+value)
			if (one == nil) != (two == nil) {
				t.Errorf("%s --%s: as one word %v, as two %v", cmd.CommandPath(), f.Name, one, two)
			}
			if one == nil {
				tried++
			}
			err := flagError(cmd.CommandPath(), "--"+f.Name)
			if err == nil || !strings.Contains(err.Error(), f.Name) {
				t.Errorf("%s --%s alone: %v, want an error", cmd.CommandPath(), f.Name, err)
			}
		})
	})
	if tried < 80 {
		t.Errorf("only %d flags were tried", tried)
	}
}

// --device without a path is an error that names the usual one, even if more flags follow.
func TestDeviceWithoutPath(t *testing.T) {
	for _, name := range []string{"gen", "capture", "replay", "bridge", "lb", "top", "vale list"} {
		for _, more := range []string{"", " -i x", "=", " -f rx"} {
			root := newRoot()
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			root.SetArgs(strings.Fields(name + " --device" + more))
			err := root.ExecuteContext(t.Context())
			if cli.ExitStatus(err) != 2 || !strings.Contains(err.Error(), "such as /dev/netmap") {
				t.Errorf("netmap %s --device%s: %v", name, more, err)
			}
		}
	}
}

// A word that is no command is an error with advice, wherever it stands.
func TestUnexpectedWords(t *testing.T) {
	for args, want := range map[string]string{
		"serv":                  "did you mean serve?",
		"serv -x":               "did you mean serve?",
		"vale atach":            "did you mean attach",
		"gen d0":                "-i d0",
		"lb eth0":               "-i eth0",
		"top x":                 "takes no arguments",
		"serve x":               "takes no arguments",
		"help nosuch":           "there is no command",
		"help gen x":            "takes no arguments",
		"help vale nosuc":       "there is no command",
		"qqqq":                  "netmap --help",
		"completion tcsh":       "there is no command",
		"gen --functoin":        "did you mean --function?",
		"gen --func x":          "did you mean --function?",
		"serve --buffer 3":      "or --buffers?",
		"serve --log-lvl=debug": "did you mean --log-level?",
		"serve --qqqq":          "netmap serve --help",
		"serve -Z":              "netmap serve --help",
		"--versio":              "did you mean --version?",
		"vale lst --x":          "did you mean list",
	} {
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs(strings.Fields(args))
		err := root.ExecuteContext(t.Context())
		if cli.ExitStatus(err) != 2 || !strings.Contains(err.Error(), want) {
			t.Errorf("netmap %s: %v, want %q", args, err, want)
		}
	}
}

// Errors use the words of the command line, not those of Go or of the library that parses flags.
func TestMistakesInPlainWords(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{""}, "netmap --help"},
		{[]string{"  "}, "netmap --help"},
		{[]string{"é"}, "netmap --help"},
		{[]string{"gen", "--time", "5"}, "such as 5s"},
		{[]string{"top", "-T", ""}, "such as 5s"},
		{[]string{"gen", "-b", "x"}, `"-b, --burst" flag: it takes a whole number`},
		{[]string{"vale", "polling", "vale0:x", "on", "--cpu", "-1"}, "from 0 to 4294967295"},
		{[]string{"vale", "create", "x", "--rings", "65536"}, "from 0 to 65535"},
		{[]string{"serve", "--promisc=maybe"}, "true or false"},
		{[]string{"replay", "-x", "fast"}, "a number"},
		{[]string{"vale", "attach"}, "takes 1 argument, not 0: write 'netmap vale attach"},
		{[]string{"vale", "polling", "vale0:x"}, "takes 2 arguments, not 1"},
		{[]string{"bridge", "a", "b", "3", "d"}, "takes at most 3 arguments, not 4"},
		{[]string{"replay", "-i", "x{1", "f", "g"}, "takes at most 1 argument, not 2"},
		{[]string{"bridge", "-i"}, "--interface: it takes a port, such as netmap:eth0"},
		{[]string{"capture", "-w"}, "--write: it takes a value"},
		{[]string{"gen", "--time"}, "--time: it takes a time with its unit"},
		{[]string{"gen", "-R"}, "--rate: it takes a value: rate"},
		{[]string{"lb", "-i", "vale0:a", "-w", "-9"}, "it takes 0 to"},
		{[]string{"bridge", "-i", "a", "-w", "99999999999"}, "it takes 0 to"},
		{[]string{"gen", "-i", ""}, "--interface is empty"}, // not the self test
		{[]string{"gen", "-i", "x{1", "--function="}, "--function is empty"},
		{[]string{"bridge", "-i", "eth0", "-i", ""}, "--interface is empty"},
		{[]string{"lb", "-i", "vale0:a", "-p", ""}, "--pipes is empty"},
		{[]string{"capture", "-i", "vale0:a", "-w", ""}, "--write is empty"},
		{[]string{"serve", "--http", "127.0.0.1:99999"}, "want host:port"},
		{[]string{"gen", "--http", "127.0.0.1:-1"}, "want host:port"},
		{[]string{"bridge", "-i", "a", "--http", "localhost:"}, "want host:port"},
		{[]string{"serve", "--path", ""}, "--path is empty"},
		{[]string{"doctor", "--state-dir="}, "--state-dir is empty"},
		{[]string{"serve", "--ports", "4294967295"}, "netmap serve --ports"},
		{[]string{"serve", "--ring-size", "1"}, "netmap serve --rings, --ring-size"},
	} {
		root := newRoot()
		root.SetOut(io.Discard)
		root.SetErr(io.Discard)
		root.SetArgs(tt.args)
		err := root.ExecuteContext(t.Context())
		if cli.ExitStatus(err) != 2 || !strings.Contains(err.Error(), tt.want) ||
			strings.Contains(err.Error(), "strconv") {
			t.Errorf("netmap %q: %v, want %q", tt.args, err, tt.want)
		}
	}
}

// Every command that is given a file that is no netmap device says that it is none.
func TestNoDevice(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "netmap")
	if err := os.WriteFile(plain, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"gen -f rx -i vale0:a", "capture -i vale0:a -w -", "bridge -i vale0:a -i vale1:b",
		"lb -i vale0:a", "vale list", "vale attach vale0:a", "vale delete a", "vale polling vale0:a off",
	} {
		for _, path := range []string{plain, "/dev/null", t.TempDir(), plain + "/x"} {
			root := newRoot()
			root.SetOut(io.Discard)
			root.SetErr(io.Discard)
			root.SetArgs(append(strings.Fields(line), "--device", path))
			err := root.ExecuteContext(t.Context())
			if cli.ExitStatus(err) != 1 || !strings.Contains(err.Error(), "name a") {
				t.Errorf("netmap %s --device %s: %v, want what to do", line, path, err)
			}
		}
	}
}
