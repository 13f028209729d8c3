// Package capture is the command that writes the frames a port receives to files.
package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/filter"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/portname"
)

// flags are the command's flags, and values that check derives from them.
type flags struct {
	port     string
	device   cli.Device
	file     string
	format   capfile.Format
	snap     int
	count    uint64 // 0 for no limit
	duration time.Duration
	bytes    uint64        // the most bytes of a file
	every    time.Duration // the longest time of a file
	files    int
	buffer   uint64
	at       bool // write every batch at once
	own      bool // no promiscuous mode
	wait     int
	verbose  bool
	json     bool

	name     portname.Name
	bare     bool            // frames have no Ethernet header
	filter   *filter.Program // nil to accept every frame
	out, err io.Writer
}

const help = `capture writes the frames that a port receives to a file, in pcapng or pcap,
until it is interrupted. Wireshark, tshark and tcpdump read both.

A filter is written as for tcpdump: "tcp port 80 and not host 10.0.0.1". Other
frames are only counted.

A network interface in netmap mode is cut off from its host: while it is
captured, the host neither sees nor answers what arrives. Capture an interface
on a machine that only listens, such as at a mirror port. To see what passes
between an interface and a program that has it open, or on a switch or pipe,
capture a monitor, which takes no frames away:

  netmap:eth0/r    what the program receives from eth0
  netmap:eth0/t    what it sends
  netmap:eth0/rt   both
  netmap:x{1/t     what is sent at one end of a pipe
  vale0:a/rt       what a port of a switch sends and receives

An interface is opened inside this process, so no daemon is needed, and in
promiscuous mode. VALE ports, pipes and monitors are those of /dev/netmap.

A separate thread writes the file, so that a slow disk does not delay the port.
When the memory in between (--buffer) is full, frames are dropped and counted.
A frame's time is when capture saw it in its ring, in nanoseconds: some
microseconds after it arrived, and up to 200 at more than 50000 frames a second,
which are read in batches.

With --rotate-time, the file's name may have parts of the time, as for
strftime(3). Files by size are numbered.`

const examples = `  netmap capture -i netmap:eth0 -w eth0.pcapng
  netmap capture -i netmap:eth0 -w - | wireshark -k -i -
  netmap capture -i netmap:eth0 -w http.pcapng -s 128 -c 10k tcp port 80
  netmap capture -i vale0:a/rt -w trace-%F-%H%M%S.pcapng -G 10m
  netmap capture -i netmap:eth0 -w ring.pcap --format pcap -C 1G -W 8`

// New returns the command.
func New() *cobra.Command {
	o := &flags{}
	cmd := &cobra.Command{
		Use:     "capture -i port -w file [filter expression]",
		Short:   "Write what a port receives to a file that Wireshark reads",
		Long:    help,
		Example: examples,
		Args:    cobra.ArbitraryArgs,
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

// addFlags defines the flags. Flags that tcpdump has too have the same letters.
func (o *flags) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.port, "interface", "i", "", "the port to capture")
	o.device.AddFlags(f, "capture")
	f.StringVarP(&o.file, "write", "w", "", "the file to write; - is standard output")
	f.Var(cli.NewValue(&o.format, capfile.ParseFormat, "pcapng|pcap", "pcapng"), "format",
		"the file's format")
	f.IntVarP(&o.snap, "snaplen", "s", 0, "keep so many bytes of a frame (default all)")
	f.VarP(cli.NewValue(&o.count, cli.ParseCount, "count", "0"), "count", "c",
		"stop after so many frames; 0 goes on for ever")
	f.DurationVarP(&o.duration, "time", "t", 0,
		"stop after this time, such as 10s; 0 goes on for ever")
	f.VarP(cli.NewValue(&o.bytes, cli.ParseSize(1e6), "size", ""), "rotate-size", "C",
		"start another file before one gets larger: 100k, 10M, 2G; a bare number is in millions")
	f.VarP(cli.NewValue(&o.every, parseSeconds, "time", ""), "rotate-time", "G",
		"start another file each time this has passed: seconds, or 10m")
	f.IntVarP(&o.files, "files", "W", 0,
		"with -C: write over the oldest of so many files; with -G: stop after so many")
	o.buffer = 64 << 20
	f.VarP(cli.NewValue(&o.buffer, cli.ParseSize(1024), "size", "64M"), "buffer", "B",
		"memory for frames that are not written yet: 100M, 1G; a bare number is in KiB")
	f.BoolVarP(&o.at, "packet-buffered", "U", false, "write frames at once, not within 100 ms")
	f.BoolVarP(&o.own, "no-promiscuous-mode", "p", false,
		"leave out what is not for the interface's own address")
	f.IntVar(&o.wait, "wait", 0, "seconds to wait for the link before starting")
	f.BoolVarP(&o.verbose, "verbose", "v", false,
		"report every second how many frames there are, as it does on a terminal anyway")
	f.BoolVar(&o.json, "json", false, "write the summary as JSON to standard output")
}

