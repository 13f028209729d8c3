package gen

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/frame"
	"github.com/seed-48afdc40/netmap/internal/stats"
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
	MinSpace int64     `json:"min_space"` // free slots of the fullest rx ring
	Drops    uint64    `json:"drops"`     // frames that are known to be lost
	Sent     uint64    `json:"sent,omitempty"`
	Window   uint64    `json:"window,omitempty"`
	Unsent   uint64    `json:"unsent,omitempty"` // frames still in the tx rings at the end

	Check   *checks             `json:"check,omitempty"` // since the start
	Latency *stats.Distribution `json:"latency_ns,omitempty"`
	Odd     uint64              `json:"latency_odd,omitempty"` // frames whose time makes no sense
}

// checks is what became of the frames, as far as the receiver can tell.
type checks struct {
	frame.Counts
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
	if j.tracker != nil {
		r.Check = &checks{j.tracker.Counts(), corrupt, foreign}
		r.Drops += r.Check.Lost
	}
	return r
}

// rates fills in what follows from the counts and the time.
func (r *record) rates(t time.Duration) {
	r.Usec = t.Microseconds()
	if s := t.Seconds(); s > 0 {
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
	r.Drops -= min(old.Drops, r.Drops) // frames thought lost may come later
	r.rates(r.Time.Sub(old.Time))
	return r
}

// finish makes the totals a summary.
func (j *job) finish(r record) record {
	r.Type = "summary"
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
	bar   *bar // nil where nobody watches
}

func newReporter(j *job) *reporter {
	r := &reporter{j: j, start: time.Now(), last: j.totals()}
	if o := j.o; !o.json && cli.IsTerminal(o.err) && (o.count > 0 || o.duration > 0) {
		r.bar = newBar(o.err)
	}
	return r
}

// until reports until done says that the work is over.
func (r *reporter) until(done <-chan error) error {
	report := time.NewTicker(time.Duration(r.j.o.interval) * time.Millisecond)
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
	if r.j.o.json {
		r.write(rec)
		return
	}
	if r.bar != nil {
		r.bar.clear()
	}
	fmt.Fprintln(r.j.o.err, rec.line())
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
	if r.j.o.json {
		r.write(rec)
	} else {
		fmt.Fprint(r.j.o.out, rec.text())
	}
	return &rec
}

func (r *reporter) write(rec record) { json.NewEncoder(r.j.o.out).Encode(rec) }

// line is a report as pkt-gen writes it. The number in brackets is that of the threads.
func (r record) line() string {
	s := fmt.Sprintf("%03d.%06d main_thread [%d] %spps (%spkts %sbps in %d usec) %.2f avg_batch %d min_space %d drops",
		r.Time.Unix()%1000, r.Time.Nanosecond()/1000, r.Threads, cli.Norm(r.PPS), cli.Norm(float64(r.Frames)), cli.Norm(r.BPS), r.Usec,
		r.AvgBatch, r.MinSpace, r.Drops)
	if r.Latency != nil {
		s += ", " + r.latencyName() + " " + r.Latency.Brief()
	}
	return s
}

func (r record) latencyName() string {
	if r.Function == "ping" {
		return "round trip"
	}
	return "one-way latency"
}

// text is the summary for people.
func (r record) text() string {
	var b strings.Builder
	verb := map[string]string{"tx": "Sent", "rx": "Received", "ping": "Received", "pong": "Returned", "self-test": "Received"}[r.Function]
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("%s %s, %sB, in %.3f seconds.", verb, cli.Count(r.Frames, "frame"), cli.Norm(float64(r.Bytes)), float64(r.Usec)/1e6)
	if r.PPS > 0 {
		line("Rate: %spps, %sbps, %sbps on the wire, %.2f frames a batch in %d batches.", cli.Norm(r.PPS), cli.Norm(r.BPS),
			cli.Norm(r.BPS+r.PPS*framing*8), r.AvgBatch, r.Batches)
	}
	switch r.Function {
	case "self-test":
		line("The sender sent %s, at most %d ahead of the receiver.", cli.Count(r.Sent, "frame"), r.Window)
	case "ping":
		line("Of %s sent, %d did not come back.", cli.Count(r.Sent, "frame"), r.Drops)
	case "pong":
		line("Frames that could not be returned: %d.", r.Drops)
	}
	if r.Unsent > 0 {
		line("%s could not leave the tx rings: nobody takes them at the other end.", cli.Count(r.Unsent, "frame"))
	}
	if c := r.Check; c != nil {
		line("Checked every byte: %d good, %d lost, %d repeated, %d reordered, %d changed, %d of unknown origin.",
			c.Seen, c.Lost, c.Duplicated, c.Reordered, c.Corrupt, c.Foreign)
		if n := c.Late + c.Untracked; n > 0 {
			line("%s came too late, or from too many senders, to be told apart.", cli.Count(n, "frame"))
		}
	}
	if r.Latency != nil && r.Latency.Count > r.Odd {
		name := r.latencyName()
		line("%s: %s.", strings.ToUpper(name[:1])+name[1:], r.Latency)
	}
	return b.String()
}
