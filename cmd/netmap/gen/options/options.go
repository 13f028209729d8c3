// Package options is the command line of netmap gen: its flags, their defaults and their checks. It
// opens no port and sends nothing.
package options

import (
	"cmp"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/portname"
)

// Options are the flags of gen. Their letters are pkt-gen's, with the same meaning.
type Options struct {
	Function string // "" is the self test
	Port     string
	Name     portname.Name // the parsed Port; the zero value for the self test
	Device   cli.Device
	Config   Config

	Count    uint64 // 0 for no limit
	Duration time.Duration
	Rate     Rate
	Burst    int
	Wait     int  // seconds; negative for the port's default
	ExitIdle bool // stop receiving when no more frames come

	Cores    int
	Threads  int
	Affinity int // the first worker's CPU; negative to bind no worker

	Frames Frames
	Slots  Slots
	Show   Show

	Unused []string // flags that the function does not use
	old    uint     // the bits of -o, until Check has set the flags that they stand for
}

// Frames is the contents of frames.
type Frames struct {
	Lengths              frames.Lengths
	Src, Dst             testframe.Hosts
	SrcMAC, DstMAC       testframe.MACs // an empty source stands for the port's address
	SrcName, DstName     string         // Src and Dst as given
	V4, V6               bool
	RandomSrc, RandomDst bool
	File                 string
	Verbatim             []byte   // the frame in the file
	Remarks              []string // about the file
	Rubbish              bool
}

// Slots is how frames are put into slots.
type Slots struct {
	Fragments int // slots per frame
	Size      int // most bytes per slot if a frame takes several; 0 for the buffer's size
	Indirect  bool
	Header    int // length of the virtio-net header in bytes
}

// Show is the form of the output.
type Show struct {
	Interval  int // ms
	Verbose   int
	JSON      bool
	NoCheck   bool
	Plain     bool // numbers without units
	Deviation bool
	Framing   bool // count the bits of preamble, gap and CRC
	Dump      bool
	Histogram string
}

var functions = []string{"tx", "rx", "ping", "pong", "txseq", "rxseq"}

// bursts are the default bursts of functions. For ping it is 1, so that no frame waits for another.
var bursts = map[string]int{"": 512, "tx": 512, "rx": 512, "ping": 1, "pong": 512, "txseq": 512,
	"rxseq": 512}

// uses lists the functions that use a flag. All functions use the flags that are not listed. The
// self test is "".
var uses = map[string][]string{
	"length": senders, "rate": senders, "source": senders, "destination": senders,
	"random-source": senders, "random-destination": senders, "source-mac": senders,
	"destination-mac": {"tx", "ping", "txseq"}, "ipv4": senders, "ipv6": senders,
	"config": functions, "wait": functions, "header": functions,
	"pcap": {"tx"}, "rubbish": {"tx"}, "fragments": {"tx", "txseq"}, "fragment-size": {"tx"},
	"indirect": {"tx"}, "exit-idle": {"rx", "rxseq"}, "dump": {"tx", "rx", "txseq", "rxseq"},
	"no-check": {"rx"}, "histogram": {"", "rx", "ping"},
}

// senders are the functions that make frames.
var senders = []string{"", "tx", "ping", "txseq"}

// contents are flags about the contents of frames: a frame from a file does not use them.
var contents = []string{
	"length", "source", "destination", "source-mac", "destination-mac", "random-source",
	"random-destination", "ipv4", "ipv6",
}

// AddFlags defines the flags.
func (o *Options) AddFlags(f *pflag.FlagSet) {
	f.SortFlags = false
	f.StringVarP(&o.Function, "function", "f", "",
		"what to do: tx, rx, ping, pong, txseq or rxseq (default rx)")
	f.StringVarP(&o.Port, "interface", "i", "", "the port to use")
	o.Device.AddFlags(f, "gen")
	f.VarP(cli.NewValue(&o.Config, parseConfig, "tx[,rx[,rings]]", ""), "config", "C",
		"slots of tx and rx rings, and rings, of a port that opening makes")
	f.VarP(cli.NewValue(&o.Count, cli.ParseCount, "count", "0"), "count", "n",
		"stop after so many frames; 0 goes on for ever")
	f.DurationVar(&o.Duration, "time", 0,
		"stop after this time, such as 10s; 0 goes on for ever (the self test: five seconds)")
	f.VarP(cli.NewValue(&o.Rate, parseRate, "rate", ""), "rate", "R",
		"send so many frames a second, evenly spread; with bps behind it, bits "+
			"(default as fast as possible)")
	f.IntVarP(&o.Burst, "burst", "b", 0,
		"send and receive at most so many frames at a time (default 512, for ping 1)")
	cli.AddWaitFlag(f, &o.Wait, "wait",
		"seconds to wait for the link before starting (default 2 for interfaces, else 0)")
	f.BoolVarP(&o.ExitIdle, "exit-idle", "W", false,
		"stop receiving when nothing comes for a second after the first frame")
	f.IntVarP(&o.Threads, "threads", "p", 1, "use so many threads, each with a ring of its own")
	f.IntVarP(&o.Cores, "cores", "c", 0, "use at most so many cores (default all)")
	f.IntVarP(&o.Affinity, "affinity", "a", -1,
		"bind the first thread to this core, the others to the next ones")
	o.Frames.addFlags(f)
	o.Slots.addFlags(f)
	o.Show.addFlags(f)
	o.addOldFlags(f)
	f.Lookup("affinity").DefValue = "0" // the help shows no default for 0; the text describes it
}

