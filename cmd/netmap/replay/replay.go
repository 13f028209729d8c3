// Package replay is the command that sends the frames of capture files.
package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/filter"
	"github.com/seed-48afdc40/netmap/portname"
)

// flags are the command's flags, and values that check derives from them.
type flags struct {
	port   string
	file   string
	device cli.Device

	speed     float64
	rate      float64
	top       bool
	bandwidth bandwidth
	delay     delay
	loss      loss
	seed      uint64

	loops   uint64
	count   uint64 // 0 for all
	burst   int
	wait    int // seconds; negative for the port's default
	memory  uint64
	filter  *filter.Program // nil to accept every frame
	verbose bool
	json    bool

	name     portname.Name
	out, err io.Writer
}

const help = `replay sends the frames of a capture file, pcap or pcapng, zipped or not, at the
times at which they were captured. With -f - it reads standard input.

It reads what tcpdump -r reads. Packets of other link types than Ethernet are
skipped. Bytes behind the end of a frame are left out, and so are frame check
sequences if the file says that frames have them. The summary counts all of
these. Of a truncated file, the complete frames are sent, and then replay fails.

Before the first frame is sent, the file is read ahead, into as much memory as
--memory allows. A frame is sent at its time, to within microseconds on an idle
core: replay sleeps, and watches the clock just before. The summary has how late
frames were. If the machine delays replay, all later frames are put off, so that
they keep their gaps (not with -R and -B). On a busy machine, start it with
"chrt -r 1". When the ring is full, replay waits: no frame is lost.

One of -x, -R, -t and -B chooses other times than those of the file.
Delay (-D), loss (-L) and bandwidth (-B) are written as for nmreplay(8):

  -B bps | constant,bps | ether,bps | real,speedup
  -D time | constant,time | uniform,least,most | exp,least,average
  -L p | plr,p | ber,p

ether counts what Ethernet adds to a frame; plr is the probability that a frame
is lost, ber that a bit is wrong, by which its frame is lost. Frames are delayed,
but never overtake each other. Times are written as 20ms, 5u or 1.5s.

All frames go through one ring, so that they keep their order. An interface is
opened inside this process, so that no daemon is needed; VALE ports and pipes are
those of /dev/netmap. The host of an interface goes on receiving, and sending
where there is another queue.`

const examples = `  netmap replay -i netmap:eth0 trace.pcapng
  netmap replay -i netmap:eth0 -x 2 -l 10 trace.pcap
  netmap replay -i netmap:eth0 -R 1M --filter 'udp port 53' trace.pcap.gz
  netmap replay -i vale0:a -t -l 0 trace.pcap
  netmap replay -i netmap:eth0 -B ether,1G -D exp,1ms,2ms -L plr,0.001 trace.pcap
  tcpdump -w - -i eth1 | netmap replay -i vale0:a -t -f -`

// New returns the command.
func New() *cobra.Command {
	o := &flags{}
	cmd := &cobra.Command{
		Use:     "replay -i port file",
		Short:   "Send the frames of a capture file, with its timing",
		Long:    help,
		Example: examples,
		Args:    cli.TakesArgs(0, 1),
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

// addFlags defines the flags. Their letters are those of nmreplay, or else those of tcpreplay.
func (o *flags) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.port, "interface", "i", "", "the port to send to")
	f.StringVarP(&o.file, "file", "f", "", "the file to send; - is standard input")
	o.device.AddFlags(f, "replay")
	f.Float64VarP(&o.speed, "speed", "x", 1, "send so many times as fast as it was captured")
	f.VarP(cli.NewValue(&o.rate, cli.ParseQuantity, "rate", ""), "rate", "R",
		"send so many frames a second, evenly spread: 100k, 1.5M")
	f.BoolVarP(&o.top, "topspeed", "t", false, "send as fast as possible")
	f.VarP(cli.NewValue(&o.bandwidth, parseBandwidth, "model", ""), "bandwidth", "B",
		"send with this bandwidth")
	f.VarP(cli.NewValue(&o.delay, parseDelay, "model", ""), "delay", "D", "delay frames by this")
	f.VarP(cli.NewValue(&o.loss, parseLoss, "model", ""), "loss", "L",
		"leave frames out with this probability")
	f.Uint64Var(&o.seed, "seed", 0, "makes the delays and losses of two runs the same; 0 does not")
	f.VarP(cli.NewValue(&o.loops, cli.ParseCount, "count", "1"), "loop", "l",
		"send the file so many times; 0 goes on for ever")
	f.VarP(cli.NewValue(&o.count, cli.ParseCount, "count", "0"), "count", "n",
		"stop after so many frames; 0 sends all")
	f.Var(cli.NewValue(&o.filter, filter.Compile, "expression", ""), "filter",
		"send only frames that match, written as for tcpdump")
	f.IntVarP(&o.burst, "burst", "b", 256,
		"send at most so many frames at a time, of those that are due")
	cli.AddWaitFlag(f, &o.wait, "wait-link",
		"seconds to wait for the link before starting (default 2 for interfaces, else 0)")
	f.Var(cli.NewValue(&o.memory, cli.ParseCount, "size", "1G"), "memory",
		"how much of the file to read ahead")
	f.BoolVarP(&o.verbose, "verbose", "v", false,
		"report every second what was sent, as it does on a terminal anyway")
	f.BoolVar(&o.json, "json", false, "write the summary as JSON to standard output")
	o.loops, o.memory = 1, 1e9
}

