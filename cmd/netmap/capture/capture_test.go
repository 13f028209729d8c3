package capture

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli/clitest"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func parse(args ...string) (*flags, error) {
	o := &flags{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	f := pflag.NewFlagSet("capture", pflag.ContinueOnError)
	o.addFlags(f)
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	return o, o.check(f.Args())
}

func mustParse(t *testing.T, args ...string) *flags {
	t.Helper()
	o, err := parse(args...)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// Each command line gives an error of one line that names the flag. It touches no file.
func TestBadFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	precious := []byte("what was there before")
	if err := os.WriteFile("f", precious, 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                               "-i",
		"-w f":                           "-i",
		"-i a":                           "-w",
		"-i a:b -w f":                    "-i: port name",
		"-i a/T -w f":                    "-i",
		"-i a -w f -s -1":                "-s",
		"-i a -w f -s 262145":            "-s",
		"-i a -w f -s x":                 "-s",
		"-i a -w f -c x":                 "-c",
		"-i a -w f -c 1.5":               "-c",
		"-i a -w f -t -1s":               "-t",
		"-i a -w f -t 5":                 "-t",
		"-i a -w f -C x":                 "-C",
		"-i a -w f -G x":                 "-G",
		"-i a -w f -G 1500ms":            "-G",
		"-i a -w f -G -1s":               "-G",
		"-i a -w f-%Q -G 1":              "-w",
		"-i a -w f% -G 1":                "-w",
		"-i a -w f -W 3":                 "-W",
		"-i a -w f -W -1 -C 1":           "-W",
		"-i a -w f -W 3 -C 1 -G 1":       "-W",
		"-i a -w - -C 1":                 "-C",
		"-i a -w - --json":               "--json",
		"-i a -w f -B x":                 "-B",
		"-i a -w f --wait -1":            "--wait",
		"-i a -w f --format text":        "--format",
		"-i a -w f --nosuch":             "--nosuch",
		"-i a -w f tcp port nosuch-port": "filter",
		"-i a -w f tcp[":                 "filter",
	} {
		clitest.Fails(t, New(), args, 2, want)
	}
	if got, _ := os.ReadFile("f"); !bytes.Equal(got, precious) {
		t.Errorf("the file that was there is now %q", got)
	}
	if list, _ := os.ReadDir("."); len(list) != 1 {
		t.Errorf("files were made: %v", list)
	}
}

// If a port cannot be opened, no file is overwritten.
func TestNoPort(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	o := mustParse(t, "-i", "netmap:nosuch0", "-w", file)
	if err := o.run(t.Context()); err == nil {
		t.Error("no error")
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file: %v", err)
	}
}

// running is a capture of one end of a pipe. The test has the other end.
type running struct {
	t    *testing.T
	o    *flags
	far  *netmap.Port
	stop context.CancelFunc
	done chan struct{}
	sum  *summary
	err  error
}

func start(t *testing.T, out io.Writer, args ...string) *running {
	t.Helper()
	testutil.CheckLeaks(t)
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r := &running{t: t, o: mustParse(t, append([]string{"-i", "x{1", "-B", "4M"}, args...)...),
		done: make(chan struct{})}
	r.o.out = out
	far := "x}1"
	if strings.HasPrefix(r.o.port, "vale0:") {
		far = "vale0:far"
	}
	if r.far, err = f.Open(far); err != nil {
		t.Fatal(err)
	}
	near, err := r.o.open(f.Open)
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(t.Context())
	t.Cleanup(r.stop)
	m := newMeter(r.o.name, near)
	go func() {
		defer close(r.done)
		r.sum, r.err = r.o.capture(ctx, near, m)
	}()
	return r
}

// send sends frames, and returns when all have left the ring.
func (r *running) send(frames ...[]byte) {
	r.t.Helper()
	tx := r.far.Tx()[0]
	for end := time.Now().Add(20 * time.Second); ; {
		frames = frames[tx.Send(frames...):]
		if err := r.far.TxSync(); err != nil {
			r.t.Fatal(err)
		}
		if len(frames) == 0 && tx.Len() == tx.NumSlots()-1 {
			return
		}
		select {
		case <-r.done:
			return
		default:
		}
		if time.Now().After(end) {
			r.t.Fatal("the capture takes nothing")
		}
		time.Sleep(50 * time.Microsecond)
	}
}

