// Package bridge has the command netmap bridge, which forwards frames between two ports.
package bridge

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/filter"
	"github.com/seed-48afdc40/netmap/portname"
)

// flags are the flags of bridge.
type flags struct {
	ports    []string
	device   cli.Device
	filter   *filter.Program // nil to forward every frame
	burst    int
	wait     int // seconds; negative for the ports' default
	interval int // ms
	copy     bool
	loop     bool
	verbose  bool
	json     bool

	a, b     portname.Name
	out, err io.Writer
}

const help = `bridge forwards every frame that one port receives to the other, in both
directions, until it is interrupted.

With one port, which has to be a network interface, the other one is the
interface's host stack: the machine keeps its network while bridge stands in
between, and --filter makes it a firewall. With --loopback, frames go back to
where they came from.

Frames are passed on without being copied when both ports are in the same
memory, and keep their order. Frames of several slots stay whole. The rings of
the two ports are paired: what ring 1 receives, ring 1 sends.

Interfaces are opened inside this process, so that no daemon is needed; VALE
ports, pipes and monitors are those of /dev/netmap, and interfaces beside them
too. A port whose name ends in /R only receives, with /T it only sends: naming
one so makes a bridge of one direction.

A bridge between two interfaces needs both in promiscuous mode:
ip link set eth0 promisc on.

Filters are written as for tcpdump: "tcp port 80 and not host 10.0.0.1". Frames
that do not match are dropped, and counted.`

const examples = `  netmap bridge -i netmap:eth0 -i netmap:eth1
  netmap bridge -i netmap:eth0 --filter 'not tcp port 23'
  netmap bridge -i netmap:eth0/R -i vale0:monitor/T
  netmap bridge -i vale0:a -i vale1:b -v`

// New returns the command.
func New() *cobra.Command {
	o := &flags{}
	cmd := &cobra.Command{
		Use:               "bridge [-i port [-i port]] | port [port [burst]]",
		Short:             "Forward frames between two ports, or an interface and its host stack",
		Long:              help,
		ValidArgsFunction: cli.Ports,
		Example:           examples,
		Args:              cli.TakesArgs(0, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.out, o.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if err := o.check(args); err != nil {
				return cli.Usage(err)
			}
			return o.run(cmd.Context())
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// addFlags defines the flags. Flags that upstream's bridge has too have the same letters.
func (o *flags) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringArrayVarP(&o.ports, "interface", "i", nil, "a port to bridge; give it twice for two ports")
	o.device.AddFlags(f, "bridge")
	f.Var(cli.NewValue(&o.filter, filter.Compile, "expression", ""), "filter",
		"forward only frames that match, in both directions")
	f.IntVarP(&o.burst, "burst", "b", 1024, "move at most so many slots of a ring at a time")
	f.BoolVarP(&o.copy, "copy", "c", false, "copy frames even where their buffers could be passed on")
	f.BoolVarP(&o.loop, "loopback", "L", false,
		"with one port: send frames back to where they came from")
	cli.AddWaitFlag(f, &o.wait, "wait",
		"seconds to wait for the links before starting (default 2 for interfaces, else 0)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "report regularly what is forwarded")
	f.IntVarP(&o.interval, "interval", "T", 1000, "milliseconds between two reports")
	f.BoolVar(&o.json, "json", false,
		"write reports and summary as JSON, one object a line, to standard output")
}

// check checks the flags, and parses the ports' names.
func (o *flags) check(args []string) error {
	if err := o.takeArgs(args); err != nil {
		return err
	}
	switch n := len(o.ports); {
	case n == 0:
		return fmt.Errorf("name a port with -i, such as -i netmap:eth0")
	case n > 2:
		return fmt.Errorf("a bridge has two ends: -i names %d ports", n)
	case n == 2 && o.loop:
		return fmt.Errorf("-L is for one port: leave it or a port out")
	case o.burst < 1:
		return fmt.Errorf("a burst of %d slots makes no sense: -b takes 1 or more", o.burst)
	case o.interval < 1:
		return fmt.Errorf("reports every %d ms make no sense: -T takes 1 or more", o.interval)
	}
	return o.parsePorts()
}

// takeArgs sets the ports and the burst that are given without a flag.
func (o *flags) takeArgs(args []string) (err error) {
	if len(args) == 0 {
		return nil
	}
	if len(o.ports) > 0 {
		return fmt.Errorf("%q is one name too many: name the ports with -i or without, not both", args[0])
	}
	if len(args) == 3 {
		if o.burst, err = strconv.Atoi(args[2]); err != nil {
			return fmt.Errorf("the third argument is the burst, a number: not %q", args[2])
		}
		args = args[:2]
	}
	o.ports = args
	return nil
}

func (o *flags) parsePorts() (err error) {
	if o.a, err = cli.ParsePort(o.ports[0]); err != nil {
		return fmt.Errorf("-i: %w", err)
	}
	if len(o.ports) == 2 && o.ports[1] != o.ports[0] {
		if o.b, err = cli.ParsePort(o.ports[1]); err != nil {
			return fmt.Errorf("-i: %w", err)
		}
	} else if o.b = o.a; !o.loop {
		if o.a.Mode != abi.RegAllNIC || o.a.Flags != 0 || o.a.Kind() != portname.Interface {
			return fmt.Errorf("%s has no host stack to bridge it with: "+
				"name a second port with -i, or use -L", o.ports[0])
		}
		o.a.Mode = abi.RegSW
	}
	if !(receives(o.a) && sends(o.b)) && !(receives(o.b) && sends(o.a)) {
		return fmt.Errorf("no frame can pass between %v and %v: check the flags behind / in -i", o.a, o.b)
	}
	return nil
}

// receives and sends report which directions the flags in a port's name allow.
func receives(n portname.Name) bool { return n.Flags&abi.NRTxRingsOnly == 0 }

func sends(n portname.Name) bool {
	return n.Flags&abi.NRRxRingsOnly == 0 && !cli.IsMonitor(n)
}

// shared reports whether a port is useful only in a framework that other programs share.
func shared(n portname.Name) bool {
	return n.Kind() != portname.Interface || cli.IsMonitor(n)
}

func (o *flags) run(ctx context.Context) error {
	o.device.Out = o.err
	if shared(o.a) || shared(o.b) {
		o.device.UseNode()
	}
	const longestFrame = 2048
	open, closeAll, err := o.device.Opener(longestFrame, o.a, o.b)
	if err != nil {
		return err
	}
	defer closeAll()
	directions, err := o.open(open)
	if err != nil {
		return err
	}
	if cli.WaitForLink(ctx, o.err, o.wait, o.ports...) != nil {
		return nil // interrupted before the start
	}
	for _, d := range directions {
		how := map[bool]string{true: "zero-copy", false: "copying"}[d.zeroCopy]
		fmt.Fprintf(o.err, "Ready: %s -> %s, %s.\n", d.from.Name(), d.to.Name(), how)
	}
	return o.bridge(ctx, directions)
}

// bridge forwards and reports until the context ends or a port fails.
func (o *flags) bridge(ctx context.Context, directions []*direction) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, len(directions))
	for _, d := range directions {
		go func() { ended <- d.run(ctx) }()
	}
	r := newReporter(o, directions)
	tick := time.NewTicker(time.Duration(o.interval) * time.Millisecond)
	defer tick.Stop()
	var first error
	for left := len(directions); left > 0; {
		select {
		case err := <-ended:
			if left--; first == nil {
				first = err
			}
			stop()
		case <-tick.C:
			r.tick()
		}
	}
	r.summary()
	return first
}
