package bridge

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
)

// reporter writes what the ways count.
type reporter struct {
	o     *flags
	ways  []*way
	start time.Time
	then  time.Time
	old   []record
}

// record is what is known of a way: since the start in a summary, else since the last report.
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

	// Unsent are the frames that the receiving end took and could not send, since the start, by
	// reason.
	Unsent map[string]uint64 `json:"unsent,omitempty"`
}

func newReporter(o *flags, ways []*way) *reporter {
	now := time.Now()
	return &reporter{o, ways, now, now, make([]record, len(ways))}
}

// read is what a way has counted.
func (w *way) read() record {
	unsent := w.unsent.Read()
	frames, bytes := cli.Sent(w.n.frames.Load(), w.n.bytes.Load(), unsent)
	return record{From: w.from.Name(), To: w.to.Name(), Frames: frames, Bytes: bytes,
		Filtered: w.n.filtered.Load(), Endless: w.n.endless.Load(), Bad: w.n.malformed.Load(),
		ZeroCopy: w.zeroCopy, Unsent: unsent}
}

// tick reports what came since the last time.
func (r *reporter) tick() {
	if !r.o.verbose && !r.o.json {
		return
	}
	now := time.Now()
	for i, w := range r.ways {
		n := w.read()
		old := r.old[i]
		r.old[i] = n
		n.Event, n.Seconds = "report", now.Sub(r.then).Seconds()
		n.Frames, n.Bytes = n.Frames-min(n.Frames, old.Frames), n.Bytes-min(n.Bytes, old.Bytes)
		n.Filtered, n.Endless, n.Bad = n.Filtered-old.Filtered, n.Endless-old.Endless, n.Bad-old.Bad
		r.write(n)
	}
	r.then = now
}

// summary reports everything.
func (r *reporter) summary() {
	for _, w := range r.ways {
		n := w.read()
		n.Event, n.Seconds = "summary", time.Since(r.start).Seconds()
		r.write(n)
	}
}

func (r *reporter) write(n record) {
	if r.o.json {
		json.NewEncoder(r.o.out).Encode(n)
		return
	}
	text := fmt.Sprintf("%s -> %s: %s, %sframes/s, %sbit/s", n.From, n.To, cli.Count(n.Frames, "frame"),
		cli.Norm(float64(n.Frames)/n.Seconds), cli.Norm(float64(n.Bytes)*8/n.Seconds))
	if r.o.filter != nil {
		text += fmt.Sprintf(", %d filtered out", n.Filtered)
	}
	if n.Endless > 0 {
		text += fmt.Sprintf(", %s of frames longer than a ring dropped", cli.Count(n.Endless, "slot"))
	}
	if n.Bad > 0 {
		text += fmt.Sprintf(", %s dropped whose slots made no sense", cli.Count(n.Bad, "frame"))
	}
	if why := cli.DescribeUnsent(n.Unsent); why != "" {
		text += ", " + why
	}
	fmt.Fprintln(r.o.out, text)
}
