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
kernel, outside the measured time. "Pass on" means to receive, exchange buffers and send.

TSC cycles are nanoseconds times the rate of the processor's time stamp counter, which is half of
bogomips in /proc/cpuinfo. They need no cycle counter, which virtual machines lack. They are too
many if the core runs slower than the counter, or does not belong to the virtual machine all the
time. "Core clock" is the core's speed in the same run, measured by a chain of multiplications of
three cycles each. Core cycles are counted by this clock. The kernel and the driver need more cycles
on top. On veth, where the kernel copies each frame, they are all of "` + bareName + `" in the
tables above.`

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
	for _, k := range [][2]string{{"receive", "receive"}, {"send", "transmit"},
		{"pass on", "bridge"}} {
		c.Contenders = append(c.Contenders, contest.Contender{
			Name: k[0], Ours: true, Needs: []lab.Need{steadyCounter}, Run: ownCost(k[1]),
			Goals: []contest.Goal{{Metric: 1, AtMost: cyclesTarget}, {Metric: 3, AtMost: cyclesTarget}},
		})
	}
	return c
}

// The units of cycles: by the time stamp counter, and by the core's own clock.
const (
	cyclesUnit     = "TSC cycles/frame"
	coreCyclesUnit = "core cycles/frame"
)

// ownCost runs one of the benchmarks of package nic that have no kernel, on one core.
func ownCost(name string) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		program, err := l.NICTest(ctx)
		if err != nil {
			return nil, err
		}
		ghz, err := counterRate()
		if err != nil {
			return nil, err
		}
		argv := l.Helper("pinned", "0", program)
		found, err := benchmark(ctx, argv, length, "^Benchmark(Own|CoreClock)$/^("+name+"|multiply)$")
		if err != nil {
			return nil, err
		}
		ns := found.get("BenchmarkOwn/"+name, "ns/frame")
		clock := found.get("BenchmarkCoreClock/multiply", "GHz")
		return []float64{ns, ns * ghz, clock, ns * clock}, nil
	}
}

var bogomips = regexp.MustCompile(`(?m)^bogomips\s*:\s*([0-9.]+)$`)

// counterRate is the rate of the time stamp counter in GHz. The kernel derives bogomips from it if
// the counter is constant.
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
