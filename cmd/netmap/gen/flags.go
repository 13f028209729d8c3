package gen

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/portname"
)

// flags are those of gen. Their letters are pkt-gen's, and mean what they mean there.
type flags struct {
	function string // empty is the self test
	port     string
	name     portname.Name // the port's, taken apart
	device   cli.Device
	config   config

	count    uint64 // 0 is for ever
	duration time.Duration
	rate     rate
	burst    int
	wait     int  // seconds; below 0 is what fits the port
	silence  bool // ends reception

	cores    int
	threads  int
	affinity int // the first worker's CPU; below 0 is none

	frames frames
	slots  slots
	show   show

	options uint     // those of -o, until check has spread them over the flags that they stand for
	unused  []string // flags that mean nothing to the function
	flows   testframe.Flows
	out     io.Writer
	err     io.Writer
}

// frames is what frames look like.
type frames struct {
	lengths              lengths
	src, dst             testframe.Hosts // the zero value is the default
	srcMAC, dstMAC       testframe.MACs  // an empty source is the port's own
	srcName, dstName     string          // as given
	v4, v6               bool
	randomSrc, randomDst bool
	file                 string
	verbatim             []byte   // what stands in the file
	remarks              []string // on the file
	rubbish              bool
}

// slots is how frames lie in slots.
type slots struct {
	fragments int // slots a frame
	size      int // bytes a slot, if a frame takes several; 0 is what fits
	indirect  bool
	header    int // bytes of virtio-net header
}

// show is what is written.
type show struct {
	interval  int // ms
	verbose   int
	json      bool
	noCheck   bool
	plain     bool // numbers without units
	deviation bool
	framing   bool // bits of preamble, gap and CRC count
	dump      bool
	histogram string
}

var functions = []string{"tx", "rx", "ping", "pong", "txseq", "rxseq"}

// bursts are the sizes where none is asked for, by function; 1 for ping, so that one frame does not wait for another.
var bursts = map[string]int{"": 512, "tx": 512, "rx": 512, "ping": 1, "pong": 512, "txseq": 512, "rxseq": 512}

// uses says which functions a flag means anything to; those that are not listed mean something to all. The self test is "".
var uses = map[string][]string{
	"length": {"", "tx", "ping", "txseq"}, "rate": {"", "tx", "ping", "txseq"}, "config": functions, "wait": functions,
	"source": {"", "tx", "ping", "txseq"}, "destination": {"", "tx", "ping", "txseq"}, "random-source": {"", "tx", "ping", "txseq"},
	"random-destination": {"", "tx", "ping", "txseq"}, "source-mac": {"", "tx", "ping", "txseq"}, "destination-mac": {"tx", "ping", "txseq"},
	"ipv4": {"", "tx", "ping", "txseq"}, "ipv6": {"", "tx", "ping", "txseq"},
	"pcap": {"tx"}, "rubbish": {"tx"}, "fragments": {"tx", "txseq"}, "fragment-size": {"tx"}, "indirect": {"tx"}, "header": functions,
	"exit-idle": {"rx", "rxseq"}, "dump": {"tx", "rx", "txseq", "rxseq"}, "no-check": {"rx"}, "histogram": {"", "rx", "ping"},
}

// looks say what frames look like, and nothing where they come from a file.
var looks = []string{
	"length", "source", "destination", "source-mac", "destination-mac", "random-source", "random-destination", "ipv4", "ipv6",
}