// parseSeconds reads a time, in seconds if it has no unit.
func parseSeconds(s string) (time.Duration, error) {
	if n, err := strconv.ParseUint(s, 10, 31); err == nil {
		return time.Duration(n) * time.Second, nil
	}
	return time.ParseDuration(s)
}

// check rejects wrong command lines before anything is opened.
func (o *flags) check(args []string) (err error) {
	switch {
	case o.port == "":
		return errors.New("name a port with -i, such as -i netmap:eth0")
	case o.file == "":
		return errors.New("name a file with -w, or - for standard output")
	case o.file == "-" && cli.IsTerminal(o.out):
		return errors.New("-w - writes binary data, and standard output is a terminal: " +
			"send it into a program or a file")
	case o.file == "-" && o.json:
		return errors.New("--json and -w - both want standard output: leave one out")
	case o.file == "-" && (o.bytes > 0 || o.every > 0):
		return errors.New("-C and -G make files: they do not go with -w -")
	case o.snap < 0 || o.snap > capfile.MaxSnap:
		return fmt.Errorf("-s takes 0 to %d bytes, not %d", capfile.MaxSnap, o.snap)
	case o.duration < 0:
		return fmt.Errorf("-t %v: want 0 or more", o.duration)
	case o.every < 0 || o.every%time.Second != 0:
		return fmt.Errorf("-G takes whole seconds, not %v", o.every)
	case o.files < 0:
		return fmt.Errorf("-W %d: want 0 or more files", o.files)
	case o.files > 0 && (o.bytes > 0) == (o.every > 0):
		return errors.New("-W goes with one of -C and -G")
	case o.wait < 0:
		return fmt.Errorf("--wait %d: want 0 or more seconds", o.wait)
	}
	if o.snap == 0 {
		o.snap = capfile.MaxSnap
	}
	if o.every > 0 {
		if _, err := strftime(o.file, time.Now()); err != nil {
			return fmt.Errorf("-w %w", err)
		}
	}
	return o.parse(strings.Join(args, " "))
}

// parse parses the port's name and compiles the filter.
func (o *flags) parse(expr string) (err error) {
	if o.name, err = cli.ParsePort(o.port); err != nil {
		return fmt.Errorf("-i: %w", err)
	}
	if o.name.Flags&abi.NRTxRingsOnly != 0 {
		return fmt.Errorf("-i: %s only sends: leave out the /T", o.port)
	}
	if expr == "" {
		return nil
	}
	o.filter, err = filter.Compile(expr)
	return err
}

func (o *flags) run(ctx context.Context) error {
	o.device.Out = o.err
	if o.name.Kind() != portname.Interface || cli.IsMonitor(o.name) {
		o.device.UseNode()
	}
	facts := o.facts()
	if o.bare = facts.Bare(); o.bare && o.filter != nil {
		return cli.Usage(fmt.Errorf("filters read Ethernet headers, which frames of %s do not have: "+
			"filter the file with tcpdump", o.port))
	}
	o.device.RxSlots, o.device.Promisc = rxSlots(facts), !o.own
	const longestFrame = 2048
	receives := o.name
	receives.Flags |= abi.NRRxRingsOnly
	open, closeAll, err := o.device.Opener(longestFrame, receives)
	if err != nil {
		return err
	}
	defer closeAll()
	p, err := o.open(open)
	if err != nil {
		return err
	}
	if o.wait > 0 && cli.WaitForLink(ctx, o.err, o.wait, o.port) != nil {
		return nil // interrupted before it began
	}
	// If the reader of standard output ends, the interface must still be restored.
	signal.Ignore(syscall.SIGPIPE)
	return o.captureAndTell(ctx, p, newMeter(o.name, p))
}