// end waits for the capture to end without an error.
func (r *running) end() *summary {
	r.t.Helper()
	select {
	case <-r.done:
	case <-time.After(20 * time.Second):
		r.t.Fatal("the capture does not end")
	}
	if r.err != nil {
		r.t.Fatal(r.err)
	}
	return r.sum
}

// wantTotals checks these counts in the summary, and that no other frame was lost.
func (r *running) wantTotals(received, accepted, captured uint64) {
	r.t.Helper()
	s := r.sum
	if s.Received != received || s.Accepted != accepted || s.Captured != captured ||
		s.Slow != accepted-captured || s.Port == nil || *s.Port != 0 {
		r.t.Errorf("%+v; want %d received, %d accepted, %d captured", *s, received, accepted, captured)
	}
}

// numbered makes Ethernet frames of the given length with numbers in them.
func numbered(from, n, length int) (frames [][]byte) {
	for i := range n {
		f := make([]byte, length)
		copy(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
		binary.BigEndian.PutUint32(f[14:], uint32(from+i))
		frames = append(frames, f)
	}
	return frames
}

// Frames are captured at their offsets in buffers, in one slot or in several, and from any kind of
// port.
func TestOffsets(t *testing.T) {
	for _, port := range []string{"x{1@offset=64", "vale0:near@offset=64", "vale0:near"} {
		t.Run(port, func(t *testing.T) {
			var file bytes.Buffer
			r := start(t, &file, "-i", port, "-w", "-", "-c", "30")
			var frames [][]byte
			for i, length := range []int{60, 1900, 5000} {
				frames = append(frames, numbered(10*i, 10, length)...)
				r.send(frames[10*i:]...)
			}
			r.end()
			r.wantTotals(30, 30, 30)
			got, _ := readNg(t, &file)
			for i, f := range frames {
				if i >= len(got) || !bytes.Equal(got[i].data, f) || got[i].length != len(f) {
					t.Fatalf("frame %d of %d is not the one that was sent", i, len(got))
				}
			}
		})
	}
}

type record struct {
	data   []byte
	length int
	at     time.Time
}

func readNg(t *testing.T, r io.Reader) (list []record, stats pcapgo.NgInterfaceStatistics) {
	t.Helper()
	o := pcapgo.DefaultNgReaderOptions
	o.StatisticsCallback = func(_ int, s pcapgo.NgInterfaceStatistics) { stats = s }
	ng, err := pcapgo.NewNgReader(r, o)
	if err != nil {
		t.Fatal(err)
	}
	for {
		data, info, err := ng.ReadPacketData()
		if err == io.EOF {
			return list, stats
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, record{data, info.Length, info.Timestamp})
	}
}

func readFile(t *testing.T, name string) []record {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	list, _ := readNg(t, f)
	return list
}

func wantRecords(t *testing.T, list []record, frames [][]byte) {
	t.Helper()
	if len(list) != len(frames) {
		t.Fatalf("%d frames in the file, want %d", len(list), len(frames))
	}
	for i, r := range list {
		if !bytes.Equal(r.data, frames[i]) || r.length != len(frames[i]) {
			t.Fatalf("frame %d: %d of %d bytes: %x; want %x", i, len(r.data), r.length, r.data, frames[i])
		}
	}
}

func TestCapture(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	before := time.Now()
	r := start(t, io.Discard, "-w", file)
	frames := slices.Concat(numbered(0, 3000, 60), numbered(3000, 1000, 61), numbered(4000, 500, 9000))
	r.send(frames...)
	r.stop()
	r.end()
	r.wantTotals(4500, 4500, 4500)
	f, _ := os.Open(file)
	defer f.Close()
	list, stats := readNg(t, f)
	wantRecords(t, list, frames)
	last := before
	for i, r := range list {
		if r.at.Before(last.Add(-time.Microsecond)) || r.at.After(time.Now()) {
			t.Fatalf("frame %d came at %v, the one before at %v", i, r.at, last)
		}
		last = r.at
	}
	if stats.PacketsReceived != 4500 || stats.PacketsDropped != 0 {
		t.Errorf("statistics in the file: %+v", stats)
	}
}

func TestSnapFilterCount(t *testing.T) {
	file := filepath.Join(t.TempDir(), "f")
	r := start(t, io.Discard, "-w", file, "-s", "20", "-c", "10", "--", "ether[17]", "&", "1", "=",
		"1")
	r.send(numbered(0, 100, 5000)...)
	r.end()
	r.wantTotals(20, 10, 10)
	for i, got := range readFile(t, file) {
		if want := numbered(2*i+1, 1, 5000)[0]; !bytes.Equal(got.data, want[:20]) || got.length != 5000 {
			t.Errorf("frame %d: %x of %d bytes, want %x", i, got.data, got.length, want[:20])
		}
	}
}

func TestPcap(t *testing.T) {
	var out testutil.Buffer
	r := start(t, &out, "-w", "-", "--format", "pcap", "-c", "5")
	r.send(numbered(0, 5, 60)...)
	r.end()
	p, err := pcapgo.NewReader(bytes.NewReader(out.Bytes()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		if data, _, err := p.ReadPacketData(); err != nil || !bytes.Equal(data, numbered(i, 1, 60)[0]) {
			t.Errorf("frame %d: %x, %v", i, data, err)
		}
	}
}

// A reader of standard output gets the header at once, and frames soon, before a block is full.
func TestStdoutIsLive(t *testing.T) {
	pr, pw := io.Pipe()
	seen := make(chan int, 10)
	go func() {
		defer close(seen)
		ng, err := pcapgo.NewNgReader(pr, pcapgo.DefaultNgReaderOptions)
		for err == nil {
			seen <- 1
			_, _, err = ng.ReadPacketData()
		}
	}()
	r := start(t, pw, "-w", "-")
	for i := range 3 {
		select {
		case <-seen:
		case <-time.After(20 * time.Second):
			t.Fatalf("not seen: %d", i)
		}
		r.send(numbered(i, 1, 60)...)
	}
	r.stop()
	r.end()
	pw.Close()
	for range seen {
	}
}

// The capture ends without an error when the reader of standard output ends.
func TestReaderLeaves(t *testing.T) {
	r := start(t, writerFunc(func([]byte) (int, error) {
		return 0,
			fmt.Errorf("write: %w", syscall.EPIPE)
	}), "-w", "-", "-U")
	r.stop()
	<-r.done
	r = start(t, &leaver{}, "-w", "-", "-U")
	r.send(numbered(0, 1, 60)...)
	r.end()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

// leaver reads only the header.
type leaver struct{ n int }

func (l *leaver) Write(b []byte) (int, error) {
	if l.n++; l.n > 1 {
		return 0, syscall.EPIPE
	}
	return len(b), nil
}

// While the writer stands still, frames go into memory. When the memory is full, they are lost and
// counted.
func TestSlowWriter(t *testing.T) {
	gate := make(chan struct{})
	var out testutil.Buffer
	stuck := writerFunc(func(b []byte) (int, error) {
		if len(b) > 1000 {
			<-gate
		}
		return out.Write(b)
	})
	r := start(t, stuck, "-w", "-")
	const sent = 4000 // of 1532 bytes in a file: 6 MB into 4 MB
	r.send(numbered(0, sent, 1500)...)
	close(gate)
	r.stop()
	s := r.end()
	r.wantTotals(sent, sent, s.Captured)
	list, stats := readNg(t, bytes.NewReader(out.Bytes()))
	if n := uint64(len(list)); n != s.Captured || n == sent || n < 2000 {
		t.Errorf("%d frames in the file; %+v", n, *s)
	}
	wantRecords(t, list, numbered(0, len(list), 1500))
	if stats.PacketsDropped != s.Slow {
		t.Errorf("%d dropped in the file's statistics, want %d", stats.PacketsDropped, s.Slow)
	}
}

func TestWriteError(t *testing.T) {
	r := start(t, io.Discard, "-w", "/dev/full", "-U")
	<-r.done
	if !errors.Is(r.err, syscall.ENOSPC) {
		t.Errorf("error %v, want ENOSPC", r.err)
	}
}

func TestRotateBySize(t *testing.T) {
	dir := t.TempDir()
	r := start(t, io.Discard, "-w", filepath.Join(dir, "f"), "-C", "10k")
	frames := numbered(0, 1000, 60)
	r.send(frames...)
	r.stop()
	r.end()
	var all []record
	for i := 0; ; i++ {
		name := filepath.Join(dir, "f")
		if i > 0 {
			name += fmt.Sprint(i)
		}
		info, err := os.Stat(name)
		if err != nil {
			break
		}
		if info.Size() > 10000+200 { // the header and statistics may come on top
			t.Errorf("%s has %d bytes", name, info.Size())
		}
		all = append(all, readFile(t, name)...)
	}
	wantRecords(t, all, frames)
}

func TestRotateRing(t *testing.T) {
	dir := t.TempDir()
	r := start(t, io.Discard, "-w", filepath.Join(dir, "f"), "-C", "10k", "-W", "11")
	r.send(numbered(0, 5000, 60)...)
	r.stop()
	r.end()
	names, _ := filepath.Glob(filepath.Join(dir, "*"))
	var got []int
	for i, name := range names {
		if want := filepath.Join(dir, fmt.Sprintf("f%02d", i)); name != want {
			t.Errorf("file %s, want %s", name, want)
		}
		for _, r := range readFile(t, name) {
			got = append(got, int(binary.BigEndian.Uint32(r.data[14:])))
		}
	}
	slices.Sort(got)
	if len(names) != 11 || got[len(got)-1] != 4999 || got[0] != 5000-len(got) {
		t.Errorf("%d files; frames %d to %d, %d of them", len(names), got[0], got[len(got)-1], len(got))
	}
}

func TestRotateByTime(t *testing.T) {
	dir := t.TempDir()
	r := start(t, io.Discard, "-w", filepath.Join(dir, "f-%s.pcapng"), "-G", "1", "-W", "2")
	n := 0
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); n++ {
		r.send(numbered(n, 1, 60)...)
		select {
		case <-r.done:
			end = time.Now()
		case <-time.After(10 * time.Millisecond):
		}
	}
	s := r.end()
	names, _ := filepath.Glob(filepath.Join(dir, "f-*.pcapng"))
	var all []record
	for _, name := range names {
		all = append(all, readFile(t, name)...)
	}
	wantRecords(t, all, numbered(0, int(s.Captured), 60))
	if span := all[len(all)-1].at.Sub(all[0].at); len(names) != 2 || span > 2*time.Second {
		t.Errorf("files %v with %v, want 2 with up to 2 s", names, span)
	}
}

func TestNames(t *testing.T) {
	at := time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC)
	for _, tt := range []struct {
		names
		want []string
	}{
		{names{pattern: "f%Y"}, []string{"f%Y", "f%Y1", "f%Y2"}},
		{names{pattern: "f", ring: 2}, []string{"f0", "f1", "f0"}},
		{names{pattern: "f%Y%m%d-%T.%j%%", timed: true},
			[]string{"f20261103-04:05:06.307%", "f20261103-04:05:06.307%1"}},
	} {
		for i, want := range tt.want {
			if got := tt.next(at); got != want {
				t.Errorf("%s: file %d is %s, want %s", tt.pattern, i, got, want)
			}
		}
	}
}

// The work for each frame allocates nothing.
func TestNoAllocations(t *testing.T) {
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	far, err := f.Open("x}1")
	if err != nil {
		t.Fatal(err)
	}
	o := mustParse(t, "-i", "x{1", "-w", "f", "ether", "proto", "0x88b5")
	near, err := o.open(f.Open)
	if err != nil {
		t.Fatal(err)
	}
	r := o.newReceiver(near)
	r.blocks = newBlocks(4 << 20)
	r.cuts.begin(time.Now(), 100)
	frames := slices.Concat(numbered(0, 100, 60), numbered(0, 20, 5000))
	if n := testing.AllocsPerRun(100, func() {
		far.Tx()[0].Send(frames...)
		far.TxSync()
		near.RxSync()
		r.look()
		for r.block != nil { // plays the writer
			r.hand()
			r.blocks.free <- <-r.blocks.full
		}
	}); n != 0 || r.n.captured < 100*120 {
		t.Errorf("%v allocations for 120 frames, %d captured", n, r.n.captured)
	}
}

// A capture that fails still reports what it has written.
func TestSummaryOfFailure(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	far, err := f.Open("x}1")
	if err != nil {
		t.Fatal(err)
	}
	var told testutil.Buffer
	o := mustParse(t, "-i", "x{1", "-B", "4M", "-w", filepath.Join(dir, "f"), "-C", "10k")
	o.err = &told
	near, err := o.open(f.Open)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- o.captureAndTell(t.Context(), near, newMeter(o.name, near)) }()
	for files := 0; files == 0; time.Sleep(time.Millisecond) {
		list, err := os.ReadDir(dir)
		if files = len(list); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(dir); err != nil { // the next file cannot be created
		t.Fatal(err)
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		far.Tx()[0].Send(make([]byte, 60))
		if err := far.TxSync(); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-done:
			if !errors.Is(err, os.ErrNotExist) || !strings.Contains(told.String(), "packets captured") {
				t.Errorf("%v, told %q", err, told.String())
			}
			return
		default:
		}
		if time.Now().After(end) {
			t.Fatal("it goes on")
		}
	}
}
