package record

import (
	"regexp"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

var at = time.Unix(1700000123, 456789000)

// Scripts look for fields in pkt-gen's lines, so their form must not change.
func TestLine(t *testing.T) {
	old := Record{Time: at.Add(-1000124 * time.Microsecond), Frames: 100, Bytes: 6000, Batches: 7,
		Drops: 3}
	now := Record{Time: at, Function: "rx", Threads: 2, Frames: 14890100, Bytes: 893406000,
		Batches: 29089, MinSpace: 5, Drops: 45}
	got := (Style{}).Line(now.Since(old))
	want := "123.456789 main_thread [2] 14.888 Mpps (14.890 Mpkts 7.146 Gbps in 1000124 usec) " +
		"512.00 avg_batch 5 min_space 42 drops"
	if got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	now.Latency = &latency.Distribution{Count: 1, Min: 1000, P50: 2000, P99: 3000, Max: 4000}
	want += ", one-way latency min/p50/p99/max 1µs/2µs/3µs/4µs"
	if got := (Style{}).Line(now.Since(old)); got != want {
		t.Errorf("with latency: %s", got)
	}
}

func TestSinceWhenLostFramesCome(t *testing.T) {
	if r := (Record{Drops: 1}).Since(Record{Drops: 5}); r.Drops != 0 {
		t.Errorf("%d drops, want 0", r.Drops)
	}
}

func TestText(t *testing.T) {
	d := latency.Distribution{Count: 100, Min: 1000, Mean: 2000, P50: 2000, P90: 3000, P99: 4000,
		P999: 5000, Max: 6000}
	for _, tt := range []struct {
		r    Record
		want string
	}{
		{Record{Function: "tx", Frames: 100, Bytes: 6000, Batches: 10, Unsent: 1},
			`Sent 100 packets 6000 bytes 10 events 60 bytes each in 0\.50 seconds\.
Speed: 200\.000 pps Bandwidth: 96\.000 Kbps \(raw 96\.000 Kbps\)\. Average batch: 10\.00 pkts
1 frame could not leave the tx rings: .*
`},
		{Record{Function: "rx", Frames: 100, Bytes: 6000, Batches: 10, Latency: &d,
			Check: &Checks{testframe.Counts{Seen: 90, Lost: 1, Duplicated: 2, Reordered: 3, Late: 4,
				Untracked: 5}, 6, 7}},
			`Received 100 packets .*
Speed: .*
Checked every byte: 90 good, 1 lost, 2 repeated, 3 reordered, 6 changed, 7 of unknown origin\.
9 frames came too late, or from too many senders, to be told apart\.
One-way latency: min 1µs, mean 2µs, p50 2µs, p90 3µs, p99 4µs, p99\.9 5µs, max 6µs\.
`},
		{Record{Function: "ping", Frames: 100, Sent: 101, Drops: 1, Latency: &d},
			`Received 100 packets .*
Speed: .*
Of 101 frames sent, 1 did not come back\.
Round trip: min .*
`},
		{Record{Function: "pong", Frames: 100, Drops: 1},
			`Returned 100 packets .*
Speed: .*
Frames that could not be returned: 1\.
`},
		{Record{Function: "rx", Frames: 1, Latency: &latency.Distribution{Count: 1}, Odd: 99},
			`Received 1 packets .*
Speed: .*
`},
	} {
		tt.r.Rates(500 * time.Millisecond)
		if got := (Style{}).Text(tt.r); !regexp.MustCompile(`^` + tt.want + `$`).MatchString(got) {
			t.Errorf("%s:\n%s, want\n%s", tt.r.Function, got, tt.want)
		}
	}
}
