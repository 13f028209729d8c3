// Package record has the reports of netmap gen: the counts of a period, and their text, which
// scripts for pkt-gen can parse.
package record

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// Framing is the number of bytes that the wire adds to a frame: CRC, preamble and gap.
const Framing = 4 + 20

// Record is a report on the time since the last report, or the summary of the whole time.
type Record struct {
	Type     string    `json:"type"` // "report" or "summary"
	Time     time.Time `json:"time"`
	Function string    `json:"function"`
	Port     string    `json:"port,omitempty"`
	Threads  int       `json:"threads"`
	Usec     int64     `json:"usec"` // length of that time
	Frames   uint64    `json:"frames"`
	Bytes    uint64    `json:"bytes"`
	Batches  uint64    `json:"batches"`
	PPS      float64   `json:"pps"`
	BPS      float64   `json:"bps"`
	AvgBatch float64   `json:"avg_batch"`
	MinSpace int64     `json:"min_space"`          // least free slots of an rx ring, summed over workers
	Drops    uint64    `json:"drops"`              // frames known to be lost
	Disorder uint64    `json:"disorder,omitempty"` // rxseq: numbers that came after later ones
	Sent     uint64    `json:"sent,omitempty"`
	Window   uint64    `json:"window,omitempty"`
	Unsent   uint64    `json:"unsent,omitempty"` // frames still in the tx rings at the end

	// Refused are the frames that the port accepted but could not send, since the start, by reason.
	Refused map[string]uint64 `json:"refused,omitempty"`

	Check   *Checks               `json:"check,omitempty"` // since the start
	Latency *latency.Distribution `json:"latency_ns,omitempty"`
	Odd     uint64                `json:"latency_odd,omitempty"` // frames whose latency is negative or too long
}

// Checks has the results of the receiver's checks of frames.
type Checks struct {
	testframe.Counts
	Corrupt uint64 `json:"corrupt"`
	Foreign uint64 `json:"foreign"`
}

// Rates computes the rates from the counts and t, the time in which they were counted.
func (r *Record) Rates(t time.Duration) {
	r.Usec = t.Microseconds()
	if r.Frames > 0 {
		s := max(t, time.Microsecond).Seconds()
		r.PPS, r.BPS = float64(r.Frames)/s, float64(r.Bytes)*8/s
	}
	if r.Batches > 0 {
		r.AvgBatch = float64(r.Frames) / float64(r.Batches)
	}
}

// Since returns the report on the time after old.
func (r Record) Since(old Record) Record {
	r.Type = "report"
	r.Frames -= old.Frames
	r.Bytes -= old.Bytes
	r.Batches -= old.Batches
	r.Sent -= old.Sent
	r.Disorder -= old.Disorder
	r.Drops -= min(old.Drops, r.Drops) // frames counted as lost may still come
	r.Rates(r.Time.Sub(old.Time))
	return r
}

// Verdict returns an error if the self test found a fault.
func (r *Record) Verdict() error {
	var bad []string
	for _, b := range []struct {
		n    uint64
		what string
	}{
		{r.Sent - min(r.Check.Seen, r.Sent), "lost"}, {r.Check.Corrupt, "changed"},
		{r.Check.Duplicated, "repeated"},
		{r.Check.Reordered, "reordered"}, {r.Check.Foreign, "of unknown origin"},
	} {
		if b.n > 0 {
			bad = append(bad, fmt.Sprintf("%d %s", b.n, b.what))
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("the self test failed: of %s %s", cli.Count(r.Sent, "frame"),
			strings.Join(bad, ", "))
	}
	return nil
}
