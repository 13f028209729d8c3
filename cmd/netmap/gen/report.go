package gen

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// framing is what the wire adds to a frame: CRC, preamble and gap.
const framing = 4 + 20

// record is a report, of the time since the one before, or the summary, of all the time.
type record struct {
	Type     string    `json:"type"` // "report" or "summary"
	Time     time.Time `json:"time"`
	Function string    `json:"function"`
	Port     string    `json:"port,omitempty"`
	Threads  int       `json:"threads"`
	Usec     int64     `json:"usec"` // how much time it is about
	Frames   uint64    `json:"frames"`
	Bytes    uint64    `json:"bytes"`
	Batches  uint64    `json:"batches"`
	PPS      float64   `json:"pps"`
	BPS      float64   `json:"bps"`
	AvgBatch float64   `json:"avg_batch"`
	MinSpace int64     `json:"min_space"`          // free slots of the fullest rx ring
	Drops    uint64    `json:"drops"`              // frames that are known to be lost
	Disorder uint64    `json:"disorder,omitempty"` // rxseq: numbers that came after later ones
	Sent     uint64    `json:"sent,omitempty"`
	Window   uint64    `json:"window,omitempty"`
	Unsent   uint64    `json:"unsent,omitempty"` // frames still in the tx rings at the end

	Refused map[string]uint64 `json:"refused,omitempty"` // frames that the port took and could not send, since the start, by reason

	Check   *checks               `json:"check,omitempty"` // since the start
	Latency *latency.Distribution `json:"latency_ns,omitempty"`
	Odd     uint64                `json:"latency_odd,omitempty"` // frames whose time makes no sense
}

// checks is what became of the frames, as far as the receiver can tell.
type checks struct {
	testframe.Counts
	Corrupt uint64 `json:"corrupt"`
	Foreign uint64 `json:"foreign"`
}

// totals are the books so far.
func (j *job) totals() record {
	r := record{Time: time.Now(), Function: j.o.function, Port: j.o.port, Threads: len(j.moved), Window: j.window}
	if r.Function == "" {
		r.Function = "self-test"
	}
	var corrupt, foreign uint64
	for _, n := range j.moved {
		r.Frames += n.frames.Load()
		r.Bytes += n.bytes.Load()
		r.Batches += n.batches.Load()
		r.Drops += n.dropped.Load()
		r.Disorder += n.disorder.Load()
		r.Unsent += n.unsent.Load()
		corrupt += n.corrupt.Load()
		foreign += n.foreign.Load()
		if space := n.space.Swap(0); space > 0 {
			r.MinSpace += space - 1
		}
	}
	for _, n := range j.sent {
		r.Sent += n.frames.Load()
		r.Unsent += n.unsent.Load()
	}
	if j.unsent != nil {
		r.Refused = j.unsent.Read()
		r.Drops += cli.SumDrops(r.Refused)
	}
	if j.tracker != nil {
		r.Check = &checks{j.tracker.Counts(), corrupt, foreign}
		r.Drops += r.Check.Lost
	}
	return r
}

// rates fills in what follows from the counts and the time.
func (r *record) rates(t time.Duration) {
	r.Usec = t.Microseconds()
	if r.Frames > 0 {
		s := max(t, time.Microsecond).Seconds()
		r.PPS, r.BPS = float64(r.Frames)/s, float64(r.Bytes)*8/s
	}
	if r.Batches > 0 {
		r.AvgBatch = float64(r.Frames) / float64(r.Batches)
	}
}

// since is the report of what happened after old.
func (r record) since(old record) record {
	r.Type = "report"
	r.Frames -= old.Frames
	r.Bytes -= old.Bytes
	r.Batches -= old.Batches
	r.Sent -= old.Sent
	r.Disorder -= old.Disorder
	r.Drops -= min(old.Drops, r.Drops) // frames thought lost may come later
	r.rates(r.Time.Sub(old.Time))
	return r
}

