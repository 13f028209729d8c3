package gen

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/options"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/record"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/embed"
)

// runGen runs the command and returns its output.
func runGen(t *testing.T, args ...string) (out, errOut string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	cmd := New()
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	cmd.SetOut(&o)
	cmd.SetErr(&e)
	if !slices.ContainsFunc(args, func(s string) bool { return strings.HasPrefix(s, "--device") }) {
		args = append([]string{"--device=embedded"}, args...) // the machine may have a device
	}
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return o.String(), e.String(), err
}

// parse parses flags as the command does.
func parse(t *testing.T, args ...string) *options.Options {
	t.Helper()
	o := &options.Options{}
	f := pflag.NewFlagSet("gen", pflag.ContinueOnError)
	o.AddFlags(f)
	if err := errors.Join(f.Parse(args), o.Check(f)); err != nil {
		t.Fatal(err)
	}
	return o
}

// openJob returns a job with these flags, with open ports, and with its output in buffers.
func openJob(t *testing.T, open cli.Opener, args ...string) *job {
	t.Helper()
	j := newJob(parse(t, args...), &bytes.Buffer{}, &bytes.Buffer{})
	if err := j.open(open); err != nil {
		t.Fatal(err)
	}
	return j
}

// runAll runs gen once for each list of arguments, all in one framework at the same time, until the
// last one ends.
func runAll(t *testing.T, lists ...[]string) []*record.Record {
	t.Helper()
	records, _ := runJobs(t, lists...)
	return records
}

