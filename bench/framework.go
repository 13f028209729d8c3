package main

import (
	"context"
	"fmt"
	"math"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// The comparisons inside of one process are the benchmarks of package embed, which are run as anybody would run them.
const frameworkText = `Sender and receiver in one goroutine of one process: work and no wake-ups. For "sync" the application only moves its
ring's head, so that what is left is the framework's own cost; for "payload" it also writes 8 bytes into every frame, and
reads and checks them in every frame received.`

func frameworkComparisons() []comparison {
	return []comparison{
		{
			name: "embed-vale", title: "VALE switch in one process", text: frameworkText, metrics: frameMetrics, plots: []int{0, 1},
			contenders: overSizes("VALE", []goal{{metric: 0, atMost: 8}, {metric: 1, atLeast: 60}}),
		}, {
			name: "embed-pipe", title: "Pipe in one process", text: "The same over a pipe, which swaps buffers and copies no frame.", metrics: frameMetrics, plots: []int{0, 1},
			contenders: overSizes("Pipe", []goal{{metric: 0, atMost: 2}, {metric: 1, atLeast: 200}}),
		}, {
			name: "embed-broadcast", title: "Broadcast to 8 ports of a VALE switch in one process", metrics: frameMetrics, plots: []int{0, 1},
			text:       "The same to all ports of a switch. Figures are per frame sent: each is delivered eight times.",
			contenders: []contender{{name: "60 bytes, batch 512", ours: true, run: frameBenchmark("VALEBroadcast8")}},
		}, {
			name: "embed-idle", title: "A sync with nothing to do", text: "Half of the syncs are of a tx ring, half of an rx ring.",
			metrics:    []metric{{"idle sync", "ns", 1}},
			plots:      []int{0},
			contenders: []contender{idle("pipe", "p{1"), idle("VALE", "vale0:tx")},
		},
	}
}

var frameMetrics = []metric{{"sync", "ns/frame", 2}, {"payload", "Mframes/s", 1}}

// overSizes are the benchmark's sizes and batches. The goals are those of small frames in batches of 512.
func overSizes(benchmark string, goals []goal) (all []contender) {
	for _, size := range []int{60, 1500} {
		for _, batch := range []int{1, 32, 256, 512, 1023} {
			k := contender{name: fmt.Sprintf("%d bytes, batch %d", size, batch), ours: true}
			k.run = frameBenchmark(benchmark, strconv.Itoa(size), fmt.Sprintf("batch=%d", batch))
			if size == 60 && batch == 512 {
				k.goals = goals
			}
			all = append(all, k)
		}
	}
	return all
}

// frameBenchmark runs both variants of a benchmark.
func frameBenchmark(path ...string) func(context.Context, *lab, time.Duration) ([]float64, error) {
	return func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		found, err := lab.benchmark(ctx, length, path...)
		if err != nil {
			return nil, err
		}
		name := "Benchmark" + strings.Join(path, "/")
		return []float64{found.get(name+"/sync", "ns/frame"), found.get(name+"/payload", "Mframes/s")}, nil
	}
}

func idle(name, port string) contender {
	k := contender{name: name, ours: true, goals: []goal{{atMost: 30}}}
	k.run = func(ctx context.Context, lab *lab, length time.Duration) ([]float64, error) {
		found, err := lab.benchmark(ctx, length, "IdleSync", port)
		return []float64{found.get("BenchmarkIdleSync/"+port, "ns/op")}, err
	}
	return k
}

// figures are what benchmarks reported, by name and unit.
type figures map[string]map[string]float64

func (f figures) get(name, unit string) float64 {
	if v, ok := f[name][unit]; ok {
		return v
	}
	return math.NaN()
}

// benchmark runs one benchmark of package embed, with all that is beneath it. A benchmark searches for a number of
// iterations that takes long enough, so that it takes several times as long as it is told.
func (l *lab) benchmark(ctx context.Context, length time.Duration, path ...string) (figures, error) {
	program, err := l.embedTest(ctx)
	if err != nil {
		return nil, err
	}
	pattern := "^Benchmark" + quoted(path[0])
	for _, p := range path[1:] {
		pattern += "/^" + quoted(p)
	}
	cmd := exec.CommandContext(ctx, program, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", (length / 20).String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", pattern, err, out)
	}
	found := parseBenchmarks(string(out))
	if len(found) == 0 {
		return nil, fmt.Errorf("package embed has no benchmark %s", pattern)
	}
	return found, nil
}

// quoted is a part of a pattern that matches that name only.
func quoted(name string) string {
	for _, c := range []string{"{", "}"} {
		name = strings.ReplaceAll(name, c, `\`+c)
	}
	return name + "$"
}

// parseBenchmarks reads lines such as "BenchmarkX/y-2  1000  5.1 ns/frame  196 Mframes/s".
func parseBenchmarks(out string) figures {
	all := figures{}
	for text := range strings.Lines(out) {
		f := strings.Fields(text)
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := f[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i] // without the number of processors
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
