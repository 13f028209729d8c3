package gen

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/internal/latency"
)

var at = time.Unix(1700000123, 456789000)

// TestLine holds the form of pkt-gen's lines, in which scripts look for fields.
func TestLine(t *testing.T) {
	old := record{Time: at.Add(-1000124 * time.Microsecond), Frames: 100, Bytes: 6000, Batches: 7, Drops: 3}
	now := record{Time: at, Function: "rx", Threads: 2, Frames: 14890100, Bytes: 893406000, Batches: 29089, MinSpace: 5, Drops: 45}
	got := (style{}).line(now.since(old))
	want := "123.456789 main_thread [2] 14.888 Mpps (14.890 Mpkts 7.146 Gbps in 1000124 usec) 512.00 avg_batch 5 min_space 42 drops"
	if got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	now.Latency = &latency.Distribution{Count: 1, Min: 1000, P50: 2000, P99: 3000, Max: 4000}
	if got := (style{}).line(now.since(old)); got != want+", one-way latency min/p50/p99/max 1µs/2µs/3µs/4µs" {
		t.Errorf("with latency: %s", got)
	}
}

func TestSinceWhenLostFramesCome(t *testing.T) {
	if r := (record{Drops: 1}).since(record{Drops: 5}); r.Drops != 0 {
		t.Errorf("%d drops, want 0", r.Drops)
	}
}

func TestText(t *testing.T) {
	d := latency.Distribution{Count: 100, Min: 1000, Mean: 2000, P50: 2000, P90: 3000, P99: 4000, P999: 5000, Max: 6000}
	for _, tt := range []struct {
		r    record
		want string
	}{
		{record{Function: "tx", Frames: 100, Bytes: 6000, Batches: 10, Unsent: 1},
			`Sent 100 packets 6000 bytes 10 events 60 bytes each in 0\.50 seconds\.
Speed: 200\.000 pps Bandwidth: 96\.000 Kbps \(raw 96\.000 Kbps\)\. Average batch: 10\.00 pkts
1 frame could not leave the tx rings: .*
`},
		{record{Function: "rx", Frames: 100, Bytes: 6000, Batches: 10, Latency: &d,
			Check: &checks{testframe.Counts{Seen: 90, Lost: 1, Duplicated: 2, Reordered: 3, Late: 4, Untracked: 5}, 6, 7}},
			`Received 100 packets .*
Speed: .*
Checked every byte: 90 good, 1 lost, 2 repeated, 3 reordered, 6 changed, 7 of unknown origin\.
9 frames came too late, or from too many senders, to be told apart\.
One-way latency: min 1µs, mean 2µs, p50 2µs, p90 3µs, p99 4µs, p99\.9 5µs, max 6µs\.
`},
		{record{Function: "ping", Frames: 100, Sent: 101, Drops: 1, Latency: &d},
			`Received 100 packets .*
Speed: .*
Of 101 frames sent, 1 did not come back\.
Round trip: min .*
`},
		{record{Function: "pong", Frames: 100, Drops: 1},
			`Returned 100 packets .*
Speed: .*
Frames that could not be returned: 1\.
`},
		{record{Function: "rx", Frames: 1, Latency: &latency.Distribution{Count: 1}, Odd: 99},
			`Received 1 packets .*
Speed: .*
`},
	} {
		tt.r.rates(500 * time.Millisecond)
		if got := (style{}).text(tt.r); !regexp.MustCompile(`^` + tt.want + `$`).MatchString(got) {
			t.Errorf("%s:\n%s, want\n%s", tt.r.Function, got, tt.want)
		}
	}
}

func TestBar(t *testing.T) {
	var b bytes.Buffer
	narrow := &bar{&b, func() int { return 20 }}
	narrow.draw(0.5)
	if got, want := b.String(), "\r[=====      ]  50 %"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b.Reset()
	(&bar{&b, func() int { return 0 }}).draw(0.5)
	if b.Len() > 0 {
		t.Errorf("a terminal without width shows %q", b.String())
	}
}
