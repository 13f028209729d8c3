// Package vale is the command that lists and changes VALE switches, as vale-ctl does. It uses the
// requests of the device, so that it works with netmap's kernel module, too.
package vale

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/portname"
)

const help = `vale shows the VALE switches of a netmap device, and changes what is on them.

A switch exists as long as it has ports. Programs make ports by opening them
("vale0:a"). This command attaches network interfaces ("vale0:eth0"), and makes
persistent ports. A persistent port exists without a program, and the host sees
it as an interface.`

const examples = `  netmap vale list
  netmap vale attach vale0:eth1
  netmap vale create tap0 && netmap vale attach vale0:tap0
  netmap vale polling vale0:eth1 on --cpu 1
  netmap vale detach vale0:eth1`

// flags are the flags of all these commands.
type flags struct {
	path string
	json bool
}

// New returns the command.
func New() *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{Use: "vale", Short: "List and change VALE switches", Long: help,
		Example: examples}
	cli.AddDeviceFlag(cmd.PersistentFlags(), &f.path,
		"netmap device, that of netmap serve or of the kernel")
	cmd.PersistentFlags().BoolVar(&f.json, "json", false,
		"write the list, or what was done, as JSON")
	cmd.AddCommand(f.listCmd(), f.attachCmd(), f.detachCmd(), f.createCmd(), f.deleteCmd(),
		f.pollingCmd())
	return cmd
}

// with opens the device for a command.
func (f *flags) with(do func(*device) error) error {
	d, err := openDevice(f.path)
	if err != nil {
		return err
	}
	defer d.Close()
	return do(d)
}

// tell reports what was done, as text or as JSON.
func (f *flags) tell(cmd *cobra.Command, done any, text string, args ...any) error {
	if f.json {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(done)
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), text+"\n", args...)
	return err
}

// change is a report as JSON.
type change struct {
	Done  string  `json:"done"`
	Name  string  `json:"name"`
	Index *uint32 `json:"index,omitempty"`
}

func (f *flags) listCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "list [switch...]",
		Short: "Show switches and their ports",
		Long: `list shows the switches of the device with their ports, and those inside commands
that run without a device, such as netmap bridge --device=embedded. --device
leaves these out.`,
		RunE: func(cmd *cobra.Command, switches []string) error {
			all, err := f.list(cmd)
			if err != nil {
				return err
			}
			all, err = only(all, switches)
			if err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(append([]port{}, all...))
			}
			return show(cmd.OutOrStdout(), all)
		},
		ValidArgsFunction: f.complete(func(p port) string { return p.Switch }),
	}
}

// list returns the ports of all switches: first the device's, then those inside commands. It omits
// the latter if --device is given. If there are commands, it works without a device.
func (f *flags) list(cmd *cobra.Command) (all []port, err error) {
	if !cmd.Flags().Changed("device") {
		all = embedded(cmd.Context())
		if len(all) > 0 && !cli.IsNode(f.path) {
			return all, nil
		}
	}
	err = f.with(func(d *device) error {
		own, err := d.list()
		all = append(own, all...)
		return err
	})
	if errors.Is(err, syscall.EACCES) && len(all) > 0 {
		fmt.Fprintln(cmd.ErrOrStderr(), "netmap: warning:", err)
		return all, nil
	}
	return all, err
}

// only returns the ports on the given switches, or all if none is given.
func only(all []port, switches []string) (some []port, err error) {
	if len(switches) == 0 {
		return all, nil
	}
	for _, name := range switches {
		name, _, _ = strings.Cut(name, ":")
		n := len(some)
		for _, p := range all {
			if p.Switch == name {
				some = append(some, p)
			}
		}
		if len(some) == n {
			return nil, fmt.Errorf("there is no switch %s: netmap vale list shows all", name)
		}
	}
	return some, nil
}

// show writes each switch as a paragraph, and each port as a line.
func show(to io.Writer, all []port) error {
	if len(all) == 0 {
		fmt.Fprintln(to, "There are no switches. Opening a port such as vale0:a makes one.")
		return nil
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	for i, p := range all {
		if i == 0 || p.Switch != all[i-1].Switch || p.PID != all[i-1].PID {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if p.PID > 0 {
				fmt.Fprintf(w, "Inside %s, process %d:\n", p.Program, p.PID)
			}
			fmt.Fprintf(w, "%s\tport\trings tx, rx\tslots\theader\n", p.Switch)
		}
		header := "-"
		if p.Header > 0 {
			header = fmt.Sprint(p.Header)
		}
		slots := fmt.Sprint(p.TxSlots)
		if p.RxSlots != p.TxSlots {
			slots = fmt.Sprintf("%d, %d", p.TxSlots, p.RxSlots)
		}
		fmt.Fprintf(w, "%5d\t%s\t%d, %d\t%s\t%s\n", p.Index, p.Name, p.TxRings, p.RxRings, slots, header)
	}
	return w.Flush()
}

func (f *flags) attachCmd() *cobra.Command {
	var host bool
	cmd := &cobra.Command{
		Use:   "attach switch:interface",
		Short: "Make a network interface, or a persistent port, a port of a switch",
		Args:  onePort,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.with(func(d *device) error {
				index, err := d.attach(args[0], host)
				if err != nil {
					return err
				}
				return f.tell(cmd, change{"attach", args[0], &index}, "%s is port %d of %s.", args[0], index,
					switchOf(args[0]))
			})
		},
		ValidArgsFunction: completeInterface,
	}
	cmd.Flags().BoolVar(&host, "host", false,
		"make the interface's host stack a port as well, so that the host keeps its network")
	return cmd
}

