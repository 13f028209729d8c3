package rows

import (
	"context"
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

// cyclesTarget is what a frame may cost our own code: at 60 cycles, and 67 between two frames, a
// core of 1 GHz keeps up with the 14.88 million frames a second of 10 Gbit/s.
const cyclesTarget = 60

func ownCycles() contest.Comparison {
	c := contest.Comparison{
		Name: "cycles", Title: "14.88 Mpps below 1 GHz",
		Text: `10 Gbit/s are 14.88 million of the shortest frames a second, or 67 cycles for each on a core of 1 GHz. What our own code needs
of them is measured between the program's head and the rings that it shares with the kernel, on one core, in batches of 256; a
stand-in plays the kernel, outside of the measured time. Passing on is receiving, exchanging buffers and sending. Cycles are nanoseconds
times the rate of the processor's time stamp counter, which /proc/cpuinfo tells by its bogomips, twice the rate. That needs no
cycle counter, which virtual machines lack, and is too much where the core is slower, or not the virtual machine's all the time. "Core
clock" is how fast the core ran in the same run, by a chain of multiplications of three cycles each, and core cycles are counted by it. What the kernel and the driver need comes on top,
and depends on both: on veth, where the kernel copies each frame, it is the whole of "` + bareName + `" in the tables above.`,
		Metrics: []contest.Metric{
			{Name: "own code", Unit: "ns/frame", Digits: 2, Less: true}, {Name: "own code", Unit: cyclesUnit, Digits: 0, Less: true},
			{Name: "core clock", Unit: "GHz", Digits: 2}, {Name: "own code", Unit: coreCyclesUnit, Digits: 0, Less: true},
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

// The units of cycles, by the time stamp counter and by the core's own clock.
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

// counterRate is the rate of the time stamp counter in GHz. The kernel derives bogomips from it
// where the counter is constant.
func counterRate() (float64, error) {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return 0, err
	}
	return parseCounterRate(string(info))
}

func parseCounterRate(info string) (float64, error) {
	if !strings.Contains(info+" ", " constant_tsc ") {
		return 0, fmt.Errorf("needs a processor with a constant time stamp counter: /proc/cpuinfo has no constant_tsc")
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
		return fmt.Errorf("needs x86: elsewhere nothing tells how long a cycle is")
	}
	_, err := counterRate()
	return err
}