// check rejects wrong command lines before anything is opened.
func (o *flags) check(args []string) (err error) {
	if len(args) == 1 && o.file == "" {
		o.file, args = args[0], nil
	}
	switch {
	case o.port == "":
		return errors.New("name a port with -i, such as -i netmap:eth0")
	case len(args) > 0:
		return fmt.Errorf("%q is one file too many: -f names one already", args[0])
	case o.file == "":
		return errors.New("name the file to send, with -f or without")
	case !(o.speed > 0 && o.speed < 1e9):
		return fmt.Errorf("-x %v: want more than 0", o.speed)
	case o.file == capfile.Stdin && o.loops != 1:
		return errors.New("-l needs a file: standard input can be read only once")
	case o.burst < 1:
		return fmt.Errorf("a burst of %d frames makes no sense: -b takes 1 or more", o.burst)
	}
	if err := o.choose(); err != nil {
		return err
	}
	if o.name, err = cli.ParsePort(o.port); err != nil {
		return fmt.Errorf("-i: %w", err)
	}
	if o.name.Mode == abi.RegAllNIC && o.name.Kind() == portname.Interface {
		o.name.Mode, o.name.Ring = abi.RegOneNIC, 0
	}
	if o.name.Flags&(abi.NRRxRingsOnly|abi.NRMonitorTx|abi.NRMonitorRx|abi.NRZcopyMon) != 0 {
		return fmt.Errorf("-i: nothing can be sent on %s: leave out what follows its /", o.port)
	}
	return nil
}

// choose selects the model of when frames are sent.
func (o *flags) choose() error {
	chosen := 0
	b := bandwidth{real, o.speed}
	for _, c := range []struct {
		is bool
		b  bandwidth
	}{
		{o.speed != 1, b}, {o.rate > 0, bandwidth{rate, o.rate}}, {o.top, bandwidth{top, 1}},
		{o.bandwidth.value > 0, o.bandwidth},
	} {
		if c.is {
			b = c.b
			chosen++
		}
	}
	if chosen > 1 {
		return errors.New("choose one of -x, -R, -t and -B: each says when frames are sent")
	}
	if o.top && o.delay != (delay{}) {
		return errors.New("-D delays nothing with -t, which sends as fast as possible: leave one out")
	}
	o.bandwidth = b
	return nil
}

func (o *flags) run(ctx context.Context) error {
	s, err := capfile.Open(o.file)
	if err != nil {
		return err
	}
	o.device.Out = o.err
	if o.name.Kind() != portname.Interface {
		o.device.UseNode()
	}
	const longestFrame = 2048
	open, closeAll, err := o.device.Opener(longestFrame, o.name)
	if err != nil {
		return err
	}
	defer closeAll()
	p, err := o.open(open)
	if err != nil {
		return err
	}
	if cli.WaitForLink(ctx, o.err, o.wait, o.port) != nil {
		return nil // interrupted before it began
	}
	sum, err := o.replay(ctx, s, p)
	sum.write(o)
	return err
}

// open opens the port for sending only. It opens just one ring of an interface, so that the host
// still receives, and still sends through the other rings.
func (o *flags) open(open cli.Opener) (*netmap.Port, error) {
	var options []netmap.Option
	if o.name.Flags&abi.NRTxRingsOnly == 0 {
		options = append(options, netmap.TxOnly())
	}
	p, err := open(o.name.String(), options...)
	if err != nil {
		return nil, err
	}
	if len(p.Tx()) == 0 {
		return nil, fmt.Errorf("%s has no ring that sends", o.port)
	}
	return p, nil
}

// replay sends the file. It returns a summary even after an error.
func (o *flags) replay(ctx context.Context, src *capfile.Reader, p *netmap.Port) (*summary, error) {
	ctx, stop := context.WithCancel(ctx)
	f := newFeed(o.file, o.memory, o.loops)
	f.filter = o.filter
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		f.run(ctx, src)
	}()
	defer func() {
		stop()
		if !f.live { // a live file may wait for standard input
			<-fed
		}
	}()
	select {
	case <-f.ready:
	case <-ctx.Done():
	}
	unsent, before := cli.NewUnsent(p), dropped(p)
	s := newSender(p, o.schedule(), o.burst, o.count)
	if o.count == 0 {
		s.left = math.MaxUint64
	}
	sent := make(chan error, 1)
	go func() { sent <- s.run(ctx, f) }()
	end := cli.Progress(o.err, o.verbose, s.progress)
	err := <-sent
	end()
	return newSummary(s, unsent.Read(), max(dropped(p), before)-before), err
}

func (o *flags) schedule() *schedule {
	seed := o.seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	return &schedule{bandwidth: o.bandwidth, delay: o.delay, loss: o.loss,
		random: rand.New(rand.NewPCG(seed, 0))}
}

// dropped returns the number of frames that a port accepted but could not send, as far as is known.
func dropped(p *netmap.Port) uint64 {
	d, _ := cli.Drops(p)
	return cli.SumDrops(d.Tx)
}
