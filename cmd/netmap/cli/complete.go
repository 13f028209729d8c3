package cli

import (
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
)

// completions are the functions that complete flags of these names, in every command.
var completions = map[string]cobra.CompletionFunc{
	"interface": Ports, xdpModeFlag: words(nicfacts.ModeNames()...),
	deviceFlag: anyFile, "path": anyFile, "write": anyFile, "file": anyFile, "pcap": anyFile,
	"histogram": anyFile, "status": anyFile, "state-dir": anyDirectory,
	"function": words("tx", "rx", "ping", "pong", "txseq", "rxseq"), "format": words("pcapng", "pcap"),
	logFormatFlag: words(event.Formats...), logLevelFlag: words(logLevels...),
	"hash": words("flow", "ip", "mac"), "mode": words("0600", "0660", "0666"),
	"header": words("10", "12"), "buffer-size": words("2048", "4096"), "http": words("127.0.0.1:9669"),
	"bandwidth": words("constant,", "ether,", "real,"),
	"delay":     words("constant,", "uniform,", "exp,"), "loss": words("plr,", "ber,"),
	"owner": names("/etc/passwd"), "group": names("/etc/group"),
}

// Complete registers completions for the flags of cmd and of all commands below it. Flags without
// an entry in completions offer nothing.
func Complete(cmd *cobra.Command) {
	register := func(f *pflag.Flag) {
		if _, ok := cmd.GetFlagCompletionFunc(f.Name); ok || f.NoOptDefVal != "" {
			return
		}
		complete := completions[f.Name]
		if complete == nil {
			complete = cobra.NoFileCompletions
		}
		cmd.RegisterFlagCompletionFunc(f.Name, complete)
	}
	cmd.Flags().VisitAll(register)
	cmd.PersistentFlags().VisitAll(register)
	if cmd.ValidArgsFunction == nil && !cmd.HasSubCommands() && !strings.Contains(cmd.Use, "file") {
		cmd.ValidArgsFunction = cobra.NoFileCompletions
	}
	for _, c := range cmd.Commands() {
		Complete(c)
	}
}

// words completes a flag whose value is one of these words, or starts with one.
func words(list ...string) cobra.CompletionFunc {
	directive := cobra.ShellCompDirectiveNoFileComp
	if strings.HasSuffix(list[0], ",") {
		directive |= cobra.ShellCompDirectiveNoSpace
	}
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return list, directive
	}
}

// names completes a flag with the names in the first column of a file such as /etc/group.
func names(file string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		text, _ := os.ReadFile(file) // on an error, nothing is offered
		var list []string
		for line := range strings.Lines(string(text)) {
			if name, _, ok := strings.Cut(line, ":"); ok {
				list = append(list, name)
			}
		}
		return list, cobra.ShellCompDirectiveNoFileComp
	}
}

func anyFile(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func anyDirectory(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// Interfaces completes names of network interfaces, without those already on the command line.
func Interfaces(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	names := interfaceNames()
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(given, n) }),
		cobra.ShellCompDirectiveNoFileComp
}

// Ports completes names of ports: interfaces, and ports of switches on the device that the command
// line names. It adds no space: a ring, a pipe or a monitor may follow.
func Ports(cmd *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	var names []string
	bare := typed != "" && !strings.HasPrefix("netmap:", typed) && !strings.HasPrefix(typed, "netmap:")
	for _, n := range interfaceNames() {
		if !bare {
			n = "netmap:" + n
		}
		names = append(names, n)
	}
	path := netmap.DevicePath
	if f := cmd.Flags().Lookup("device"); f != nil && f.Changed {
		path = f.Value.String()
	}
	names = append(names, valePorts(path)...)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasPrefix(n, typed) })
	return names, directive
}

func interfaceNames() (names []string) {
	list, _ := net.Interfaces() // on an error, nothing is offered
	for _, i := range list {
		names = append(names, i.Name)
	}
	return names
}

// completionTime bounds how long a user who pressed Tab waits for a daemon.
const completionTime = 300 * time.Millisecond

// valePorts returns the ports of a device's switches, none if the device does not answer in time.
func valePorts(path string) []string {
	answer := make(chan []string, 1)
	go func() {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			answer <- nil
			return
		}
		defer f.Close()
		answer <- listVale(f)
	}()
	select {
	case names := <-answer:
		return names
	case <-time.After(completionTime):
		return nil
	}
}

// listVale asks a device for the ports of all switches, at most 1000.
func listVale(f *os.File) (names []string) {
	const most = 1000 // more are of no use in a list of completions
	nioctl.ValePorts(int(f.Fd()), func(name string, _ abi.ValeList) bool {
		names = append(names, name)
		return len(names) < most
	})
	return names
}
