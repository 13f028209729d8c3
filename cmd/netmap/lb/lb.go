// Package lb has the command netmap lb, which spreads the frames of a port over pipes.
package lb

import (
	"context"
	"fmt"
	"io"
	"log/syslog"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/portname"
)

// flags are the flags of lb.
type flags struct {
	port     string
	specs    []string // of the groups
	groups   []group
	hash     string
	by       hashing
	device   cli.Device
	extra    int
	batch    int
	wait     int // seconds; negative for the port's default
	busy     bool
	stdout   int // seconds between two reports; 0 for no reports
	syslog   int
	out, err io.Writer
}

// group is a group of pipes: every frame goes to one of them.
type group struct {
	name  string // name of the pipes without their number
	first int    // number of the first pipe
	pipes int
}

const (
	defaultPipes = 2
	mostPipes    = 1024
)

const help = `lb receives from one port and spreads what comes over pipes, so that several
programs can share the work. Frames of one conversation, both directions of it,
always go to the same pipe, in order.

Each -p makes a group of pipes. Every group gets every frame, each of its pipes
a share. The programs open the other ends: of "-i netmap:eth0 -p 4", these are
netmap:eth0}0 to netmap:eth0}3; of "-p ids:2", netmap:ids}0 and netmap:ids}1.
Groups of one name number their pipes on. Only the last group gets the received
buffers themselves; those before it get copies, so that no group waits for
another or sees what it changes.

When a pipe is full, frames for it wait in extra buffers, if -B reserves some.
When these are used up, the oldest frames of the pipe with the most waiting are
dropped. Without extra buffers, the new frame is. Every drop is counted.

--hash says what keeps frames together: "flow" takes addresses, protocol and
ports, of the innermost packet behind VLAN tags, IP in IP and GRE; all fragments
of a packet stay together, but may part from the flow's whole packets, because
they have no ports. "ip" takes the IP addresses only, "mac" the Ethernet ones.

All ports are those of /dev/netmap: run "netmap serve". -o and -s write a line
of JSON for each pipe, and one for all.`

const examples = `  netmap lb -i netmap:eth0 -p 4
  netmap lb -i netmap:eth0 -p ids:4 -p log:1 -B 20000 -o 1
  netmap lb -i vale0:in -p worker:8 --hash ip`

// New returns the command.
func New() *cobra.Command {
	o := &flags{}
	cmd := &cobra.Command{
		Use:     "lb -i port [-p [name:]pipes]...",
		Short:   "Spread the frames of a port over pipes, flow by flow",
		Long:    help,
		Example: examples,
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.out, o.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			if err := o.check(); err != nil {
				return cli.Usage(err)
			}
			return o.run(cmd.Context())
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// addFlags defines the flags. Flags that upstream's lb has too have the same letters.
func (o *flags) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.port, "interface", "i", "", "the port to receive from")
	f.StringArrayVarP(&o.specs, "pipes", "p", nil,
		"add a group of pipes, [name:]number (default 2 pipes that are called as the port is)")
	f.StringVar(&o.hash, "hash", "flow", "what keeps frames together: flow, ip or mac")
	f.IntVarP(&o.extra, "extra-buffers", "B", 0,
		"reserve so many buffers for frames that find their pipe full")
	f.IntVarP(&o.batch, "batch", "b", 2048, "take at most so many frames from a ring at a time")
	cli.AddWaitFlag(f, &o.wait, "wait",
		"seconds to wait for the link before starting (default 2 for an interface, else 0)")
	f.BoolVarP(&o.busy, "busy-wait", "W", false,
		"never sleep: faster to react, and takes a whole core")
	f.IntVarP(&o.stdout, "stdout", "o", 0, "seconds between two reports to standard output; 0 is none")
	f.IntVarP(&o.syslog, "syslog", "s", 0,
		"seconds between two reports to the system's log; 0 is none")
	o.device.AddFlags(f, "lb")
	f.Lookup("device").Usage = "the netmap device to use (default /dev/netmap)"
}

