package record

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

// Style is the form of records as text.
type Style struct {
	Plain   bool // numbers without units
	Framing int  // bytes to count for each frame besides its own
	Spread  *Deviation
}

func (s Style) norm(v float64) string {
	if s.Plain {
		return fmt.Sprintf("%.0f ", v)
	}
	return cli.Norm(v)
}

// bps returns the rate in bits a second, with framing.
func (s Style) bps(r Record) float64 { return r.BPS + 8*r.PPS*float64(s.Framing) }

// Line returns a report in pkt-gen's form. The number in brackets is the number of threads. Drops
// and latencies, which pkt-gen does not report, stand at the end.
func (s Style) Line(r Record) string {
	spread := ""
	if s.Spread != nil {
		mean, std := s.Spread.add(r.PPS)
		spread = fmt.Sprintf("[avg/std %s/%s pps]", s.norm(mean), s.norm(std))
	}
	line := fmt.Sprintf("%s main_thread [%d] %spps %s(%spkts %sbps in %d usec) "+
		"%.2f avg_batch %d min_space", Stamp(r.Time), r.Threads, s.norm(r.PPS), spread,
		s.norm(float64(r.Frames)), s.norm(s.bps(r)), r.Usec, r.AvgBatch, r.MinSpace)
	if r.Drops > 0 {
		line += fmt.Sprintf(" %d drops", r.Drops)
	}
	if r.Latency != nil {
		line += ", " + r.latencyName() + " " + r.Latency.Brief()
	}
	return line
}

// Deviation keeps the rates of the last 15 reports (pkt-gen's -A). Rates of 0 do not count.
type Deviation struct {
	rates [15]float64
	next  int
}

// add adds a rate, and returns the mean and the standard deviation.
func (w *Deviation) add(rate float64) (mean, std float64) {
	w.rates[w.next] = rate
	w.next = (w.next + 1) % len(w.rates)
	var n, sum, squares float64
	for _, r := range w.rates {
		if r > 0 {
			n, sum = n+1, sum+r
		}
	}
	if n == 0 {
		return 0, 0
	}
	mean = sum / n
	for _, r := range w.rates {
		if r > 0 {
			squares += (r - mean) * (r - mean)
		}
	}
	return mean, math.Sqrt(squares / n)
}

// Octaves returns a histogram in the form of pkt-gen's ping.
func Octaves(list []latency.Octave) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d .. %d\n\t", list[0].From, list[len(list)-1].From)
	for _, o := range list {
		fmt.Fprintf(&b, " %5d", o.Count)
	}
	return b.String()
}

func (r Record) latencyName() string {
	if r.Function == "ping" {
		return "round trip"
	}
	return "one-way latency"
}

var verbs = map[string]string{
	"tx": "Sent", "txseq": "Sent", "rx": "Received", "rxseq": "Received", "ping": "Received",
	"pong": "Returned", "self-test": "Received",
}

// Text returns the summary: pkt-gen's two lines, and lines that pkt-gen does not have.
func (s Style) Text(r Record) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	if r.Frames == 0 {
		line("%s nothing.", verbs[r.Function])
	} else {
		line("%s %d packets %d bytes %d events %d bytes each in %.2f seconds.", verbs[r.Function],
			r.Frames, r.Bytes, r.Batches,
			r.Bytes/r.Frames, float64(r.Usec)/1e6)
		line("Speed: %spps Bandwidth: %sbps (raw %sbps). Average batch: %.2f pkts", s.norm(r.PPS),
			s.norm(r.BPS), s.norm(s.bps(r)), r.AvgBatch)
	}
	switch r.Function {
	case "self-test":
		line("The sender sent %s, at most %d ahead of the receiver.", cli.Count(r.Sent, "frame"),
			r.Window)
	case "ping":
		line("Of %s sent, %d did not come back.", cli.Count(r.Sent, "frame"), r.Drops)
	case "rxseq":
		line("Numbers: %d missing, %d out of order.", r.Drops, r.Disorder)
	case "pong":
		line("Frames that could not be returned: %d.", r.Drops)
	}
	if why := cli.DescribeUnsent(r.Refused); why != "" {
		line("%s.", why)
	}
	if r.Unsent > 0 {
		line("%s could not leave the tx rings: nobody takes them at the other end.",
			cli.Count(r.Unsent, "frame"))
	}
	if c := r.Check; c != nil {
		line("Checked every byte: %d good, %d lost, %d repeated, %d reordered, %d changed, "+
			"%d of unknown origin.", c.Seen, c.Lost, c.Duplicated, c.Reordered, c.Corrupt, c.Foreign)
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

// Stamp returns a time in the form of pkt-gen's lines.
func Stamp(t time.Time) string {
	return fmt.Sprintf("%03d.%06d", t.Unix()%1000, t.Nanosecond()/1000)
}