// addFlags defines the flags.
func (o *flags) addFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.function, "function", "f", "", "what to do: tx, rx, ping, pong, txseq or rxseq (default rx)")
	f.StringVarP(&o.port, "interface", "i", "", "the port to use")
	o.device.AddFlags(f, "gen")
	f.VarP(cli.NewValue(&o.config, parseConfig, "tx[,rx[,rings]]", ""), "config", "C", "slots of tx and rx rings, and rings, of a port that opening makes")
	f.VarP(cli.NewValue(&o.count, cli.ParseCount, "count", "0"), "count", "n", "stop after so many frames; 0 goes on for ever")
	f.DurationVar(&o.duration, "time", 0, "stop after this time, such as 10s; 0 goes on for ever (the self test: five seconds)")
	f.VarP(cli.NewValue(&o.rate, parseRate, "rate", ""), "rate", "R", "send so many frames a second, evenly spread; with bps behind it, bits (default as fast as possible)")
	f.IntVarP(&o.burst, "burst", "b", 0, "send and receive at most so many frames at a time (default 512, for ping 1)")
	cli.AddWaitFlag(f, &o.wait, "wait", "seconds to wait for the link before starting (default 2 for interfaces, else 0)")
	f.BoolVarP(&o.silence, "exit-idle", "W", false, "stop receiving when nothing comes for a second after the first frame")
	f.IntVarP(&o.threads, "threads", "p", 1, "use so many threads, each with a ring of its own")
	f.IntVarP(&o.cores, "cores", "c", 0, "use at most so many cores (default all)")
	f.IntVarP(&o.affinity, "affinity", "a", -1, "bind the first thread to this core, the others to the next ones")
	o.frames.addFlags(f)
	o.slots.addFlags(f)
	o.show.addFlags(f)
	o.addOldFlags(f)
	f.Lookup("affinity").DefValue = "0" // not to be shown: -1 means what the text says
}

func (o *frames) addFlags(f *pflag.FlagSet) {
	hosts, macs := "ip[:port][-ip[:port]]", "mac[-mac]"
	o.lengths.most = testframe.MinLen
	o.dstMAC = cli.Must(testframe.ParseMACs("ff:ff:ff:ff:ff:ff"))
	f.VarP(&o.lengths, "length", "l", "length of the frames in bytes, without CRC; given twice, random ones below the first, from the second on")
	f.VarP(cli.NewValue(&o.src, testframe.ParseHosts, hosts, ""), "source", "s", "source address, or a range that the frames go through (default "+srcIPv4+" or "+srcIPv6+")")
	f.VarP(cli.NewValue(&o.dst, testframe.ParseHosts, hosts, ""), "destination", "d", "destination address, or a range (default "+dstIPv4+" or "+dstIPv6+")")
	f.VarP(cli.NewValue(&o.srcMAC, testframe.ParseMACs, macs, ""), "source-mac", "S", "source MAC address, or a range (default the port's own)")
	f.VarP(cli.NewValue(&o.dstMAC, testframe.ParseMACs, macs, o.dstMAC.String()), "destination-mac", "D", "destination MAC address, or a range")
	f.BoolVarP(&o.v4, "ipv4", "4", false, "IPv4 (default)")
	f.BoolVarP(&o.v6, "ipv6", "6", false, "IPv6, as addresses of that kind also say")
	f.BoolVarP(&o.randomSrc, "random-source", "z", false, "random source addresses and ports; of IPv6 the last 16 bits")
	f.BoolVarP(&o.randomDst, "random-destination", "Z", false, "random destination addresses and ports")
	f.StringVarP(&o.file, "pcap", "P", "", "send the first packet of this pcap or pcapng file, zipped or not, as it is")
	f.BoolVarP(&o.rubbish, "rubbish", "r", false, "send what happens to stand in the buffers")
}

func (o *slots) addFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.fragments, "fragments", "F", 1, "cut each frame into so many slots, 1 to 63")
	f.IntVarP(&o.size, "fragment-size", "M", 0, "put at most so many bytes into a slot (default what fits)")
	f.BoolVarP(&o.indirect, "indirect", "I", false, "leave frames in this program's memory and have the switch fetch them there")
	f.IntVarP(&o.header, "header", "H", 0, "start each frame with an empty virtio-net header of 10 or 12 bytes, and have the switch know")
}

