package gen

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/options"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/record"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// worker moves frames on a goroutine of its own until it is done or the context ends.
type worker func(context.Context) error

// epoch is where the times in counters start: they are not to jump when somebody sets the clock.
var epoch = time.Now()

// counters are what a worker counts, written once a batch by the worker, read by the reporter.
type counters struct {
	_                      [64]byte // the counters of two workers share no cache line
	frames, bytes, batches atomic.Uint64
	foreign, corrupt       atomic.Uint64
	dropped, unsent        atomic.Uint64
	disorder               atomic.Uint64 // numbers that came after later ones
	first, last            atomic.Int64  // when the first batch and the last one came or went, in ns since epoch
	space                  atomic.Int64  // the least number of free slots of a ring since the last report, plus 1; 0 is none
}

// add books a batch.
func (c *counters) add(now time.Time, frames, bytes int) {
	at := int64(now.Sub(epoch))
	if c.first.Load() == 0 {
		c.first.Store(at)
	}
	c.last.Store(at)
	c.frames.Add(uint64(frames))
	c.bytes.Add(uint64(bytes))
	c.batches.Add(1)
}

// noteSpace notes how many slots of a ring are free. A report that comes in between may miss one note.
func (c *counters) noteSpace(n int) {
	if old := c.space.Load(); old == 0 || int64(n)+1 < old {
		c.space.Store(int64(n) + 1)
	}
}

// job is a run of gen: its options, where it writes, its workers and what they count.
type job struct {
	*options.Options
	out, err io.Writer
	flows    testframe.Flows // addresses of the frames, once the port is open

	workers []worker
	moved   []*counters // of the frames that the function is about
	sent    []*counters // of those sent, where these are others
	window  uint64      // of the self test
	tracker *testframe.Tracker
	latency *latency.Histogram
	unsent  *cli.Unsent        // nil for the self test
	left    *atomic.Int64      // frames that the receivers are to receive; nil is for ever
	stop    context.CancelFunc // ends the workers
}

// newJob is a job without workers.
func newJob(o *options.Options, out, err io.Writer) *job {
	j := &job{Options: o, out: out, err: err, latency: latency.New()}
	if o.Function == "ping" || o.Function == "" || o.Function == "rx" && !o.Show.NoCheck {
		j.tracker = &testframe.Tracker{}
	}
	if (o.Function == "rx" || o.Function == "rxseq") && o.Count > 0 {
		j.left = &atomic.Int64{}
		j.left.Store(int64(min(o.Count, math.MaxInt64)))
	}
	return j
}

// open opens the ports and makes the workers of the function.
func (j *job) open(open cli.Opener) error {
	ports, err := j.openPorts(open)
	if err != nil {
		return err
	}
	j.unsent = cli.NewUnsent(ports[0])
	switch j.Function {
	case "tx", "txseq":
		for i, m := range j.makers(ports) {
			s := j.newSender(i, ports[i], m)
			j.add(s.run, s.n)
		}
	case "rx":
		for _, p := range ports {
			r := j.newReceiver(p)
			j.add(r.run, r.n)
		}
	case "rxseq":
		r := j.newSequel(ports[0])
		j.add(r.run, r.n)
	case "ping":
		j.addPinger(ports)
	case "pong":
		p := j.newPonger(ports[0])
		j.add(p.run, p.n)
	}
	j.introduce(ports[0])
	return nil
}

func (j *job) addPinger(ports []*netmap.Port) {
	b := j.builders()[0]
	p := &pinger{
		sender: j.newSender(0, ports[0], j.maker(ports[0], b)), answers: &counters{}, tracker: j.tracker, latency: j.latency,
		stream: b.Stream(), header: j.Slots.Header, rings: readers(ports[0]),
	}
	j.add(p.run, p.answers)
	j.sent = []*counters{p.n}
}

// introduce says what is about to be done, in the words of pkt-gen.
func (j *job) introduce(p *netmap.Port) {
	if j.Show.JSON {
		return
	}
	answer := p.Request()
	queues, verb := answer.RxRings+answer.HostRxRings, "Working on"
	switch j.Function {
	case "tx", "txseq":
		queues, verb = answer.TxRings+answer.HostTxRings, "Sending on"
	case "rx", "rxseq":
		verb = "Receiving from"
	}
	fmt.Fprintf(j.out, "%s %s: %d queues, %d threads and %d cpus.\n", verb, j.Port, queues, j.Threads, runtime.GOMAXPROCS(0))
	if verb == "Sending on" {
		fmt.Fprintf(j.out, "%s -> %s (%v -> %v)\n", j.Frames.SrcName, j.Frames.DstName, j.flows.SrcMAC, j.flows.DstMAC)
	}
}

func (j *job) add(w worker, n *counters) {
	j.workers = append(j.workers, w)
	j.moved = append(j.moved, n)
}

func (j *job) newReceiver(p *netmap.Port) *receiver {
	r := &receiver{
		port: p, burst: j.Burst, left: j.left, stop: func() { j.stop() }, n: &counters{},
		tracker: j.tracker, latency: j.latency, runs: make([]testframe.Run, 0, j.Burst), header: j.Slots.Header, dump: j.newDump(),
		rings: readers(p),
	}
	if j.ExitIdle {
		r.silent = j.silent
	}
	return r
}

// silence is how long nothing comes before -W ends it.
const silence = time.Second

// silent says whether frames came, and have ceased to.
func (j *job) silent() bool {
	var last int64
	for _, n := range j.moved {
		last = max(last, n.last.Load())
	}
	return last > 0 && time.Since(epoch)-time.Duration(last) >= silence
}

// run runs the workers to their end, reports on the way, and returns the summary.
func (j *job) run(ctx context.Context) (*record.Record, error) {
	ctx, j.stop = context.WithCancel(ctx)
	defer j.stop()
	if j.Duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, j.Duration)
		defer cancel()
	}
	r := newReporter(j)
	done := make(chan error, 1)
	go func() { done <- j.work(ctx) }()
	err := r.until(done)
	if err != nil && j.totals().Frames == 0 { // it did not begin
		return nil, err
	}
	return r.summary(), errors.Join(err, j.writeHistogram())
}

func (j *job) writeHistogram() error {
	path := j.Show.Histogram
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(j.latency.WriteHistogram(f), f.Close())
}

// work runs the workers. The first error ends them all.
func (j *job) work(ctx context.Context) error {
	errs := make([]error, len(j.workers))
	var wg sync.WaitGroup
	for i, w := range j.workers {
		wg.Go(func() {
			errs[i] = j.pin(i)
			if errs[i] == nil {
				errs[i] = w(ctx)
			}
			if errs[i] != nil {
				j.stop()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pin binds the calling goroutine, worker i, to its core.
func (j *job) pin(i int) error {
	if j.Affinity < 0 {
		return nil
	}
	runtime.LockOSThread() // for good: the thread ends with the goroutine
	var set unix.CPUSet
	set.Set((j.Affinity + i) % runtime.NumCPU())
	return unix.SchedSetaffinity(0, &set)
}