func (o *Frames) addFlags(f *pflag.FlagSet) {
	hosts, macs := "ip[:port][-ip[:port]]", "mac[-mac]"
	o.Lengths.Most = testframe.MinLen
	o.DstMAC = cli.Must(testframe.ParseMACs("ff:ff:ff:ff:ff:ff"))
	f.VarP(&lengthFlag{Lengths: &o.Lengths}, "length", "l",
		"length of the frames in bytes, without CRC; given twice, random ones below the first, "+
			"from the second on")
	f.VarP(cli.NewValue(&o.Src, testframe.ParseHosts, hosts, ""), "source", "s",
		"source address, or a range that the frames go through (default "+srcIPv4+" or "+srcIPv6+")")
	f.VarP(cli.NewValue(&o.Dst, testframe.ParseHosts, hosts, ""), "destination", "d",
		"destination address, or a range (default "+dstIPv4+" or "+dstIPv6+")")
	f.VarP(cli.NewValue(&o.SrcMAC, testframe.ParseMACs, macs, ""), "source-mac", "S",
		"source MAC address, or a range (default the port's own)")
	f.VarP(cli.NewValue(&o.DstMAC, testframe.ParseMACs, macs, o.DstMAC.String()), "destination-mac",
		"D", "destination MAC address, or a range")
	f.BoolVarP(&o.V4, "ipv4", "4", false, "IPv4 (default)")
	f.BoolVarP(&o.V6, "ipv6", "6", false, "IPv6, as addresses of that kind also say")
	f.BoolVarP(&o.RandomSrc, "random-source", "z", false,
		"random source addresses and ports; of IPv6 the last 16 bits")
	f.BoolVarP(&o.RandomDst, "random-destination", "Z", false,
		"random destination addresses and ports")
	f.StringVarP(&o.File, "pcap", "P", "",
		"send the first packet of this pcap or pcapng file, zipped or not, as it is")
	f.BoolVarP(&o.Rubbish, "rubbish", "r", false, "send what happens to stand in the buffers")
}

func (o *Slots) addFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.Fragments, "fragments", "F", 1, "cut each frame into so many slots, 1 to 63")
	f.IntVarP(&o.Size, "fragment-size", "M", 0,
		"put at most so many bytes into a slot (default what fits)")
	f.BoolVarP(&o.Indirect, "indirect", "I", false,
		"leave frames in this program's memory and have the switch fetch them there")
	f.IntVarP(&o.Header, "header", "H", 0,
		"start each frame with an empty virtio-net header of 10 or 12 bytes, and have the switch know")
}

func (o *Show) addFlags(f *pflag.FlagSet) {
	f.IntVarP(&o.Interval, "interval", "T", 1000, "milliseconds between two reports")
	f.BoolVarP(&o.Plain, "no-units", "N", false, "write plain numbers, without K, M and G")
	f.BoolVarP(&o.Deviation, "deviation", "A", false,
		"report mean and standard deviation of the rate, too, over 15 reports")
	f.BoolVarP(&o.Framing, "framing", "B", false,
		"count CRC, preamble and gap, 24 bytes a frame, as bits")
	f.BoolVarP(&o.Dump, "dump", "X", false, "write every frame in hexadecimal to standard output")
	f.StringVar(&o.Histogram, "histogram", "",
		"write the latencies to this file, in the form of HdrHistogram")
	f.BoolVar(&o.NoCheck, "no-check", false, "count received frames, but do not look into them")
	f.BoolVar(&o.JSON, "json", false,
		"write reports and summary as JSON, one object a line, to standard output")
	f.CountVarP(&o.Verbose, "verbose", "v", "say what is opened and what is sent")
}

// Check fills in defaults, and returns an error if flags contradict each other or make no sense.
func (o *Options) Check(given *pflag.FlagSet) error {
	if o.Function == "" && o.Port != "" {
		o.Function = "rx"
	}
	if o.Burst == 0 {
		o.Burst = bursts[o.Function]
	}
	o.setOld()
	for _, check := range []func() error{
		o.checkFunction,
		func() error { return o.checkUses(given) },
		o.checkRun,
		func() error { return o.Frames.check(given.Changed("length")) },
		o.checkSlots,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	f := &o.Frames
	f.SrcName = cmp.Or(given.Lookup("source").Value.String(),
		defaultHosts(f.Src.IPv6(), srcIPv4, srcIPv6))
	f.DstName = cmp.Or(given.Lookup("destination").Value.String(),
		defaultHosts(f.Src.IPv6(), dstIPv4, dstIPv6))
	return nil
}