func (o *show) addFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.interval, "interval", "T", 1000, "milliseconds between two reports")
	f.BoolVarP(&o.plain, "no-units", "N", false, "write plain numbers, without K, M and G")
	f.BoolVarP(&o.deviation, "deviation", "A", false, "report mean and standard deviation of the rate, too, over 15 reports")
	f.BoolVarP(&o.framing, "framing", "B", false, "count CRC, preamble and gap, 24 bytes a frame, as bits")
	f.BoolVarP(&o.dump, "dump", "X", false, "write every frame in hexadecimal to standard output")
	f.StringVar(&o.histogram, "histogram", "", "write the latencies to this file, in the form of HdrHistogram")
	f.BoolVar(&o.noCheck, "no-check", false, "count received frames, but do not look into them")
	f.BoolVar(&o.json, "json", false, "write reports and summary as JSON, one object a line, to standard output")
	f.CountVarP(&o.verbose, "verbose", "v", "say what is opened and what is sent")
}

// settle fills in what follows from other flags, and then finds what cannot work.
func (o *flags) settle(given *pflag.FlagSet) error {
	if o.function == "" && o.port != "" {
		o.function = "rx"
	}
	if o.burst == 0 {
		o.burst = bursts[o.function]
	}
	for _, f := range []func() error{o.spreadOptions, o.checkFunction, func() error { return o.checkUses(given) }, o.checkRun, o.frames.settle, o.checkSlots} {
		if err := f(); err != nil {
			return err
		}
	}
	f := &o.frames
	f.srcName = cmp.Or(given.Lookup("source").Value.String(), defaultHosts(f.src.IPv6(), srcIPv4, srcIPv6))
	f.dstName = cmp.Or(given.Lookup("destination").Value.String(), defaultHosts(f.src.IPv6(), dstIPv4, dstIPv6))
	return nil
}

func (o *flags) checkFunction() error {
	switch {
	case o.function != "" && !slices.Contains(functions, o.function):
		return fmt.Errorf("there is no function %q: -f takes one of %s", o.function, strings.Join(functions, ", "))
	case o.function != "" && o.port == "":
		return fmt.Errorf("function %s needs a port: name it with -i, such as -i netmap:eth0", o.function)
	case strings.HasPrefix(o.port, "tap:"), strings.HasPrefix(o.port, "pcap:"):
		kind, name, _ := strings.Cut(o.port, ":")
		return fmt.Errorf("gen does not speak to %s of %s: name the interface, -i netmap:%s", kind, name, name)
	case o.port == "":
		return nil
	}
	var err error
	o.name, err = cli.ParsePort(o.port)
	switch {
	case err != nil:
		return fmt.Errorf("-i: %w", err)
	case o.threads > 1 && o.name.Mode != abi.RegAllNIC:
		return fmt.Errorf("-p gives every thread a ring of its own: name the port without a ring, not -i %s", o.port)
	}
	return nil
}

// checkUses looks for flags that mean nothing to the function. pkt-gen passes over them, and so do we, but say so; the self
// test is ours, and has nothing that somebody could rely on.
func (o *flags) checkUses(given *pflag.FlagSet) error {
	given.Visit(func(f *pflag.Flag) {
		list, ok := uses[f.Name]
		moot := o.frames.file != "" && slices.Contains(looks, f.Name)
		if ok && !slices.Contains(list, o.function) || moot {
			o.unused = append(o.unused, flagName(f))
		}
	})
	if o.function == "" && len(o.unused) > 0 {
		return fmt.Errorf("the self test has no use for %s: say what to do with -f and -i", strings.Join(o.unused, ", "))
	}
	return nil
}

func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

func (o *flags) checkRun() error {
	switch {
	case o.burst < 1:
		return fmt.Errorf("a burst of %d frames makes no sense: -b takes 1 or more", o.burst)
	case o.threads < 1:
		return fmt.Errorf("%d threads cannot work: -p takes 1 or more", o.threads)
	case o.threads > 1 && o.function != "tx" && o.function != "rx":
		return errors.New("only tx and rx work with several threads: leave -p out")
	case o.duration < 0:
		return fmt.Errorf("no time is as short as %v: --time takes 0 or more", o.duration)
	case o.show.interval < 1:
		return fmt.Errorf("reports every %d ms make no sense: -T takes 1 or more", o.show.interval)
	case o.show.dump && o.show.json:
		return errors.New("-X and --json both want standard output: leave one out")
	case o.cores < 0 || o.cores > runtime.NumCPU():
		return fmt.Errorf("there are no %d cores here: -c takes 1 to %d", o.cores, runtime.NumCPU())
	case o.affinity >= runtime.NumCPU():
		return fmt.Errorf("there is no core %d here: -a takes 0 to %d", o.affinity, runtime.NumCPU()-1)
	}
	return nil
}

