package rows

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap/bench/internal/contest"
	"github.com/seed-48afdc40/netmap/bench/internal/lab"
)

// The comparisons inside one process are the benchmarks of package embed. They run as anybody would
// run them.
const frameworkText = `Sender and receiver are in one goroutine of one process: this measures work
without wake-ups. With "sync" the application only moves its ring's head, so that the figure is the
framework's own cost. With "payload" it also writes 8 bytes into every frame, and checks them in
every frame received. The floor is a loop over the same rings and buffers, with the same
application, that only copies each frame. Its buffers have the distance that suits the caches best.`

const idleText = `Half of the syncs are of a tx ring, half of an rx ring. The floor locks and
unlocks the ring, with one atomic operation each, and looks at the words that a program may have
written.`

func frameworkComparisons() []contest.Comparison {
	return []contest.Comparison{
		{
			Name: "embed-vale", Title: "VALE switch in one process", Text: frameworkText,
			Metrics: frameMetrics, Plots: []int{1, 3},
			Contenders: overSizes("VALE", 1.4),
		}, {
			Name: "embed-pipe", Title: "Pipe in one process", Metrics: frameMetrics, Plots: []int{1, 3},
			Text: "The same over a pipe, which swaps buffers and copies no frame.\n" +
				"The floor copies slots, and copies them back.",
			Contenders: overSizes("Pipe", 1.5),
		}, {
			Name: "embed-broadcast", Title: "Broadcast to 8 ports of a VALE switch in one process",
			Metrics: frameMetrics, Plots: []int{1, 3},
			Text: "The same to all ports of a switch. Figures are per frame sent:\n" +
				"each is delivered eight times, and the floor copies it eight times.",
			Contenders: []contest.Contender{{
				Name: "60 bytes, batch 512", Ours: true, Run: frameBenchmark("VALEBroadcast8"),
				Goals: []contest.Goal{{Metric: payloadRatio, AtMost: 1.3}},
			}},
		}, {
			Name: "embed-idle", Title: "A sync with nothing to do",
			Text: idleText,
			Metrics: []contest.Metric{{Name: "idle sync", Unit: "ns", Digits: 1, Less: true},
				{Name: "idle sync", Unit: contest.FloorUnit, Digits: 2, Less: true}},
			Plots:      []int{0},
			Contenders: []contest.Contender{idle("pipe", "p{1"), idle("VALE", "vale0:tx")},
		},
	}
}

var frameMetrics = []contest.Metric{
	{Name: "sync", Unit: "ns/frame", Digits: 2, Less: true},
	{Name: "sync", Unit: contest.FloorUnit, Digits: 2, Less: true},
	{Name: "payload", Unit: "ns/frame", Digits: 2, Less: true},
	{Name: "payload", Unit: contest.FloorUnit, Digits: 2, Less: true},
}

// payloadRatio is the metric that has targets, because real programs read their frames.
const payloadRatio = 3

// overSizes makes a contender for each size and batch of the benchmark. Only batches of 512 have a
// target: the ratio most.
func overSizes(benchmark string, most float64) (all []contest.Contender) {
	for _, size := range []int{60, 1500} {
		for _, batch := range []int{1, 32, 256, 512, 1023} {
			k := contest.Contender{Name: fmt.Sprintf("%d bytes, batch %d", size, batch), Ours: true}
			k.Run = frameBenchmark(benchmark, strconv.Itoa(size), fmt.Sprintf("batch=%d", batch))
			if batch == 512 {
				k.Goals = []contest.Goal{{Metric: payloadRatio, AtMost: most}}
			}
			all = append(all, k)
		}
	}
	return all
}

// frameBenchmark runs both variants of a benchmark, and its floors.
func frameBenchmark(path ...string) contest.Measurement {
	return func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		found, err := frameworkBenchmark(ctx, l, length, path...)
		if err != nil {
			return nil, err
		}
		name := strings.Join(path, "/")
		var values []float64
		for _, variant := range []string{"/sync", "/payload"} {
			ns := found.get("Benchmark"+name+variant, "ns/frame")
			values = append(values, ns, ns/found.get(floorOf+name+variant, "ns/frame"))
		}
		return values, nil
	}
}

// floorOf is the prefix of a floor's name: BenchmarkFloorX is the floor of BenchmarkX.
const floorOf = "BenchmarkFloor"

func idle(name, port string) contest.Contender {
	k := contest.Contender{Name: name, Ours: true}
	k.Run = func(ctx context.Context, l *lab.Lab, length time.Duration) ([]float64, error) {
		found, err := frameworkBenchmark(ctx, l, length, "IdleSync", port)
		ns := found.get("BenchmarkIdleSync/"+port, "ns/op")
		return []float64{ns, ns / found.get(floorOf+"IdleSync/"+port, "ns/op")}, err
	}
	return k
}

// figures are the reported values, by benchmark and unit.
type figures map[string]map[string]float64

func (f figures) get(name, unit string) float64 {
	if v, ok := f[name][unit]; ok {
		return v
	}
	return math.NaN()
}

// frameworkBenchmark runs one benchmark of package embed, with its sub-benchmarks and its floor, in
// one process.
func frameworkBenchmark(ctx context.Context, l *lab.Lab, length time.Duration,
	path ...string) (figures, error) {
	program, err := l.EmbedTest(ctx)
	if err != nil {
		return nil, err
	}
	pattern := "^Benchmark(Floor)?" + quoted(path[0])
	for _, p := range path[1:] {
		pattern += "/^" + quoted(p)
	}
	return benchmark(ctx, []string{program}, length, pattern)
}

// benchmark runs the matching benchmarks of a test program. It takes several times the length: the
// test program searches for a number of iterations that takes that long.
func benchmark(ctx context.Context, program []string, length time.Duration,
	pattern string) (figures, error) {
	argv := append(program, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime",
		(length / 20).String())
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", pattern, err, out)
	}
	found := parseBenchmarks(string(out))
	if len(found) == 0 {
		return nil, fmt.Errorf("there is no benchmark %s", pattern)
	}
	return found, nil
}

// quoted returns a part of a pattern that matches only that name.
func quoted(name string) string {
	for _, c := range []string{"{", "}"} {
		name = strings.ReplaceAll(name, c, `\`+c)
	}
	return name + "$"
}

// processors matches the number of processors at the end of a name. On one core there is none.
var processors = regexp.MustCompile(`-[0-9]+$`)

// parseBenchmarks reads lines such as "BenchmarkX/y-2 1000 5.1 ns/frame 196 Mframes/s".
func parseBenchmarks(out string) figures {
	all := figures{}
	for text := range strings.Lines(out) {
		f := strings.Fields(text)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := f[0]
		if m := processors.FindStringIndex(name); m != nil {
			name = name[:m[0]]
		}
		all[name] = map[string]float64{}
		for i := 2; i+1 < len(f); i += 2 {
			if v, err := strconv.ParseFloat(f[i], 64); err == nil {
				all[name][f[i+1]] = v
			}
		}
	}
	return all
}
