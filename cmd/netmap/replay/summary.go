package replay

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// summary describes a replay at its end.
type summary struct {
	Seconds  float64 `json:"seconds"`
	Frames   uint64  `json:"frames"` // sent
	Bytes    uint64  `json:"bytes"`
	Lost     uint64  `json:"lost"` // by the model
	Filtered uint64  `json:"filtered"`
	// Cut frames were sent although the file has only the beginning of them.
	Cut uint64 `json:"cut"`
	// Trimmed frames were sent without the bytes that the file has beyond their length.
	Trimmed uint64 `json:"trimmed"`
	// FCS counts frames that were sent without their frame check sequence.
	FCS uint64 `json:"without_fcs"`
	// Others are packets that are not Ethernet frames. They were skipped.
	Others uint64 `json:"other_link_types"`
	// Skipped frames were too long for the port, or empty.
	Skipped uint64 `json:"skipped"`
	Dropped uint64 `json:"dropped"` // by the port
	Unsent  int    `json:"unsent"`  // slots still in the ring at the end
	// Refused counts frames that the port accepted but could not send, by reason.
	Refused map[string]uint64 `json:"refused,omitempty"`
	// Paused is the time in seconds by which frames were put off to keep the gaps of the file.
	Paused float64 `json:"paused"`
	// Lag is the time from when frames were due until they were handed to the port.
	Lag latency.Distribution `json:"lag_ns"`
}

func newSummary(s *sender, refused map[string]uint64, dropped uint64) *summary {
	frames, bytes := cli.Sent(s.frames.Load(), s.bytes.Load(), refused)
	d, odd := s.lag.Total()
	d.Count += odd
	end := s.end
	if end.IsZero() {
		end = time.Now()
	}
	return &summary{
		Seconds: end.Sub(s.begin).Seconds(), Frames: frames, Bytes: bytes,
		Lost: s.lost, Filtered: s.filtered, Cut: s.cut, Trimmed: s.trimmed, FCS: s.fcs, Others: s.others,
		Skipped: s.empty + s.long,
		Dropped: max(dropped, cli.SumDrops(refused)), Refused: refused, Unsent: s.unsent,
		Paused: s.paused.Seconds(), Lag: d,
	}
}

func (s *summary) write(o *flags) {
	if o.json {
		json.NewEncoder(o.out).Encode(s)
		return
	}
	per := max(s.Seconds, 1e-9)
	fmt.Fprintf(o.out, "Sent %s, %d bytes, in %.6f s: %sframes/s, %sbit/s.\n",
		cli.Count(s.Frames, "frame"), s.Bytes, s.Seconds,
		cli.Norm(float64(s.Frames)/per), cli.Norm(float64(s.Bytes)*8/per))
	if s.Lag.Count > 0 {
		us := func(ns int64) float64 { return float64(ns) / 1000 }
		fmt.Fprintf(o.out, "Late by: p50 %.1f us, p99 %.1f us, at most %.1f us.\n", us(s.Lag.P50),
			us(s.Lag.P99), us(s.Lag.Max))
	}
	if s.Paused > 0 {
		fmt.Fprintf(o.out, "Put off by %.6f s in all, because the machine did other things.\n", s.Paused)
	}
	if why := cli.DescribeUnsent(s.Refused); why != "" {
		fmt.Fprintln(o.out, why+".")
	}
	for _, n := range []struct {
		n    uint64
		what string
	}{
		{s.Lost, "left out by the loss model"},
		{s.Filtered, "left out by the filter"},
		{s.Cut, "sent in part: the file has only their beginning"},
		{s.Trimmed, "sent without the bytes that the file has beyond their length"},
		{s.FCS, "sent without the frame check sequence that they had"},
		{s.Others, "skipped: packets of other link types than Ethernet"},
		{s.Skipped, "skipped: too long, or empty"},
		{s.Dropped - cli.SumDrops(s.Refused), "dropped by the port"},
		{uint64(s.Unsent), "still in the ring at the end"},
	} {
		if n.n > 0 {
			fmt.Fprintf(o.out, "%d %s.\n", n.n, n.what)
		}
	}
}
