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

// worker sends or receives on a goroutine of its own until it is done or the context ends.
type worker func(context.Context) error

// epoch is the zero of the times in counters. These times are monotonic: setting the clock does not
// change them.
var epoch = time.Now()

// counters are the counts of a worker. The worker writes them once a batch; the reporter reads
// them.
type counters struct {
	_                      [64]byte // the counters of two workers share no cache line
	frames, bytes, batches atomic.Uint64
	foreign, corrupt       atomic.Uint64
	dropped, unsent        atomic.Uint64
	disorder               atomic.Uint64 // sequence numbers received after later ones
	first, last            atomic.Int64  // times of the first and the last batch, in ns since epoch
	// least free slots of a ring since the last report, plus 1; 0 if unknown
	space atomic.Int64
}

// add counts a batch.
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

// addSpace records the free slots of a ring if they are the fewest since the last report. A report
// at the same time may miss one value.
func (c *counters) addSpace(n int) {
	if old := c.space.Load(); old == 0 || int64(n)+1 < old {
		c.space.Store(int64(n) + 1)
	}
}

// job is a run of gen: its options, its outputs, and its workers with their counters.
type job struct {
	*options.Options
	out, err io.Writer
	flows    testframe.Flows // addresses of the frames; set when the port is open

	workers []worker
	moved   []*counters // counters of the workers; for ping, of the answers
	// counters of the senders of ping and the self test, where moved counts receivers; else nil
	sent    []*counters
	window  uint64 // size of the self test's window
	tracker *testframe.Tracker
	latency *latency.Histogram
	unsent  *cli.Unsent // nil in the self test
	// how many frames all receivers together still have to receive; nil for no limit
	left *atomic.Int64
	stop context.CancelFunc // stops the workers
}

// newJob returns a job without workers.
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
		r := j.newSeqReceiver(ports[0])
		j.add(r.run, r.n)
	case "ping":
		j.addPinger(ports)
	case "pong":
		p := j.newPonger(ports[0])
		j.add(p.run, p.n)
	}
	j.printStart(ports[0])
	return nil
}

func (j *job) addPinger(ports []*netmap.Port) {
	b := j.builders()[0]
	p := &pinger{
		sender: j.newSender(0, ports[0], j.maker(ports[0], b)), answers: &counters{}, tracker: j.tracker,
		latency: j.latency,
		stream:  b.Stream(), header: j.Slots.Header, rings: readers(ports[0]),
	}
	j.add(p.run, p.answers)
	j.sent = []*counters{p.n}
}

// printStart writes what is about to be done, in pkt-gen's form.
func (j *job) printStart(p *netmap.Port) {
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
	fmt.Fprintf(j.out, "%s %s: %d queues, %d threads and %d cpus.\n", verb, j.Port, queues, j.Threads,
		runtime.GOMAXPROCS(0))
	if verb == "Sending on" {
		fmt.Fprintf(j.out, "%s -> %s (%v -> %v)\n", j.Frames.SrcName, j.Frames.DstName, j.flows.SrcMAC,
			j.flows.DstMAC)
	}
}

func (j *job) add(w worker, n *counters) {
	j.workers = append(j.workers, w)
	j.moved = append(j.moved, n)
}

func (j *job) newReceiver(p *netmap.Port) *receiver {
	r := &receiver{
		port: p, burst: j.Burst, left: j.left, stop: func() { j.stop() }, n: &counters{},
		tracker: j.tracker, latency: j.latency, runs: make([]testframe.Run, 0, j.Burst),
		header: j.Slots.Header, dump: j.newDump(),
		rings: readers(p),
	}
	if j.ExitIdle {
		r.silent = j.silent
	}
	return r
}

// silence is the time that a receiver with -W waits for the next frame.
const silence = time.Second

// silent reports whether a frame has come, but none within the last silence.
func (j *job) silent() bool {
	var last int64
	for _, n := range j.moved {
		last = max(last, n.last.Load())
	}
	return last > 0 && time.Since(epoch)-time.Duration(last) >= silence
}

// run runs the workers to their end, writes reports meanwhile, and returns the summary.
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
	if err != nil && j.totals().Frames == 0 { // nothing was sent or received
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

// work runs the workers. An error of one stops all.
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

// pin binds the calling goroutine, which is worker i, to its core.
func (j *job) pin(i int) error {
	if j.Affinity < 0 {
		return nil
	}
	runtime.LockOSThread() // without unlocking: the thread ends with the goroutine
	var set unix.CPUSet
	set.Set((j.Affinity + i) % runtime.NumCPU())
	return unix.SchedSetaffinity(0, &set)
}
