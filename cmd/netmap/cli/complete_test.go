package cli

import (
	"slices"
	"testing"

	"github.com/spf13/cobra"
)

// Every flag with a value has a completion, and only flags that take files complete file names.
func TestCompleteFlags(t *testing.T) {
	cmd := &cobra.Command{Use: "test", Run: func(*cobra.Command, []string) {}}
	f := cmd.Flags()
	f.String("function", "", "")
	f.Int("number", 0, "")
	f.Bool("quiet", false, "")
	f.String("group", "", "")
	f.String("bandwidth", "", "")
	Complete(cmd)
	for name, want := range map[string]string{"function": "ping", "number": "", "group": "root",
		"bandwidth": "ether,"} {
		complete, ok := cmd.GetFlagCompletionFunc(name)
		if !ok {
			t.Errorf("--%s is left to the shell", name)
			continue
		}
		list, directive := complete(cmd, nil, "")
		if want != "" && !slices.Contains(list, want) || want == "" && len(list) > 0 {
			t.Errorf("--%s: %q, want %q", name, list, want)
		}
		if directive&cobra.ShellCompDirectiveNoFileComp == 0 {
			t.Errorf("--%s offers files", name)
		}
	}
}

func TestComplete(t *testing.T) {
	root := &cobra.Command{Use: "tool"}
	cmd := &cobra.Command{Use: "test", Run: func(*cobra.Command, []string) {}}
	cmd.Flags().String("interface", "", "")
	cmd.Flags().String("device", t.TempDir()+"/absent", "")
	new(XDPMode).AddFlag(cmd.Flags())
	root.AddCommand(cmd)
	Complete(root)

	complete, ok := cmd.GetFlagCompletionFunc("interface")
	if !ok {
		t.Fatal("nothing completes --interface")
	}
	modes, ok := cmd.GetFlagCompletionFunc(xdpModeFlag)
	if !ok {
		t.Fatal("nothing completes --xdp-mode")
	}
	wantModes := []string{"auto", "zero-copy", "native", "generic"}
	if names, _ := modes(cmd, nil, ""); !slices.Equal(names, wantModes) {
		t.Errorf("modes %q", names)
	}
	for typed, want := range map[string]string{"": "netmap:lo", "n": "netmap:lo",
		"netmap:l": "netmap:lo", "l": "lo", "lo": "lo"} {
		names, directive := complete(cmd, nil, typed)
		if !slices.Contains(names, want) {
			t.Errorf("%q is completed by %q, without %q", typed, names, want)
		}
		if directive&cobra.ShellCompDirectiveNoSpace == 0 {
			t.Errorf("%q ends with a space: a name may go on", typed)
		}
	}
	if names, _ := complete(cmd, nil, "vale"); len(names) > 0 {
		t.Errorf("a device that is not there has the ports %q", names)
	}
	if names, directive := cmd.ValidArgsFunction(cmd, nil, ""); len(names) > 0 ||
		directive != cobra.ShellCompDirectiveNoFileComp {
		t.Errorf("arguments of a command that takes none: %q", names)
	}
	if names, _ := Interfaces(cmd, []string{"lo"}, ""); slices.Contains(names, "lo") {
		t.Error("an interface is offered twice")
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"functoin", "function", 2},
		{"buffer", "buffers", 1}, {"same", "same", 0}, {"abc", "xyz", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