// captureAndTell captures, and prints the summary. It prints it after an error, too, because the
// file has the frames that were captured before.
func (o *flags) captureAndTell(ctx context.Context, p *netmap.Port, m *meter) error {
	s, err := o.capture(ctx, p, m)
	if s != nil {
		s.write(o)
	}
	return err
}

// rxSlots returns the number of slots that the rings of an interface should have: the largest for
// which there is memory, so that the receiver may stop for some milliseconds without loss.
func rxSlots(f *nicfacts.Facts) int {
	const most, least, buffers = 16384, 1024, 24576
	slots := most
	for slots > least && slots*f.Queues().Rx > buffers {
		slots /= 2
	}
	return slots
}

// facts describes the port's interface. The facts are empty if this network namespace does not
// have it.
func (o *flags) facts() *nicfacts.Facts {
	l, err := netlink.LinkByName(o.name.Port)
	if err != nil {
		return &nicfacts.Facts{}
	}
	return nicfacts.Ask(l)
}

// open opens the port for receiving only, so that the host goes on sending as before.
func (o *flags) open(open cli.Opener) (*netmap.Port, error) {
	var options []netmap.Option
	if o.name.Flags&abi.NRRxRingsOnly == 0 && !cli.IsMonitor(o.name) {
		options = append(options, netmap.RxOnly())
	}
	p, err := open(o.port, options...)
	if err != nil {
		return nil, err
	}
	if len(p.Rx()) == 0 {
		return nil, fmt.Errorf("%s has no ring that receives", o.port)
	}
	return p, nil
}

// capture captures until a limit is reached, the context ends, or an error makes going on
// impossible.
func (o *flags) capture(ctx context.Context, p *netmap.Port, m *meter) (*summary, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if o.duration > 0 {
		ctx, stop = context.WithTimeout(ctx, o.duration)
		defer stop()
	}
	r, w := o.newReceiver(p), o.newWriter(m)
	r.blocks = newBlocks(o.buffer)
	w.blocks = r.blocks
	r.cuts.begin(w.start, len(w.header))
	if err := w.open(w.start); err != nil {
		return nil, errors.Join(err, w.abandon())
	}
	layer := "Ethernet"
	if o.bare {
		layer = "raw IP"
	}
	fmt.Fprintf(o.err, "netmap: capturing %s, link type %s, snapshot length %d bytes\n", o.port, layer,
		o.snap)
	if m.index > 0 {
		fmt.Fprintf(o.err, "netmap: what arrives at %s does not reach its host meanwhile\n", o.port)
	}
	written := make(chan error, 1)
	go func() {
		err := w.run()
		if err != nil {
			stop()
		}
		written <- err
	}()
	end := cli.Progress(o.err, o.verbose, func() string { return cli.Count(r.seen.Load(), "frame") })
	err := r.run(ctx)
	end()
	close(r.blocks.full)
	wrote := <-written
	if wrote == nil {
		wrote = w.close(r.n)
	} else {
		w.abandon()
	}
	if isHangup(wrote) && w.stdout != nil {
		wrote = nil
	}
	return newSummary(r.n, m.losses(), time.Since(w.start)), errors.Join(err, wrote)
}

func (o *flags) newReceiver(p *netmap.Port) *receiver {
	r := &receiver{port: p, rings: readers(p), filter: o.filter, format: o.format, snap: o.snap,
		left: o.count, flush: flushTime}
	if o.count == 0 {
		r.left = math.MaxUint64
	}
	if o.at {
		r.flush = 0
	}
	r.cuts = cuts{bytes: o.bytes, every: o.every}
	if o.every > 0 {
		r.cuts.files = o.files
	}
	return r
}

func (o *flags) newWriter(m *meter) *writer {
	w := &writer{format: o.format, start: time.Now(), losses: m.losses,
		names: names{pattern: o.file, timed: o.every > 0}}
	if o.bytes > 0 {
		w.names.ring = o.files
	}
	if o.file == "-" {
		w.stdout = o.out
	}
	i := capfile.Interface{Name: o.port, Program: "netmap capture", Snap: o.snap, Bare: o.bare}
	if o.filter != nil {
		i.Filter = o.filter.String()
	}
	w.header = o.format.AppendHeader(nil, i)
	return w
}
