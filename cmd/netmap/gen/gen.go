package gen

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/options"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/record"
	"github.com/seed-48afdc40/netmap/portname"
)

const genHelp = `gen sends, receives and reflects test frames, and measures.

Without arguments it tests itself: a sender and a receiver on a VALE switch
inside the process, for five seconds, checking every byte. That needs no
privileges and no network interface. The exit status tells whether anything was
lost or changed.

With --interface it does one thing on one port, as pkt-gen, whose flags it
takes, does:

  tx     send frames, as fast as possible or at a --rate
  rx     receive and count frames; those that gen sent are checked for loss,
         repetition, reordering and changes
  ping   send frames and wait for each to come back; measures the round trip
  pong   send every frame back to where it came from
  txseq  send frames with a number of 32 bits, on the first ring
  rxseq  receive those, and tell of numbers that are missing or out of order

A port is a network interface (eth0, netmap:eth0), one of its rings
(netmap:eth0-1), a port of a VALE switch (vale0:a) or one end of a pipe (x{1).
It is opened through /dev/netmap, that of a running "netmap serve" or of
netmap's kernel module, if there is one, and else inside this process; --device
says otherwise.

Every frame carries its sequence number, the time it was sent, and bytes that
follow from these. Numbers may end in k, M or G.`

const genExamples = `  netmap gen
  netmap gen -l 1500 -R 1M --time 10s
  netmap gen -f tx -i netmap:eth0 -D 02:00:00:00:00:02 -R 100k -n 1M
  netmap gen -f rx -i netmap:eth0 --json
  netmap gen -i eth0 -f tx -l 1514 -l 60 -R 1Gbps -d 10.1.0.1-10.1.0.99
  netmap gen -f tx -i netmap:eth0 -p 4 -s 10.0.0.1:1000-10.0.0.9:2000
  netmap gen -f ping -i netmap:eth0 -n 1000 -R 100`

// New returns the command.
func New() *cobra.Command {
	o := &options.Options{}
	cmd := &cobra.Command{
		Use:     "gen [-i port [-f tx|rx|ping|pong|txseq|rxseq]]",
		Short:   "Send, receive and reflect test frames; without arguments, test itself",
		Long:    genHelp,
		Example: genExamples,
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(cmd.Flags()); err != nil {
				return cli.Usage(err)
			}
			return newJob(o, cmd.OutOrStdout(), cmd.ErrOrStderr()).start(cmd.Context())
		},
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

// start opens the ports, and runs the function or the self test.
func (j *job) start(ctx context.Context) error {
	if j.Cores > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(j.Cores))
	}
	if j.Function != "" {
		j.Device.PreferNode()
		j.Device.Out = j.err
	}
	if j.Slots.Indirect && j.Device.Embedded() {
		return cli.Usage(errors.New("-I needs a device: its switch reads the memory of this program, " +
			"run netmap serve"))
	}
	open, closeAll, err := j.Device.Opener(j.bufSize(), j.needs()...)
	if err != nil {
		return err
	}
	defer closeAll()
	if j.Function == "" {
		return j.selfTest(ctx, open)
	}
	j.warn()
	if err := j.open(open); err != nil {
		return err
	}
	if j.Device.Embedded() && j.Name.Kind() != portname.Interface {
		fmt.Fprintf(j.err,
			"%s exists inside this process only: to reach other programs, run netmap serve.\n", j.Port)
	}
	if err := j.waitForLink(ctx); err != nil {
		return nil // interrupted before the start
	}
	_, err = j.run(ctx)
	return err
}

// warn names the flags that have no effect, and writes the remarks about the file of -P.
func (j *job) warn() {
	for _, text := range j.Frames.Remarks {
		fmt.Fprintln(j.err, text)
	}
	for _, name := range j.Unused {
		fmt.Fprintf(j.err, "%s makes no use of %s.\n", j.Function, name)
	}
	if j.ChangesNothing() {
		fmt.Fprintf(j.err, "-o 1 and 2 change nothing: gen writes every frame that it sends.\n")
	}
}

// waitForLink is cli.WaitForLink with pkt-gen's texts.
func (j *job) waitForLink(ctx context.Context) error {
	wait := cli.LinkWait(j.Wait, j.Port)
	j.say("start_threads", "Wait %d secs for phy reset", wait)
	if err := cli.Sleep(ctx, time.Duration(wait)*time.Second); err != nil {
		return err
	}
	j.say("start_threads", "Ready...")
	return nil
}

// say writes a line to standard error in pkt-gen's form.
func (j *job) say(who, format string, args ...any) {
	if !j.Show.JSON {
		fmt.Fprintf(j.err, "%s %s [%d] %s\n", record.Stamp(time.Now()), who, j.Threads,
			fmt.Sprintf(format, args...))
	}
}

// detail writes a line if -v is given.
func (j *job) detail(format string, args ...any) {
	if j.Show.Verbose > 0 {
		fmt.Fprintf(j.err, format+"\n", args...)
	}
}
