package rows

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// cyclesTarget is how many cycles a frame may cost our own code. 10 Gbit/s are 14.88 million frames
// a second, which is one frame per 67 cycles on a core of 1 GHz; at 60 cycles the core keeps up.
const cyclesTarget = 60

const cyclesText = `10 Gbit/s are 14.88 million of the shortest frames a second. On a core of 1 GHz
that is one frame per 67 cycles. This table has the part of our own code: from the program's head to
the rings that it shares with the kernel, on one core, in batches of 256. A substitute plays the
kernel, outside the measured time.

"Receive" and "send" are each a sync of one ring, and a program that hands its slots over. "Pass on"
is all that a bridge does with a frame: it is received, the program exchanges its buffer with one of
the tx ring, and it is sent. It counts as one frame, although two rings are synced for it. "Pass on,
both syncs" is the same without the exchange, which is the program's work.

TSC cycles are nanoseconds times the rate of the processor's time stamp counter, which is half of
bogomips in /proc/cpuinfo. They need no cycle counter, which virtual machines lack. They are too
many if the core runs slower than the counter, or does not belong to the virtual machine all the
time. "Core clock" is the core's speed in the same run, measured by a chain of multiplications of
three cycles each. Core cycles are counted by this clock. The kernel and the driver need more cycles
on top: see the next table.`

func ownCycles() contest.Comparison {
	c := contest.Comparison{
		Name: "cycles", Title: "14.88 Mpps below 1 GHz",
		Text: cyclesText,
		Metrics: []contest.Metric{
			{Name: "own code", Unit: "ns/frame", Digits: 2, Less: true},
			{Name: "own code", Unit: cyclesUnit, Digits: 0, Less: true},
			{Name: "core clock", Unit: "GHz", Digits: 2},
			{Name: "own code", Unit: coreCyclesUnit, Digits: 0, Less: true},
		},
		Plots: []int{1, 3},
	}
	for _, k := range []ownPart{
		{"receive", "receive", false}, {"send", "transmit", false},
		{"pass on", "bridge", false}, {"pass on, both syncs", "bridge", true},
	} {
		c.Contenders = append(c.Contenders, contest.Contender{
			Name: k.name, Ours: true, Needs: []lab.Need{steadyCounter}, Run: ownCost(k),
			Goals: []contest.Goal{{Metric: 1, AtMost: cyclesTarget}, {Metric: 3, AtMost: cyclesTarget}},
		})
	}
	return c
}

// ownPart is a contender, and its benchmark in package nic. The program's part may be left out.
type ownPart struct {
	name, benchmark string
	noProgram       bool
}

// The units of cycles: by the time stamp counter, and by the core's own clock.
const (
	cyclesUnit     = "TSC cycles/frame"
	coreCyclesUnit = "core cycles/frame"
)

// ownCost measures the cost of a frame without a kernel.
func ownCost(k ownPart) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		ghz, err := counterRate()
		if err != nil {
			return nil, err
		}
		ns, clock, err := k.measure(ctx, l, length)
		return []float64{ns, ns * ghz, clock, ns * clock}, err
	}
}

// measure runs one of the benchmarks of package nic that have no kernel, on the first core. It
// returns the time per frame in ns, and the core's clock in GHz.
func (k ownPart) measure(ctx context.Context, l *lab.Lab, length time.Duration) (
	ns, clock float64, err error) {
	program, err := l.NICTest(ctx)
	if err != nil {
		return 0, 0, err
	}
	pattern := "^Benchmark(Own|CoreClock)$/^(" + k.benchmark + "|multiply)$"
	found, err := benchmark(ctx, l.Helper("pinned", "0", program), length, pattern)
	if err != nil {
		return 0, 0, err
	}
	ns = found.get("BenchmarkOwn/"+k.benchmark, "ns/frame")
	if k.noProgram {
		ns -= found.get("BenchmarkOwn/"+k.benchmark, "program-ns/frame")
	}
	return ns, found.get("BenchmarkCoreClock/multiply", "GHz"), nil
}

const shareText = `The cycles of the kernel and the driver depend on both. Here one process sends
frames of 64 bytes into a veth pair, and it and the kernel have one core together: the kernel copies
each frame, and delivers it. "Own code" is "send" of the table above, measured in the same run. The
rest of the time is the kernel's, with the little in which the program writes the frame.
"` + bareName + `" has no framework: sendto on a socket like ours; frames are written once.`

// kernelShare compares the kernel's part of the time per frame, on a device that every machine has.
func kernelShare() contest.Comparison {
	return contest.Comparison{
		Name: "kernel-share", Title: "The kernel's share of a frame",
		Text: shareText,
		Metrics: []contest.Metric{
			{Name: "whole", Unit: "ns/frame", Digits: 0, Less: true},
			{Name: "own code", Unit: "ns/frame", Digits: 2, Less: true},
			{Name: "the kernel", Unit: "ns/frame", Digits: 0, Less: true},
			{Name: "the kernel", Unit: cyclesUnit, Digits: 0, Less: true},
		},
		Plots: []int{2},
		Contenders: []contest.Contender{
			{Name: oursName, Ours: true, Needs: []lab.Need{lab.Root, steadyCounter},
				Run: shareOf(nicSender, ownPart{benchmark: "transmit"})},
			{Name: bareName, Needs: []lab.Need{lab.Root, steadyCounter},
				Run: shareOf(bareSender, ownPart{})},
		},
	}
}

// shareOf measures a sender on the first core, and our code in it, if it has any.
func shareOf(sender func(*lab.Lab, string) []string, ours ownPart) contest.Measurement {
	pinnedSender := func(l *lab.Lab, iface string) []string {
		return l.Helper("pinned", append([]string{"0"}, sender(l, iface)...)...)
	}
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		ghz, err := counterRate()
		if err != nil {
			return nil, err
		}
		mpps, err := sendFrom(alone(pinnedSender))(ctx, l, length)
		if err != nil {
			return nil, err
		}
		whole, own := 1000/mpps[0], 0.0
		if ours.benchmark != "" {
			own, _, err = ours.measure(ctx, l, length)
		}
		return []float64{whole, own, whole - own, (whole - own) * ghz}, err
	}
}

var bogomips = regexp.MustCompile(`(?m)^bogomips\s*:\s*([0-9.]+)$`)

// counterRate returns the rate of the time stamp counter in GHz. The kernel derives bogomips from
// it if the counter is constant.
func counterRate() (float64, error) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return 0, err
	}
	return parseCounterRate(string(info))
}

func parseCounterRate(info string) (float64, error) {
	if !strings.Contains(info+" ", " constant_tsc ") {
		return 0, errors.New("needs a processor with a constant time stamp counter: " +
			"/proc/cpuinfo has no constant_tsc")
	}
	m := bogomips.FindStringSubmatch(info)
	if m == nil {
		return 0, fmt.Errorf("needs the rate of the time stamp counter: /proc/cpuinfo has no bogomips")
	}
	mips, err := strconv.ParseFloat(m[1], 64)
	if err != nil || mips < 100 {
		return 0, fmt.Errorf("needs the rate of the time stamp counter: /proc/cpuinfo has bogomips %q",
			m[1])
	}
	return mips / 2 / 1000, nil
}

func steadyCounter() error {
	if runtime.GOARCH != "amd64" {
		return fmt.Errorf("needs x86: other processors do not tell the length of a cycle")
	}
	_, err := counterRate()
	return err
}
