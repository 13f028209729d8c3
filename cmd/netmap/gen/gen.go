package gen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/frame"
)

// flags are those of gen.
type flags struct {
	function string
	port     string
	device   cli.Device
	count    uint64 // 0 is for ever
	length   int
	burst    int
	rate     float64 // frames a second; 0 is as fast as it goes
	wait     int     // seconds; below 0 is what fits the port
	duration time.Duration

	src, dst       frame.Hosts
	srcMAC, dstMAC frame.MACs // an empty source is the port's own

	interval int // ms
	cores    int
	threads  int
	affinity int // the first worker's CPU; below 0 is none

	verbose bool
	json    bool
	noCheck bool

	out, err io.Writer
}

const genHelp = `gen sends, receives and reflects test frames, and measures.

Without arguments it tests itself: a sender and a receiver on a VALE switch
inside the process, for five seconds, checking every byte. That needs no
privileges and no network interface. The exit status tells whether anything was
lost or changed.

With --function and --interface it does one thing on one port:

  tx    send frames, as fast as possible or at a --rate
  rx    receive and count frames; those that gen sent are checked for loss,
        repetition, reordering and changes
  ping  send frames and wait for each to come back; measures the round trip
  pong  send every frame back to where it came from

A port is a network interface (eth0, netmap:eth0), one of its rings
(netmap:eth0-1), a port of a VALE switch (vale0:a) or one end of a pipe (x{1).
Switches and pipes are inside this process, unless --device names the device of
a running "netmap serve" or of netmap's kernel module.

Every frame carries its sequence number, the time it was sent, and bytes that
follow from these. Numbers may end in k, M or G.`

const genExamples = `  netmap gen
  netmap gen -l 1500 -R 1M -t 10s
  netmap gen -f tx -i netmap:eth0 -D 02:00:00:00:00:02 -R 100k -n 1M
  netmap gen -f rx -i netmap:eth0 --json
  netmap gen -f tx -i netmap:eth0 -p 4 -s 10.0.0.1:1000-10.0.0.9:2000
  netmap gen -f ping -i netmap:eth0 -n 1000 -R 100`

// burst sizes where none is asked for, by function; 1 for ping, so that one frame does not wait for another.
var defaultBurst = map[string]int{"": 512, "tx": 512, "rx": 512, "ping": 1, "pong": 512}