// runJobs is runAll that also returns the jobs, which have the output.
func runJobs(t *testing.T, lists ...[]string) ([]*record.Record, []*job) {
	t.Helper()
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	jobs, records := make([]*job, len(lists)), make([]*record.Record, len(lists))
	for i, args := range lists {
		jobs[i] = openJob(t, f.Open, args...)
	}
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	defer stop()
	var wg sync.WaitGroup
	last := len(jobs) - 1
	for i, j := range jobs {
		wg.Go(func() {
			r, err := j.run(ctx)
			if records[i] = r; err != nil {
				t.Error(err)
			}
			if i == last {
				stop()
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return records, jobs
}

// A switch drops frames that do not fit into the receiver's ring, so it gets no more than fit.
func TestSendAndReceive(t *testing.T) {
	for name, tt := range map[string]struct {
		tx, rx string
		n      uint64
	}{
		"switch":            {"-f tx -i vale0:a -R 1M", "-f rx -i vale0:b", 1001},
		"pipe":              {"-f tx -i x{1", "-f rx -i x}1", 20001},
		"pipe, many rings":  {"-f tx -i x{1@conf:rings=4 -b 100", "-f rx -i x}1", 20001},
		"pipe, two threads": {"-f tx -i x{1 -p 2", "-f rx -i x}1 -p 2", 20001},
		"long frames":       {"-f tx -i x{1 -l 1514", "-f rx -i x}1", 20001},
		"frames of 5 slots": {"-f tx -i x{1 -l 9000", "-f rx -i x}1", 5001},
		"odd bursts":        {"-f tx -i x{1@conf:rings=3 -l 4097 -b 7", "-f rx -i x}1 -b 5", 5001},
		"fragments":         {"-f tx -i x{1 -F 7 -l 300 -l 61", "-f rx -i x}1 -b 5", 5001},
		"affinity":          {"-f tx -i x{1 -a 0", "-f rx -i x}1 -a 0", 20001},
	} {
		t.Run(name, func(t *testing.T) {
			n := fmt.Sprintf(" -n %d", tt.n)
			r := runAll(t, strings.Fields(tt.tx+n), strings.Fields(tt.rx+n))
			tx, rx := r[0], r[1]
			if tx.Frames != tt.n || rx.Frames != tt.n || rx.Bytes != tx.Bytes || tx.Unsent != 0 {
				t.Errorf("sent %d frames, %d bytes, received %d, %d", tx.Frames, tx.Bytes, rx.Frames, rx.Bytes)
			}
			c := *rx.Check
			c.Reordered = 0 // several rings may reorder frames
			if c != (record.Checks{Counts: testframe.Counts{Seen: tt.n}}) {
				t.Errorf("checked: %+v", rx.Check)
			}
			if rx.Latency == nil || rx.Latency.Count != tt.n || tx.Check != nil {
				t.Errorf("latency %v, sender's checks %v", rx.Latency, tx.Check)
			}
		})
	}
}

func TestNoCheck(t *testing.T) {
	r := runAll(t, strings.Fields("-f tx -i x{1 -n 1000"),
		strings.Fields("-f rx -i x}1 -n 1000 --no-check"))
	if rx := r[1]; rx.Frames != 1000 || rx.Check != nil || rx.Latency != nil {
		t.Errorf("%+v", rx)
	}
}

func TestPingPong(t *testing.T) {
	for name, tt := range map[string]struct{ ping, pong string }{
		"switch":      {"vale0:a", "vale0:b"},
		"pipe":        {"x{1", "x}1"},
		"long frames": {"vale0:a -l 9000", "vale0:b"},
		"IPv6":        {"vale0:a -6", "vale0:b"},
		"offsets":     {"vale0:a@offset=64 -l 5000", "vale0:b@offset=128"},
		"pipe's":      {"x{1@offset=64 -l 1900", "x}1@offset=128"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runAll(t, strings.Fields("-f pong -i "+tt.pong),
				strings.Fields("-f ping -n 500 -b 5 -i "+tt.ping))
			pong, ping := r[0], r[1]
			if pong.Frames != 500 || ping.Frames != 500 || ping.Sent != 500 || ping.Drops != 0 ||
				ping.Check.Seen != 500 || ping.Latency.Count != 500 {
				t.Errorf("pong %+v\nping %+v, %+v", pong, ping, ping.Check)
			}
		})
	}
}

func TestPingWithoutAnswer(t *testing.T) {
	r := runAll(t, strings.Fields("-f ping -n 2 -b 2 -i vale0:a"))
	if p := r[0]; p.Sent != 2 || p.Frames != 0 || p.Drops != 2 ||
		!strings.Contains(record.Style{}.Text(*p), "Of 2 frames sent, 2 did not come back.") {
		t.Errorf("%+v\n%s", p, record.Style{}.Text(*p))
	}
}

func TestUnsentFramesAreCounted(t *testing.T) {
	r := runAll(t, strings.Fields("-f tx -n 10 -i x{1"))
	if s := r[0]; s.Unsent != 10 ||
		!strings.Contains(record.Style{}.Text(*s), "10 frames could not leave the tx rings") {
		t.Errorf("%+v\n%s", s, record.Style{}.Text(*s))
	}
}

// The test sends frames with every fault that networks cause.
func TestReceiverFindsFaults(t *testing.T) {
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	tx, err := f.Open("x{1")
	if err != nil {
		t.Fatal(err)
	}
	j := openJob(t, f.Open, "-f", "rx", "-i", "x}1", "-n", "9", "-l", "100")
	b, buf := j.builders()[0], make([]byte, 2048)
	send := func(seq uint64, fault func()) {
		b.Put(buf, seq)
		fault()
		if tx.Tx()[0].Send(buf[:100]) != 1 {
			t.Fatal("no room")
		}
	}
	none := func() {}
	for _, seq := range []uint64{0, 1, 5, 3, 1} { // 2 and 4 are lost, 3 is late, 1 comes again
		send(seq, none)
	}
	send(6, func() { buf[99]++ })
	send(7, func() { buf[53]++ })
	send(8, func() { buf[42]++ })
	tx.Tx()[0].Send(make([]byte, 3000)) // a frame longer than a buffer
	if err := tx.TxSync(); err != nil {
		t.Fatal(err)
	}
	r, err := j.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := record.Checks{Counts: testframe.Counts{Seen: 4, Lost: 2, Duplicated: 1, Reordered: 1},
		Corrupt: 2, Foreign: 2}
	if *r.Check != want || r.Frames != 9 || r.Bytes != 8*100+3000 || r.Drops != 2 {
		t.Errorf("%+v, %+v; want %+v", r, *r.Check, want)
	}
}

func TestVerdict(t *testing.T) {
	good := record.Checks{Counts: testframe.Counts{Seen: 10}}
	if err := (&record.Record{Sent: 10, Check: &good}).Verdict(); err != nil {
		t.Error(err)
	}
	bad := record.Checks{Counts: testframe.Counts{Seen: 7, Duplicated: 2}, Corrupt: 1}
	err := (&record.Record{Sent: 10, Check: &bad}).Verdict()
	want := "the self test failed: of 10 frames 3 lost, 1 changed, 2 repeated"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// Sender and receiver run batch by batch on one goroutine.
func TestHotLoopsAllocateNothing(t *testing.T) {
	for _, args := range []string{"-l 60", "-l 9000", "-6 -l 200 -l 80 -z", "-F 3"} {
		t.Run(args, func(t *testing.T) { hotLoops(t, args) })
	}
}

func hotLoops(t *testing.T, args string) {
	f, err := embed.New(embed.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	j := newJob(parse(t, strings.Fields("-f tx -i x{1 "+args)...), io.Discard, io.Discard)
	tx, rx := cli.Must(f.Open("x{1")), cli.Must(f.Open("x}1"))
	s := j.newSender(0, tx, j.makers([]*netmap.Port{tx})[0])
	r := newJob(parse(t, "-f", "rx", "-i", "x}1"), io.Discard, io.Discard).newReceiver(rx)
	allocs := testing.AllocsPerRun(200, func() {
		now := time.Now()
		s.make.SetTime(uint64(now.UnixNano()))
		n, bytes := s.fill(j.Burst)
		s.count(now, n, bytes)
		tx.TxSync()
		rx.RxSync()
		for ring := rx.Rx()[0]; ring.Len() > 0; {
			r.drain(ring, r.rings[0])
		}
		rx.RxSync()
	})
	if got := r.tracker.Counts(); allocs != 0 || got != (testframe.Counts{Seen: s.seq}) {
		t.Errorf("%v allocations a batch, want none; %+v", allocs, got)
	}
}

func TestSelfTest(t *testing.T) {
	for _, args := range [][]string{
		{"--time", "200ms"},
		{"-n", "100k"},
		{"-n", "1000", "-l", "1514", "-b", "7"},
		{"-n", "300", "-l", "9000", "-s", "10.0.0.1:1-10.0.0.9:3",
			"-S", "02:00:00:00:00:10-02:00:00:00:00:20"},
		{"--time", "100ms", "-R", "20k", "-T", "20"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			out, errOut, err := runGen(t, args...)
			if err != nil {
				t.Fatalf("%v\n%s%s", err, out, errOut)
			}
			want := regexp.MustCompile(`(?m)^Checked every byte: [1-9][0-9]* good, ` +
				`0 lost, 0 repeated, 0 reordered, 0 changed, 0 of unknown origin\.$`)
			if !want.MatchString(out) {
				t.Errorf("no line like %v in\n%s", want, out)
			}
		})
	}
}

func TestSelfTestJSON(t *testing.T) {
	out, errOut, err := runGen(t, "-n", "200k", "-R", "2M", "-T", "20", "--json")
	if err != nil || errOut != "" {
		t.Fatalf("%v, and on standard error: %s", err, errOut)
	}
	var records []record.Record
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var r record.Record
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	var frames uint64
	for _, r := range records[:len(records)-1] {
		frames += r.Frames
		if r.Type != "report" || r.Function != "self-test" || r.Usec == 0 {
			t.Errorf("report %+v", r)
		}
	}
	s := records[len(records)-1]
	if s.Type != "summary" || s.Frames != 200000 || s.Sent != 200000 || s.Bytes != 12e6 ||
		s.Check.Seen != 200000 || s.Check.Lost != 0 ||
		s.Latency.Count != 200000 || s.PPS > 2.1e6 {
		t.Errorf("summary %+v, %+v, %+v", s, s.Check, s.Latency)
	}
	if len(records) < 3 || frames > s.Frames {
		t.Errorf("%d records with %d frames, want some reports with at most %d", len(records), frames,
			s.Frames)
	}
}
