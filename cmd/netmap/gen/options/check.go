package options

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/portname"
)

func (o *Options) checkFunction() error {
	switch {
	case o.Function != "" && !slices.Contains(functions, o.Function):
		return fmt.Errorf("there is no function %q: -f takes one of %s", o.Function,
			strings.Join(functions, ", "))
	case o.Function != "" && o.Port == "":
		return fmt.Errorf("function %s needs a port: name it with -i, such as -i netmap:eth0", o.Function)
	case strings.HasPrefix(o.Port, "tap:"), strings.HasPrefix(o.Port, "pcap:"):
		kind, name, _ := strings.Cut(o.Port, ":")
		return fmt.Errorf("gen cannot open %s of %s: name the interface, -i netmap:%s",
			kind, name, name)
	case o.Port == "":
		return nil
	}
	var err error
	o.Name, err = cli.ParsePort(o.Port)
	switch {
	case err != nil:
		return fmt.Errorf("-i: %w", err)
	case o.Threads > 1 && o.Name.Mode != abi.RegAllNIC:
		return fmt.Errorf("-p gives each thread its own ring: name the port without a ring, not -i %s",
			o.Port)
	}
	return nil
}

// checkUses finds flags that the function does not use. Like pkt-gen, gen ignores them, but it
// names them. For the self test they are an error: pkt-gen has none, so no script depends on it.
func (o *Options) checkUses(given *pflag.FlagSet) error {
	given.Visit(func(f *pflag.Flag) {
		list, ok := uses[f.Name]
		replaced := o.Frames.File != "" && slices.Contains(contents, f.Name)
		if ok && !slices.Contains(list, o.Function) || replaced {
			o.Unused = append(o.Unused, flagName(f))
		}
	})
	if o.Function == "" && len(o.Unused) > 0 {
		return fmt.Errorf("the self test has no use for %s: say what to do with -f and -i",
			strings.Join(o.Unused, ", "))
	}
	return nil
}

func flagName(f *pflag.Flag) string {
	if f.Shorthand != "" {
		return "-" + f.Shorthand
	}
	return "--" + f.Name
}

func (o *Options) checkRun() error {
	switch {
	case o.Burst < 1:
		return fmt.Errorf("a burst of %d frames makes no sense: -b takes 1 or more", o.Burst)
	case o.Threads < 1:
		return fmt.Errorf("%d threads cannot work: -p takes 1 or more", o.Threads)
	case o.Threads > 1 && o.Function != "tx" && o.Function != "rx":
		return errors.New("only tx and rx work with several threads: leave -p out")
	case o.Duration < 0:
		return fmt.Errorf("a time of %v makes no sense: --time takes 0 or more", o.Duration)
	case o.Show.Interval < 1:
		return fmt.Errorf("reports every %d ms make no sense: -T takes 1 or more", o.Show.Interval)
	case o.Show.Dump && o.Show.JSON:
		return errors.New("-X and --json both want standard output: leave one out")
	case o.Cores < 0 || o.Cores > runtime.NumCPU():
		return fmt.Errorf("there are no %d cores here: -c takes 1 to %d", o.Cores, runtime.NumCPU())
	case o.Affinity >= runtime.NumCPU():
		return fmt.Errorf("there is no core %d here: -a takes 0 to %d", o.Affinity, runtime.NumCPU()-1)
	}
	return nil
}

// check fills in addresses and lengths, or reads the frame from the file.
func (o *Frames) check(hasLength bool) error {
	v6 := o.V6 || o.Src.IPv6() || o.Dst.IPv6()
	switch {
	case o.V4 && v6:
		return errors.New("-4 and IPv6 exclude each other: leave -4 out")
	case o.Src == testframe.Hosts{}:
		o.Src = cli.Must(testframe.ParseHosts(defaultHosts(v6, srcIPv4, srcIPv6)))
	case o.Src.IPv6() != v6:
		return fmt.Errorf("-s %v is not an IPv6 address", o.Src)
	}
	if o.Dst == (testframe.Hosts{}) {
		o.Dst = cli.Must(testframe.ParseHosts(defaultHosts(v6, dstIPv4, dstIPv6)))
	} else if o.Dst.IPv6() != v6 {
		return fmt.Errorf("-d %v is not an IPv6 address", o.Dst)
	}
	if o.File != "" {
		if o.Rubbish {
			return errors.New("-P and -r exclude each other: leave one out")
		}
		return o.readFile()
	}
	return o.checkLengths(v6, hasLength)
}

// The addresses of frames by default.
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

// MarkedLen is the length of the shortest frame that carries a mark.
func (o *Frames) MarkedLen() int {
	if o.Src.IPv6() {
		return testframe.MinLen6
	}
	return testframe.MinLen
}

// numberedLen is the length of the shortest frame of txseq.
func (o *Frames) numberedLen() int { return o.MarkedLen() - testframe.MarkLen + 4 }

func (o *Options) checkSlots() error {
	l, s := o.Frames.Lengths, o.Slots
	switch {
	case s.Fragments < 1 || s.Fragments > 63:
		return fmt.Errorf("no frame has %d fragments: -F takes 1 to 63", s.Fragments)
	case s.Size < 0 || s.Size > 0 && s.Size < frames.MinLen:
		return fmt.Errorf("fragments of %d bytes make no sense: -M takes %d or more", s.Size,
			frames.MinLen)
	case s.Header != 0 && s.Header != 10 && s.Header != 12:
		return fmt.Errorf("there is no virtio-net header of %d bytes: -H takes 0, 10 or 12", s.Header)
	case (s.Header > 0 || s.Indirect) && o.Name.Kind() != portname.VALE:
		return fmt.Errorf("-H and -I are for ports of VALE switches, and %s is not one", o.Port)
	case s.Indirect && o.Frames.Rubbish:
		return errors.New("-I and -r exclude each other: leave one out")
	case s.Indirect && (s.Fragments > 1 || s.Size > 0):
		return errors.New("-I leaves frames in one piece: leave -F and -M out")
	case o.Function == "txseq" && l.Least() < o.Frames.numberedLen():
		return fmt.Errorf("the number of a frame of txseq does not fit into %d bytes: "+
			"-l takes %d or more", l.Least(), o.Frames.numberedLen())
	case o.Function == "txseq" && o.Count%uint64(s.Fragments) != 0:
		return fmt.Errorf("txseq sends packets of %d slots: -n takes a multiple of -F", s.Fragments)
	case (o.Function == "ping" || o.Function == "") && l.Least() < o.Frames.MarkedLen():
		return fmt.Errorf("frames of %d bytes have no room for the mark by which gen recognizes them: "+
			"-l takes %d or more", l.Least(), o.Frames.MarkedLen())
	}
	return nil
}
