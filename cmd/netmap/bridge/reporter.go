package bridge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// reporter writes the counts of the directions.
type reporter struct {
	o          *flags
	directions []*direction
	start      time.Time
	then       time.Time
	old        []record
}

// record has the counts of a direction: since the start in a summary, else since the last report.
type record struct {
	Event    string  `json:"event"` // report or summary
	From     string  `json:"from"`
	To       string  `json:"to"`
	Seconds  float64 `json:"seconds"`
	Frames   uint64  `json:"frames"`
	Bytes    uint64  `json:"bytes"`
	Filtered uint64  `json:"filtered"`
	Endless  uint64  `json:"endless"`
	Bad      uint64  `json:"malformed"`
	ZeroCopy bool    `json:"zero_copy"`

	// Unsent are the frames that the sending port accepted but could not send, since the start, by
	// reason.
	Unsent map[string]uint64 `json:"unsent,omitempty"`
}

func newReporter(o *flags, directions []*direction) *reporter {
	now := time.Now()
	return &reporter{o, directions, now, now, make([]record, len(directions))}
}

// read returns the counts of a direction.
func (d *direction) read() record {
	unsent := d.unsent.Read()
	frames, bytes := cli.Sent(d.n.frames.Load(), d.n.bytes.Load(), unsent)
	return record{From: d.from.Name(), To: d.to.Name(), Frames: frames, Bytes: bytes,
		Filtered: d.n.filtered.Load(), Endless: d.n.tooLong.Load(), Bad: d.n.malformed.Load(),
		ZeroCopy: d.zeroCopy, Unsent: unsent}
}

// tick reports the counts since the last report.
func (r *reporter) tick() {
	if !r.o.verbose && !r.o.json {
		return
	}
	now := time.Now()
	for i, d := range r.directions {
		n := d.read()
		old := r.old[i]
		r.old[i] = n
		n.Event, n.Seconds = "report", now.Sub(r.then).Seconds()
		n.Frames, n.Bytes = n.Frames-min(n.Frames, old.Frames), n.Bytes-min(n.Bytes, old.Bytes)
		n.Filtered, n.Endless, n.Bad = n.Filtered-old.Filtered, n.Endless-old.Endless, n.Bad-old.Bad
		r.write(n)
	}
	r.then = now
}

// summary reports the counts since the start.
func (r *reporter) summary() {
	for _, d := range r.directions {
		n := d.read()
		n.Event, n.Seconds = "summary", time.Since(r.start).Seconds()
		r.write(n)
	}
}

func (r *reporter) write(n record) {
	if r.o.json {
		json.NewEncoder(r.o.out).Encode(n)
		return
	}
	text := fmt.Sprintf("%s -> %s: %s, %sframes/s, %sbit/s", n.From, n.To,
		cli.Count(n.Frames, "frame"),
		cli.Norm(float64(n.Frames)/n.Seconds), cli.Norm(float64(n.Bytes)*8/n.Seconds))
	if r.o.filter != nil {
		text += fmt.Sprintf(", %d filtered out", n.Filtered)
	}
	if n.Endless > 0 {
		text += fmt.Sprintf(", %s of frames longer than a ring dropped", cli.Count(n.Endless, "slot"))
	}
	if n.Bad > 0 {
		text += fmt.Sprintf(", %s with invalid slots dropped", cli.Count(n.Bad, "frame"))
	}
	if why := cli.DescribeUnsent(n.Unsent); why != "" {
		text += ", " + why
	}
	fmt.Fprintln(r.o.out, text)
}