func New() *cobra.Command {
	o := &flags{}
	cmd := &cobra.Command{
		Use:     "gen [-f tx|rx|ping|pong -i port]",
		Short:   "Send, receive and reflect test frames; without arguments, test itself",
		Long:    genHelp,
		Example: genExamples,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.out, o.err = cmd.OutOrStdout(), cmd.ErrOrStderr()
			return o.run(cmd.Context())
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// addFlags defines the flags. Their letters are those of pkt-gen, where it has them.
func (o *flags) addFlags(f *pflag.FlagSet) {
	o.src = cli.Must(frame.ParseHosts("10.0.0.1"))
	o.dst = cli.Must(frame.ParseHosts("10.1.0.1"))
	o.dstMAC = cli.Must(frame.ParseMACs("ff:ff:ff:ff:ff:ff"))
	f.SortFlags = false
	f.StringVarP(&o.function, "function", "f", "", "what to do: tx, rx, ping or pong")
	f.StringVarP(&o.port, "interface", "i", "", "the port to use")
	o.device.AddFlag(f)
	f.VarP(cli.NewValue(&o.count, cli.ParseCount, "count", "0"), "count", "n", "stop after so many frames; 0 goes on for ever")
	f.DurationVarP(&o.duration, "time", "t", 0, "stop after this time, such as 10s; 0 goes on for ever (the self test: five seconds)")
	f.IntVarP(&o.length, "length", "l", frame.MinLen, "length of the frames in bytes, without CRC")
	f.IntVarP(&o.burst, "burst", "b", 0, "send and receive at most so many frames at a time (default 512, for ping 1)")
	f.VarP(cli.NewValue(&o.rate, cli.ParseQuantity, "rate", ""), "rate", "R", "send so many frames a second, evenly spread (default as fast as possible)")
	f.IntVarP(&o.wait, "wait", "w", -1, "seconds to wait for the link before starting (default 2 for interfaces, else 0)")
	f.VarP(cli.NewValue(&o.src, frame.ParseHosts, "ip[:port][-ip[:port]]", o.src.String()), "source", "s", "source address, or a range that the frames go through")
	f.VarP(cli.NewValue(&o.dst, frame.ParseHosts, "ip[:port][-ip[:port]]", o.dst.String()), "destination", "d", "destination address, or a range")
	f.VarP(cli.NewValue(&o.srcMAC, frame.ParseMACs, "mac[-mac]", ""), "source-mac", "S", "source MAC address, or a range (default the port's own)")
	f.VarP(cli.NewValue(&o.dstMAC, frame.ParseMACs, "mac[-mac]", o.dstMAC.String()), "destination-mac", "D", "destination MAC address, or a range")
	f.IntVarP(&o.interval, "interval", "T", 1000, "milliseconds between two reports")
	f.IntVarP(&o.threads, "threads", "p", 1, "use so many threads, each with a ring of its own")
	f.IntVarP(&o.cores, "cores", "c", 0, "use at most so many cores (default all)")
	f.IntVarP(&o.affinity, "affinity", "a", -1, "bind the first thread to this core, the others to the next ones")
	f.BoolVar(&o.noCheck, "no-check", false, "count received frames, but do not look into them")
	f.BoolVar(&o.json, "json", false, "write reports and summary as JSON, one object a line, to standard output")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say what is opened and what is sent")
	for _, name := range []string{"wait", "affinity"} {
		f.Lookup(name).DefValue = "0" // not to be shown: -1 means what the text says
	}
}

// check finds what cannot work, and fills in what depends on the function.
func (o *flags) check() error {
	if o.burst == 0 {
		o.burst = defaultBurst[o.function]
	}
	functions := []string{"tx", "rx", "ping", "pong"}
	switch {
	case o.function != "" && !slices.Contains(functions, o.function):
		return fmt.Errorf("there is no function %q: choose one of %s", o.function, strings.Join(functions, ", "))
	case o.function != "" && o.port == "":
		return fmt.Errorf("function %s needs a port: name it with -i, such as -i netmap:eth0", o.function)
	case o.function == "" && o.port != "":
		return fmt.Errorf("say what to do on %s with -f: %s", o.port, strings.Join(functions, ", "))
	case o.length < frame.MinLen || o.length > frame.MaxLen:
		return fmt.Errorf("frames of %d bytes cannot be made: -l takes %d to %d", o.length, frame.MinLen, frame.MaxLen)
	case o.burst < 1:
		return fmt.Errorf("a burst of %d frames makes no sense: -b takes 1 or more", o.burst)
	case o.threads < 1:
		return fmt.Errorf("%d threads cannot work: -p takes 1 or more", o.threads)
	case o.threads > 1 && o.function != "tx" && o.function != "rx":
		return errors.New("only tx and rx work with several threads: leave -p out")
	case o.function == "" && o.noCheck:
		return errors.New("the self test is there to check: leave --no-check out")
	case o.duration < 0:
		return fmt.Errorf("no time is as short as %v: -t takes 0 or more", o.duration)
	case o.interval < 1:
		return fmt.Errorf("reports every %d ms make no sense: -T takes 1 or more", o.interval)
	case o.cores < 0 || o.cores > runtime.NumCPU():
		return fmt.Errorf("there are no %d cores here: -c takes 1 to %d", o.cores, runtime.NumCPU())
	case o.affinity >= runtime.NumCPU():
		return fmt.Errorf("there is no core %d here: -a takes 0 to %d", o.affinity, runtime.NumCPU()-1)
	}
	return nil
}

func (o *flags) run(ctx context.Context) error {
	if err := o.check(); err != nil {
		return cli.Usage(err)
	}
	if o.cores > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(o.cores))
	}
	open, closeAll, err := o.device.Opener(o.bufSize())
	if err != nil {
		return err
	}
	defer closeAll()
	if o.function == "" {
		return o.selfTest(ctx, open)
	}
	j, err := o.newJob(open)
	if err != nil {
		return err
	}
	if o.device.Embedded() && cli.IsSoftware(o.port) {
		fmt.Fprintf(o.err, "%s exists inside this process only: to reach other programs, run netmap serve and add --device.\n", o.port)
	}
	if err := o.waitForLink(ctx); err != nil {
		return nil // interrupted before it began
	}
	_, err = j.run(ctx)
	return err
}

// waitForLink gives a link time to come up: opening an interface resets some.
func (o *flags) waitForLink(ctx context.Context) error {
	wait := o.wait
	if wait < 0 && !cli.IsSoftware(o.port) {
		wait = 2
	}
	if wait <= 0 {
		return nil
	}
	fmt.Fprintf(o.err, "Waiting %s for the link of %s.\n", cli.Count(uint64(wait), "second"), o.port)
	select {
	case <-time.After(time.Duration(wait) * time.Second):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// note writes a line for the curious.
func (o *flags) note(format string, args ...any) {
	if o.verbose {
		fmt.Fprintf(o.err, format+"\n", args...)
	}
}