// finish makes the totals a summary.
func (j *job) finish(r record) record {
	r.Type = "summary"
	if r.Function == "tx" || r.Function == "txseq" {
		r.Frames, r.Bytes = cli.Sent(r.Frames, r.Bytes, r.Refused)
	}
	r.rates(j.elapsed())
	d, odd := j.latency.Total()
	if r.Odd = odd; d.Count > 0 {
		r.Latency = &d
	}
	if j.sent != nil { // it is known how many there should be
		r.Check.Lost = r.Sent - min(r.Check.Seen, r.Sent)
		r.Drops = r.Check.Lost
	}
	return r
}

// elapsed is the time from the first frame to the last.
func (j *job) elapsed() time.Duration {
	var first, last int64
	for _, n := range j.moved {
		if f := n.first.Load(); f > 0 && (first == 0 || f < first) {
			first = f
		}
		last = max(last, n.last.Load())
	}
	return time.Duration(last - first)
}

// reporter writes records: lines in the form of pkt-gen, whose fields scripts know, to standard error and the summary to
// standard output, or all of it as JSON to standard output.
type reporter struct {
	j     *job
	start time.Time
	last  record
	style style
	bar   *bar // nil where nobody watches
}

func newReporter(j *job) *reporter {
	r := &reporter{j: j, start: time.Now(), last: j.totals(), style: style{plain: j.o.show.plain}}
	if j.o.show.framing {
		r.style.framing = framing
	}
	if j.o.show.deviation {
		r.style.window = &deviation{}
	}
	if o := j.o; !o.show.json && !o.show.dump && cli.IsTerminal(o.err) && (o.count > 0 || o.duration > 0) {
		r.bar = newBar(o.err)
	}
	return r
}

// until reports until done says that the work is over.
func (r *reporter) until(done <-chan error) error {
	report := time.NewTicker(time.Duration(r.j.o.show.interval) * time.Millisecond)
	defer report.Stop()
	var redraw <-chan time.Time
	if r.bar != nil {
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		redraw = t.C
		defer r.bar.clear()
	}
	for {
		select {
		case <-report.C:
			r.report()
		case <-redraw:
			r.bar.draw(r.progress())
		case err := <-done:
			return err
		}
	}
}

func (r *reporter) report() {
	now := r.j.totals()
	rec := now.since(r.last)
	if d := r.j.latency.Recent(); d.Count > 0 {
		rec.Latency = &d
	}
	r.last = now
	if r.j.o.show.json {
		r.write(rec)
		return
	}
	if r.bar != nil {
		r.bar.clear()
	}
	fmt.Fprintln(r.j.o.err, r.style.line(rec))
	if rec.Function == "ping" && rec.Latency != nil {
		r.j.o.say("ping_body", "count %d RTT: min %d av %.0f ns", rec.Latency.Count, rec.Latency.Min, rec.Latency.Mean)
		r.j.o.say("ping_body", "k: %s", octaves(rec.Latency.Octaves))
	}
}

// progress is how much of the work is done, from 0 to 1.
func (r *reporter) progress() (p float64) {
	if o := r.j.o; o.count > 0 {
		var frames uint64
		for _, n := range r.j.moved {
			frames += n.frames.Load()
		}
		p = float64(frames) / float64(o.count)
	}
	if d := r.j.o.duration; d > 0 {
		p = max(p, float64(time.Since(r.start))/float64(d))
	}
	return min(p, 1)
}

// summary writes the summary and returns it.
func (r *reporter) summary() *record {
	rec := r.j.finish(r.j.totals())
	if r.j.o.show.json {
		r.write(rec)
	} else {
		fmt.Fprint(r.j.o.out, r.style.text(rec))
	}
	if rec.Function == "ping" && rec.Latency != nil {
		r.j.o.say("ping_body", "RTT over %d packets: min %d av %.0f ns", rec.Latency.Count, rec.Latency.Min, rec.Latency.Mean)
	}
	return &rec
}

func (r *reporter) write(rec record) { json.NewEncoder(r.j.o.out).Encode(rec) }
