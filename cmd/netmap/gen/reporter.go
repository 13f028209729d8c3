package gen

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/record"
)

// totals returns the counts so far.
func (j *job) totals() record.Record {
	r := record.Record{Time: time.Now(), Function: j.Function, Port: j.Port, Threads: len(j.moved),
		Window: j.window}
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
		r.Check = &record.Checks{Counts: j.tracker.Counts(), Corrupt: corrupt, Foreign: foreign}
		r.Drops += r.Check.Lost
	}
	return r
}

// finish turns totals into the summary.
func (j *job) finish(r record.Record) record.Record {
	r.Type = "summary"
	if r.Function == "tx" || r.Function == "txseq" {
		r.Frames, r.Bytes = cli.Sent(r.Frames, r.Bytes, r.Refused)
	}
	r.Rates(j.elapsed())
	d, odd := j.latency.Total()
	if r.Odd = odd; d.Count > 0 {
		r.Latency = &d
	}
	if j.sent != nil { // the number of frames sent is known
		r.Check.Lost = r.Sent - min(r.Check.Seen, r.Sent)
		r.Drops = r.Check.Lost
	}
	return r
}

// elapsed returns the time from the first batch to the last.
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

// reporter writes records. As text, reports are lines in pkt-gen's form on standard error, and the
// summary is on standard output. As JSON, both are on standard output.
type reporter struct {
	j     *job
	start time.Time
	last  record.Record
	style record.Style
	bar   *cli.Bar // nil if standard error is no terminal, or shows other output
}

func newReporter(j *job) *reporter {
	r := &reporter{j: j, start: time.Now(), last: j.totals(), style: record.Style{Plain: j.Show.Plain}}
	if j.Show.Framing {
		r.style.Framing = record.Framing
	}
	if j.Show.Deviation {
		r.style.Spread = &record.Deviation{}
	}
	if !j.Show.JSON && !j.Show.Dump && cli.IsTerminal(j.err) && (j.Count > 0 || j.Duration > 0) {
		r.bar = cli.NewBar(j.err)
	}
	return r
}

// until writes reports until done yields the result of the workers.
func (r *reporter) until(done <-chan error) error {
	report := time.NewTicker(time.Duration(r.j.Show.Interval) * time.Millisecond)
	defer report.Stop()
	var redraw <-chan time.Time
	if r.bar != nil {
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		redraw = t.C
		defer r.bar.Clear()
	}
	for {
		select {
		case <-report.C:
			r.report()
		case <-redraw:
			r.bar.Draw(r.progress())
		case err := <-done:
			return err
		}
	}
}

func (r *reporter) report() {
	now := r.j.totals()
	rec := now.Since(r.last)
	if d := r.j.latency.Recent(); d.Count > 0 {
		rec.Latency = &d
	}
	r.last = now
	if r.j.Show.JSON {
		r.write(rec)
		return
	}
	if r.bar != nil {
		r.bar.Clear()
	}
	fmt.Fprintln(r.j.err, r.style.Line(rec))
	if rec.Function == "ping" && rec.Latency != nil {
		r.j.say("ping_body", "count %d RTT: min %d av %.0f ns", rec.Latency.Count, rec.Latency.Min,
			rec.Latency.Mean)
		r.j.say("ping_body", "k: %s", record.Octaves(rec.Latency.Octaves))
	}
}

// progress returns the part of the work that is done, from 0 to 1.
func (r *reporter) progress() (p float64) {
	if r.j.Count > 0 {
		var frames uint64
		for _, n := range r.j.moved {
			frames += n.frames.Load()
		}
		p = float64(frames) / float64(r.j.Count)
	}
	if d := r.j.Duration; d > 0 {
		p = max(p, float64(time.Since(r.start))/float64(d))
	}
	return min(p, 1)
}

// summary writes the summary and returns it.
func (r *reporter) summary() *record.Record {
	rec := r.j.finish(r.j.totals())
	if r.j.Show.JSON {
		r.write(rec)
	} else {
		fmt.Fprint(r.j.out, r.style.Text(rec))
	}
	if rec.Function == "ping" && rec.Latency != nil {
		r.j.say("ping_body", "RTT over %d packets: min %d av %.0f ns", rec.Latency.Count, rec.Latency.Min,
			rec.Latency.Mean)
	}
	return &rec
}

func (r *reporter) write(rec record.Record) { json.NewEncoder(r.j.out).Encode(rec) }