// check checks the flags, and parses the groups of pipes.
func (o *flags) check() (err error) {
	by, ok := hashings[o.hash]
	o.by = by
	switch {
	case o.port == "":
		return fmt.Errorf("name the port to receive from with -i, such as -i netmap:eth0")
	case !ok:
		return fmt.Errorf("there is no hash %q: --hash takes flow, ip or mac", o.hash)
	case o.extra < 0 || o.extra > math.MaxInt32:
		return fmt.Errorf("there are no %d buffers: -B takes 0 or more", o.extra)
	case o.batch < 1:
		return fmt.Errorf("a batch of %d frames makes no sense: -b takes 1 or more", o.batch)
	case o.stdout < 0:
		return fmt.Errorf("reports every %d s make no sense: -o takes 0 or more", o.stdout)
	case o.syslog < 0:
		return fmt.Errorf("reports every %d s make no sense: -s takes 0 or more", o.syslog)
	}
	name, err := cli.ParsePort(o.port)
	if err != nil {
		return fmt.Errorf("-i: %w", err)
	}
	if name.Flags&abi.NRTxRingsOnly != 0 {
		return fmt.Errorf("%s has no rx rings to receive from: -i takes a name without /T", o.port)
	}
	base := name.Port
	for portname.KindOf(base) == portname.Pipe {
		base, _, _ = portname.SplitPipe(base)
	}
	if len(o.specs) == 0 {
		o.specs = []string{""}
	}
	return o.parseGroups(base)
}

// parseGroups parses the groups. A group without a name has the name of the input.
func (o *flags) parseGroups(base string) error {
	next := map[string]int{} // number of the next pipe, by name
	for _, spec := range o.specs {
		g := group{name: base, pipes: defaultPipes}
		number := spec
		if at := strings.LastIndexByte(spec, ':'); at >= 0 {
			g.name, number = strings.TrimPrefix(spec[:at], "netmap:"), spec[at+1:]
		}
		if number != "" {
			n, err := strconv.Atoi(number)
			if err != nil || n < 1 || n > mostPipes {
				return fmt.Errorf("%q is not a number of pipes: -p takes [name:]number, from 1 to %d",
					number, mostPipes)
			}
			g.pipes = n
		}
		if n, err := cli.ParsePort(g.name + "{0"); err != nil || n.Port != g.name+"{0" ||
			portname.KindOf(g.name) == portname.Pipe {
			return fmt.Errorf("pipes cannot be called %q: -p takes [name:]number", g.name)
		}
		g.first = next[g.name]
		next[g.name] += g.pipes
		o.groups = append(o.groups, g)
	}
	return nil
}

// needs returns the ports for which a framework inside this process needs buffers.
func (o *flags) needs() (ports []portname.Name) {
	if in, err := cli.ParsePort(o.port); err == nil { // else opening it fails
		in.Flags |= abi.NRRxRingsOnly
		ports = append(ports, in)
	}
	for _, g := range o.groups {
		for i := range g.pipes {
			ports = append(ports, portname.Name{Port: fmt.Sprintf("%s{%d", g.name, g.first+i)})
		}
	}
	o.device.ExtraBufs = o.extra
	return ports
}

func (o *flags) run(ctx context.Context) error {
	r := &reporter{o: o}
	if o.syslog > 0 {
		log, err := syslog.New(syslog.LOG_INFO|syslog.LOG_LOCAL1, "netmap-lb")
		if err != nil {
			return fmt.Errorf("reach the system's log for -s: %w", err)
		}
		defer log.Close()
		r.log = log
	}
	o.device.Out = o.err
	o.device.UseNode()
	open, closeAll, err := o.device.Opener(0, o.needs()...)
	if err != nil {
		return err
	}
	defer closeAll()
	b, err := o.open(open)
	if err != nil {
		return err
	}
	if cli.WaitForLink(ctx, o.err, o.wait, o.port) != nil {
		b.returnExtra()
		return nil // interrupted before the start
	}
	fmt.Fprintf(o.err, "Ready: %s -> %s, %s.\n", o.port, cli.Count(uint64(len(b.outputs)), "pipe"),
		cli.Count(uint64(b.extra), "extra buffer"))
	return o.balance(ctx, b, r)
}

// balance balances and reports until the context ends or a port fails.
func (o *flags) balance(ctx context.Context, b *balancer, r *reporter) error {
	r.b, r.old = b, map[string]record{}
	ended := make(chan error, 1)
	go func() { ended <- b.run(ctx) }()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for second := 1; ; second++ {
		select {
		case err := <-ended:
			r.summary()
			return err
		case <-tick.C:
			r.tick(second)
		}
	}
}