// settle finds the addresses and the lengths, and reads the file.
func (o *frames) settle() error {
	v6 := o.v6 || o.src.IPv6() || o.dst.IPv6()
	switch {
	case o.v4 && v6:
		return errors.New("-4 and IPv6 exclude each other: leave -4 out")
	case o.src == testframe.Hosts{}:
		o.src = cli.Must(testframe.ParseHosts(defaultHosts(v6, srcIPv4, srcIPv6)))
	case o.src.IPv6() != v6:
		return fmt.Errorf("-s %v is no IPv6 address", o.src)
	}
	if o.dst == (testframe.Hosts{}) {
		o.dst = cli.Must(testframe.ParseHosts(defaultHosts(v6, dstIPv4, dstIPv6)))
	} else if o.dst.IPv6() != v6 {
		return fmt.Errorf("-d %v is no IPv6 address", o.dst)
	}
	if o.file != "" {
		if o.rubbish {
			return errors.New("-P and -r exclude each other: leave one out")
		}
		return o.readFile()
	}
	return o.lengths.settle(v6)
}

// The addresses where none are given.
const (
	srcIPv4, srcIPv6 = "10.0.0.1", "2001:db8::1"
	dstIPv4, dstIPv6 = "10.1.0.1", "2001:db8:1::1"
)

func defaultHosts(v6 bool, ipv4, ipv6 string) string {
	if v6 {
		return ipv6
	}
	return ipv4
}

// least is the length of the shortest frame that carries a mark.
func (o *frames) least() int {
	if o.src.IPv6() {
		return testframe.MinLen6
	}
	return testframe.MinLen
}

// number is the length of the shortest frame of txseq.
func (o *frames) number() int { return o.least() - testframe.MarkLen + 4 }

func (o *flags) checkSlots() error {
	l, s := o.frames.lengths, o.slots
	switch {
	case s.fragments < 1 || s.fragments > 63:
		return fmt.Errorf("no frame has %d fragments: -F takes 1 to 63", s.fragments)
	case s.size < 0 || s.size > 0 && s.size < minLen:
		return fmt.Errorf("fragments of %d bytes make no sense: -M takes %d or more", s.size, minLen)
	case s.header != 0 && s.header != 10 && s.header != 12:
		return fmt.Errorf("a virtio-net header has no %d bytes: -H takes 0, 10 or 12", s.header)
	case (s.header > 0 || s.indirect) && o.name.Kind() != portname.VALE:
		return fmt.Errorf("-H and -I are for ports of VALE switches, and %s is none", o.port)
	case s.indirect && o.frames.rubbish:
		return errors.New("-I and -r exclude each other: leave one out")
	case s.indirect && (s.fragments > 1 || s.size > 0):
		return errors.New("-I leaves frames in one piece: leave -F and -M out")
	case o.function == "txseq" && l.least() < o.frames.number():
		return fmt.Errorf("the number of a frame of txseq does not fit into %d bytes: -l takes %d or more", l.least(), o.frames.number())
	case o.function == "txseq" && o.count%uint64(s.fragments) != 0:
		return fmt.Errorf("txseq sends packets of %d slots: -n takes a multiple of -F", s.fragments)
	case (o.function == "ping" || o.function == "") && l.least() < o.frames.least():
		return fmt.Errorf("what comes back is told by marks, which frames of %d bytes have no room for: -l takes %d or more", l.least(), o.frames.least())
	}
	return nil
}