func (f *flags) detachCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "detach switch:interface",
		Short: "Give an interface back to the host",
		Args:  onePort,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.with(func(d *device) error {
				index, err := d.detach(args[0])
				if err != nil {
					return err
				}
				return f.tell(cmd, change{"detach", args[0], &index}, "%s was port %d of %s.", args[0], index,
					switchOf(args[0]))
			})
		},
		ValidArgsFunction: f.complete(func(p port) string { return p.Name }),
	}
}

func (f *flags) createCmd() *cobra.Command {
	var rings uint16
	var slots uint32
	cmd := &cobra.Command{
		Use:   "create name",
		Short: "Make a persistent port, which the host sees as an interface",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cli.TakesArgs(1, 1)(cmd, args); err != nil {
				return err
			}
			if portname.KindOf(args[0]) != portname.Interface || strings.ContainsAny(args[0], ":/") ||
				len(args[0]) >= abi.IfNameSize || args[0] == "" {
				return fmt.Errorf("%q cannot be the name of a persistent port: it has up to %d characters, "+
					"none of :/{}, and does not start with vale", args[0], abi.IfNameSize-1)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.with(func(d *device) error {
				made, err := d.create(args[0], abi.ValeNewIf{TxRings: rings, RxRings: rings, TxSlots: slots,
					RxSlots: slots})
				if err != nil {
					return err
				}
				return f.tell(cmd, change{Done: "create", Name: args[0]},
					"%s has %d tx and %d rx rings of %d slots. Put it on a switch: netmap vale attach vale0:%s",
					args[0], made.TxRings, made.RxRings, made.TxSlots, args[0])
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	cmd.Flags().Uint16Var(&rings, "rings", 0, "rings in each direction (default 1)")
	cmd.Flags().Uint32Var(&slots, "slots", 0, "slots of a ring (default 1024)")
	return cmd
}

func (f *flags) deleteCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "delete name",
		Short: "End a persistent port",
		Args:  cli.TakesArgs(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.with(func(d *device) error {
				if err := d.remove(args[0]); err != nil {
					return err
				}
				return f.tell(cmd, change{Done: "delete", Name: args[0]}, "%s is gone.", args[0])
			})
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
}

func (f *flags) pollingCmd() *cobra.Command {
	var cpu, count uint32
	cmd := &cobra.Command{
		Use:   "polling switch:interface on|off",
		Short: "Make processors poll an attached interface all the time",
		Long: `polling makes a processor look at all rings of an attached interface all the
time. This saves wake-ups and costs the processor. With --cpus 2 or more, each
processor looks at the ring that has the processor's number.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cli.TakesArgs(2, 2)(cmd, args); err != nil {
				return err
			}
			if args[1] != "on" && args[1] != "off" {
				return fmt.Errorf("polling is on or off, not %q", args[1])
			}
			if args[1] == "off" && (cmd.Flags().Changed("cpu") || cmd.Flags().Changed("cpus")) {
				return fmt.Errorf("--cpu and --cpus are for on: leave them out")
			}
			if count == 0 {
				return fmt.Errorf("--cpus 0 leaves no processor to poll: want 1 or more")
			}
			return onePort(cmd, args[:1])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.with(func(d *device) error {
				if args[1] == "off" {
					if err := d.stopPolling(args[0]); err != nil {
						return err
					}
					return f.tell(cmd, change{Done: "polling off", Name: args[0]}, "%s is not polled any more.",
						args[0])
				}
				wish := abi.ValePolling{Mode: abi.PollingSingleCPU, FirstCPU: cpu, NumPollingCPUs: count}
				if count > 1 {
					wish.Mode = abi.PollingMultiCPU
				}
				if err := d.startPolling(args[0], wish); err != nil {
					return err
				}
				return f.tell(cmd, change{Done: "polling on", Name: args[0]}, "%s is polled by %s, from %d on.",
					args[0], cli.Count(uint64(count), "processor"), cpu)
			})
		},
		ValidArgsFunction: f.complete(func(p port) string { return p.Name }),
	}
	cmd.Flags().Uint32Var(&cpu, "cpu", 0, "the first processor")
	cmd.Flags().Uint32Var(&count, "cpus", 1, "how many processors")
	return cmd
}

// onePort accepts the name of one port on a switch.
func onePort(cmd *cobra.Command, args []string) error {
	if err := cli.TakesArgs(1, 1)(cmd, args); err != nil {
		return err
	}
	sw, name, ok := strings.Cut(args[0], ":")
	if !ok || !portname.OnSwitch(sw) || name == "" || len(args[0]) >= abi.ReqNameSize {
		return fmt.Errorf("%q is no port of a switch: want one such as vale0:eth0", args[0])
	}
	return nil
}

func switchOf(port string) string {
	sw, _, _ := strings.Cut(port, ":")
	return sw
}

// complete offers a text of each port for the first argument, and on and off for the second.
func (f *flags) complete(what func(port) string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) (names []string,
		_ cobra.ShellCompDirective) {
		if len(args) == 1 && cmd.Name() == "polling" {
			return []string{"on", "off"}, cobra.ShellCompDirectiveNoFileComp
		}
		f.with(func(d *device) error {
			all, err := d.list()
			for _, p := range all {
				if !slices.Contains(names, what(p)) && (len(args) == 0 || cmd.Name() == "list") {
					names = append(names, what(p))
				}
			}
			return err
		})
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeInterface offers the interfaces of this network namespace for the switch that was typed.
func completeInterface(_ *cobra.Command, args []string, typed string) (names []string,
	_ cobra.ShellCompDirective) {
	sw, _, ok := strings.Cut(typed, ":")
	if !ok || !portname.OnSwitch(sw) {
		sw = "vale0"
	}
	links, err := net.Interfaces()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	for _, l := range links {
		if l.Flags&net.FlagLoopback == 0 {
			names = append(names, sw+":"+l.Name)
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
