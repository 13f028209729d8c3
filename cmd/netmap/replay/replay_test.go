package replay

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli/clitest"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/pace"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func parse(args ...string) (*flags, error) {
	o := &flags{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	f := pflag.NewFlagSet("replay", pflag.ContinueOnError)
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

// Each command line gives an error of one line that names the flag.
func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                        "-i",
		"f":                       "-i",
		"-i a":                    "-f",
		"-i a -f f g":             "-f",
		"-i a f g":                "at most 1",
		"-i a:b f":                "-i: port name",
		"-i a/R f":                "-i",
		"-i a/t f":                "-i",
		"-i a f -x 0":             "-x",
		"-i a f -x -1":            "-x",
		"-i a f -x NaN":           "-x",
		"-i a f -R x":             "-R",
		"-i a f -x 2 -t":          "-x",
		"-i a f -R 5 -B 1M":       "-B",
		"-i a f -t -D 1m":         "-D",
		"-i a f -B x":             "-B",
		"-i a f -B 0":             "-B",
		"-i a f -B ether":         "-B",
		"-i a f -B real,0":        "-B",
		"-i a f -B real,1,2":      "-B",
		"-i a f -D x":             "-D",
		"-i a f -D 5x":            "-D",
		"-i a f -D -1s":           "-D",
		"-i a f -D uniform,5m":    "-D",
		"-i a f -D uniform,5m,1m": "-D",
		"-i a f -D exp,1":         "-D",
		"-i a f -L 2":             "-L",
		"-i a f -L plr":           "-L",
		"-i a f -L ber,-1":        "-L",
		"-i a f -L burst,1":       "-L",
		"-i a f -l x":             "-l",
		"-i a -f - -l 2":          "-l",
		"-i a f -n 1.5":           "-n",
		"-i a f -b 0":             "-b",
		"-i a f -w x":             "-w",
		"-i a f --memory x":       "--memory",
		"-i a f --filter nosuch":  "--filter",
		"-i a f --nosuch":         "--nosuch",
	} {
		clitest.Fails(t, New(), args, 2, want)
	}
}

func TestModels(t *testing.T) {
	for s, want := range map[string]bandwidth{
		"1M": {constant, 1e6}, "constant,2.5g": {constant, 2.5e9}, "ether,100k": {ether, 1e5},
		"real": {real, 1}, "real,0.5": {real, 0.5},
	} {
		if got, err := parseBandwidth(s); got != want || err != nil {
			t.Errorf("-B %s: %v, %v; want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]delay{
		"20m": {least: 20e6}, "constant,20ms": {least: 20e6}, "1.5": {least: 1.5e9},
		"uniform,1u,3us": {least: 1e3, span: 2e3},
		"exp,1n,5ns":     {1, 4, true}, "exp,5n,1n": {1, 4, true},
	} {
		if got, err := parseDelay(s); got != want || err != nil {
			t.Errorf("-D %s: %v, %v; want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]loss{"0.5": {0.5, false}, "plr,1": {1, false},
		"ber,1e-6": {1e-6, true}} {
		if got, err := parseLoss(s); got != want || err != nil {
			t.Errorf("-L %s: %v, %v; want %v", s, got, err, want)
		}
	}
}

// plan returns a schedule for frames of 100 bytes that were captured 10 µs apart, except for one
// that was captured 5 µs before its predecessor.
func plan(b bandwidth, d delay, l loss, n int) (due []int64, lost int) {
	s := &schedule{bandwidth: b, delay: d, loss: l, random: rand.New(rand.NewPCG(1, 2))}
	s.pass()
	for i := range n {
		p := &packet{at: 1e18 + int64(i)*10000, len: 100}
		if i == 3 {
			p.at -= 15000
		}
		at, gone := s.next(p)
		due = append(due, at)
		if gone {
			lost++
		}
	}
	return due, lost
}

func TestSchedule(t *testing.T) {
	for _, tt := range []struct {
		name string
		b    bandwidth
		d    delay
		want []int64
	}{
		{"as captured", bandwidth{real, 1}, delay{}, []int64{0, 10000, 20000, 20000, 40000}},
		{"twice as fast", bandwidth{real, 2}, delay{}, []int64{0, 5000, 10000, 10000, 20000}},
		{"rate", bandwidth{rate, 1e6}, delay{}, []int64{0, 1000, 2000, 3000, 4000}},
		{"bits", bandwidth{constant, 800e6}, delay{}, []int64{0, 1000, 2000, 3000, 4000}},
		{"bits on the wire", bandwidth{ether, 992e6}, delay{}, []int64{0, 1000, 2000, 3000, 4000}},
		{"delayed", bandwidth{real, 1}, delay{least: 7}, []int64{7, 10007, 20007, 20007, 40007}},
	} {
		if got, _ := plan(tt.b, tt.d, loss{}, 5); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The distributions have the means that they should have, and frames keep their order.
func TestRandomModels(t *testing.T) {
	const n = 20000
	random := rand.New(rand.NewPCG(3, 4))
	for _, tt := range []struct {
		d    delay
		mean float64
	}{{delay{least: 100, span: 50}, 125}, {delay{100, 50, true}, 150}} {
		sum := 0.0
		for range n {
			v := tt.d.sample(random)
			if v < 100 || !tt.d.exponential && v > 150 {
				t.Fatalf("%v gave %d", tt.d, v)
			}
			sum += float64(v)
		}
		if mean := sum / n; math.Abs(mean-tt.mean) > 2 {
			t.Errorf("%v has a mean of %v, want %v", tt.d, mean, tt.mean)
		}
	}
	due, _ := plan(bandwidth{rate, 1e9}, delay{0, 1e6, true}, loss{}, n)
	if !slices.IsSorted(due) {
		t.Error("frames overtake each other")
	}
	for l, want := range map[loss]float64{{0.1, false}: 0.1, {1e-4, true}: 1 - math.Pow(1-1e-4, 800),
		{1, false}: 1, {1, true}: 1} {
		if _, lost := plan(bandwidth{real, 1}, delay{}, l, n); math.Abs(float64(lost)/n-want) > 0.01 {
			t.Errorf("%v: %d of %d lost, want %v of them", l, lost, n, want)
		}
	}
}

// The second pass starts one mean gap after the first.
func TestPasses(t *testing.T) {
	s := &schedule{bandwidth: bandwidth{real, 2}, random: rand.New(rand.NewPCG(1, 2))}
	var got []int64
	for range 3 {
		s.pass()
		for _, at := range []int64{1000, 1200, 1400} {
			due, _ := s.next(&packet{at: at})
			got = append(got, due)
		}
	}
	if want := []int64{0, 100, 200, 300, 400, 500, 600, 700, 800}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// numbered returns a frame with a number in it.
func numbered(i, length int) []byte {
	f := make([]byte, length)
	copy(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	binary.BigEndian.PutUint32(f[14:], uint32(i))
	return f
}

// length returns the length of frame i. Some frames are longer than a buffer.
func length(i int) int {
	if i%10 == 9 {
		return 5000
	}
	return 60 + i%100
}

const gap = 20 * time.Microsecond

// makeFile makes a file of n frames, gap apart.
func makeFile(f capfile.Format, n int) []byte {
	b := f.AppendHeader(nil, capfile.Interface{Name: "x", Program: "test", Snap: 9000})
	for i := range n {
		b = f.AppendRecord(b, 1_700_000_000_000_000_000+int64(i)*int64(gap), numbered(i, length(i)),
			length(i))
	}
	return b
}

func writeFile(t *testing.T, b []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// replayed returns the frames that arrive at the other end of a pipe.
func replayed(t *testing.T, args ...string) (frames [][]byte, sum *summary, err error) {
	t.Helper()
	testutil.CheckLeaks(t)
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := mustParse(t, append([]string{"-i", "x{1"}, args...)...)
	src, err := capfile.Open(o.file)
	if err != nil {
		return nil, nil, err
	}
	near, err := o.open(f.Open)
	if err != nil {
		t.Fatal(err)
	}
	far, err := f.Open("x}1")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		sum, err = o.replay(t.Context(), src, near)
	}()
	var joined []byte
	read := func() (n int) {
		for slot, b := range far.Rx()[0].Frames() {
			n++
			joined = append(joined, b...)
			if slot.Flags&0x20 == 0 {
				frames = append(frames, joined)
				joined = nil
			}
		}
		return n
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if _, e := far.Poll(t.Context(), netmap.In, time.Millisecond); e != nil {
			t.Fatal(e)
		}
		if n := read(); n > 0 {
			continue
		}
		select {
		case <-done:
			return frames, sum, err
		default:
		}
	}
	t.Fatal("the replay does not end")
	return nil, nil, nil
}

// wantFrames checks that got is the file's n frames, several times in a row.
func wantFrames(t *testing.T, got [][]byte, n, times int) {
	t.Helper()
	if len(got) != n*times {
		t.Fatalf("%d frames, want %d", len(got), n*times)
	}
	for i, f := range got {
		if want := numbered(i%n, length(i%n)); !bytes.Equal(f, want) {
			t.Fatalf("frame %d: %d bytes, %x…; want %d, %x…", i, len(f), f[:18], len(want), want[:18])
		}
	}
}

func TestReplay(t *testing.T) {
	const n = 3000
	var zip bytes.Buffer
	z := gzip.NewWriter(&zip)
	z.Write(makeFile(capfile.Pcap, n))
	z.Close()
	for name, file := range map[string][]byte{"pcapng": makeFile(capfile.Pcapng, n),
		"pcap": makeFile(capfile.Pcap, n), "gzip": zip.Bytes()} {
		t.Run(name, func(t *testing.T) {
			frames, sum, err := replayed(t, writeFile(t, file))
			if err != nil {
				t.Fatal(err)
			}
			wantFrames(t, frames, n, 1)
			if sum.Frames != n || sum.Lag.Count != n || sum.Seconds < (n-1)*gap.Seconds() ||
				sum.Unsent+int(sum.Skipped+sum.Lost) != 0 {
				t.Errorf("%+v", *sum)
			}
		})
	}
}

// Frames are sent at the given speed, and never before their time.
func TestSpeed(t *testing.T) {
	file := writeFile(t, makeFile(capfile.Pcapng, 2000))
	for args, least := range map[string]time.Duration{"-x 2": 2000 * gap / 2,
		"-R 50k": 40 * time.Millisecond, "-B 80M": 70 * time.Millisecond,
		"-D 50ms -x 100": 50 * time.Millisecond} {
		frames, sum, err := replayed(t, append(strings.Fields(args), file)...)
		if err != nil {
			t.Fatal(err)
		}
		wantFrames(t, frames, 2000, 1)
		if got := time.Duration(sum.Seconds * 1e9); got < least-gap {
			t.Errorf("%s: %v, want %v at least", args, got, least)
		}
	}
}

// A file that fits into the memory is repeated from there. A larger one is read again.
func TestLoops(t *testing.T) {
	const n = 20000 // 11 MB
	file := writeFile(t, makeFile(capfile.Pcapng, n))
	for _, memory := range []string{"1G", "4M"} {
		frames, sum, err := replayed(t, "-t", "-l", "3", "--memory", memory, file)
		if err != nil {
			t.Fatal(err)
		}
		wantFrames(t, frames, n, 3)
		if sum.Lag.Count != 0 {
			t.Errorf("%d frames are late where none has a time", sum.Lag.Count)
		}
	}
}

func TestCountFilterLoss(t *testing.T) {
	file := writeFile(t, makeFile(capfile.Pcapng, 1000))
	frames, _, err := replayed(t, "-t", "-l", "0", "-n", "2500", file)
	if err != nil || len(frames) != 2500 {
		t.Errorf("%d frames, want 2500: %v", len(frames), err)
	}
	frames, sum, err := replayed(t, "-t", "--filter", "ether[17] & 1 = 1", file)
	if err != nil || len(frames) != 500 || sum.Filtered != 500 {
		t.Errorf("%d frames, %+v, want 500: %v", len(frames), sum, err)
	}
	frames, sum, err = replayed(t, "-t", "-L", "0.5", "--seed", "1", file)
	if err != nil || len(frames)+int(sum.Lost) != 1000 || sum.Lost < 400 || sum.Lost > 600 {
		t.Errorf("%d frames, %+v: %v", len(frames), sum, err)
	}
}

// All complete frames of a truncated file are sent. Then the replay fails.
func TestBadFiles(t *testing.T) {
	for _, f := range []capfile.Format{capfile.Pcapng, capfile.Pcap} {
		b := makeFile(f, 10)
		frames, sum, err := replayed(t, writeFile(t, b[:len(b)-30]))
		if err == nil || !strings.Contains(err.Error(), "after packet 9") || sum.Frames != 9 {
			t.Errorf("error %v, %+v; want one about packet 9", err, sum)
		}
		wantFrames(t, frames, 9, 1)
	}
	other := makeFile(capfile.Pcap, 1)
	other[20] = 101
	for name, b := range map[string][]byte{"empty": nil, "text": []byte("This is no capture file."),
		"gzip": []byte("\x1f\x8bxxxx"), "raw IP": other} {
		if _, _, err := replayed(t, writeFile(t, b)); err == nil || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error %v", name, err)
		}
	}
	if _, _, err := replayed(t, filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// Frames are written at the offset of their buffers. A frame longer than the ring is skipped.
func TestOffsets(t *testing.T) {
	file := writeFile(t, makeFile(capfile.Pcap, 300))
	frames, sum, err := replayed(t, "-i", "x{1@offset=64", "-t", file)
	if err != nil || sum.Skipped > 0 {
		t.Fatalf("%+v, %v", sum, err)
	}
	wantFrames(t, frames, 300, 1)
	frames, sum, err = replayed(t, "-i", "x{1@conf:slots=3@offset=64", "-t", file)
	if err != nil || len(frames) != 270 || sum.Skipped != 30 {
		t.Errorf("%d frames, %+v, %v; want 270, and 30 skipped", len(frames), sum, err)
	}
}

// A frame of which the file has only a part is sent as that part. Bytes beyond a frame's length are
// not sent. Empty frames are not sent. All three are counted in each pass.
func TestParts(t *testing.T) {
	b := capfile.Pcap.AppendHeader(nil, capfile.Interface{Snap: 9000})
	b = capfile.Pcap.AppendRecord(b, 0, numbered(0, 60), 1500)
	b = capfile.Pcap.AppendRecord(b, 0, nil, 0)
	b = capfile.Pcap.AppendRecord(b, 0, numbered(1, 80), 61)
	for _, memory := range []string{"1G", "0"} {
		frames, sum, err := replayed(t, "-l", "2", "--memory", memory, writeFile(t, b))
		if err != nil || len(frames) != 4 || len(frames[0]) != 60 || len(frames[1]) != 61 {
			t.Fatalf("%d frames, %v", len(frames), err)
		}
		if sum.Cut != 2 || sum.Trimmed != 2 || sum.Skipped != 2 {
			t.Errorf("--memory %s: %+v", memory, *sum)
		}
		text := written(sum)
		for _, want := range []string{"2 sent in part", "2 sent without the bytes",
			"2 skipped: too long, or empty"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
	}
}

func written(sum *summary) string {
	var out bytes.Buffer
	sum.write(&flags{out: &out})
	return out.String()
}

// mixed returns a file in which each frame stands between two packets of raw IP. One interface is
// described after the first packet, and its times are in powers of 2.
func mixed(n int) []byte {
	le := binary.LittleEndian
	block := func(kind uint32, words ...uint32) (b []byte) {
		size := uint32(4*len(words) + 12)
		b = le.AppendUint32(le.AppendUint32(nil, kind), size)
		for _, w := range words {
			b = le.AppendUint32(b, w)
		}
		return le.AppendUint32(b, size)
	}
	raw := block(6, 0, 0, 0, 4, 4, 0x45)
	b := slices.Concat(block(0x0a0d0d0a, 0x1a2b3c4d, 1, 0, 0), block(1, 101, 0), raw,
		block(1, 1, 0, 1<<16|9, 0x94))
	for i := range n {
		f := numbered(i, 60)
		words := []uint32{1, 0, 1<<20 + uint32(i)<<10, 60, 60} // 977 µs apart
		for ; len(f) > 0; f = f[4:] {
			words = append(words, le.Uint32(f))
		}
		b = append(append(b, block(6, words...)...), raw...)
	}
	return b
}

// A frame check sequence is removed and counted, even if the file has only a part of the frame.
func TestFCS(t *testing.T) {
	b := capfile.Pcap.AppendHeader(nil, capfile.Interface{Snap: 9000})
	binary.LittleEndian.PutUint32(b[20:], 2<<28|1<<26|1) // twice 16 bits
	b = capfile.Pcap.AppendRecord(b, 0, numbered(0, 64), 64)
	b = capfile.Pcap.AppendRecord(b, 0, numbered(1, 50), 64)
	frames, sum, err := replayed(t, writeFile(t, b))
	if err != nil || len(frames) != 2 || len(frames[0]) != 60 || len(frames[1]) != 50 ||
		sum.FCS != 2 || sum.Cut != 1 {
		t.Errorf("%d frames, %+v, %v", len(frames), sum, err)
	}
	if text := written(sum); !strings.Contains(text, "2 sent without the frame check sequence") {
		t.Error(text)
	}
}

// Packets of other link types are skipped, and counted in each pass.
func TestOtherLinkTypes(t *testing.T) {
	file := writeFile(t, mixed(20))
	frames, sum, err := replayed(t, "-l", "2", file)
	if err != nil || len(frames) != 40 || sum.Others != 42 {
		t.Fatalf("%d frames, %+v, %v", len(frames), sum, err)
	}
	for i, f := range frames {
		if !bytes.Equal(f, numbered(i%20, 60)) {
			t.Errorf("frame %d: % x", i, f)
		}
	}
	if want := 39 * 976 * time.Microsecond; sum.Seconds < want.Seconds() {
		t.Errorf("sent in %v s, want %v", sum.Seconds, want)
	}
	if text := written(sum); !strings.Contains(text, "42 skipped: packets of other link types") {
		t.Error(text)
	}
}

// A file without a frame ends after one pass, whatever number of passes is asked for.
func TestNothingToSend(t *testing.T) {
	b := makeFile(capfile.Pcap, 0)
	for name, file := range map[string][]byte{"no packet": b,
		"an empty one": capfile.Pcap.AppendRecord(b, 0, nil, 0)} {
		if frames, sum, err := replayed(t, "-l", "0", writeFile(t, file)); err != nil ||
			len(frames)+int(sum.Frames) > 0 {
			t.Errorf("%s: %d frames, %+v, %v", name, len(frames), sum, err)
		}
	}
}

// A frame without a time goes with the frame before it, or at once.
func TestTimeless(t *testing.T) {
	s := &schedule{bandwidth: bandwidth{real, 1}, random: rand.New(rand.NewPCG(1, 2))}
	var got []int64
	for range 2 {
		s.pass()
		for _, at := range []int64{timeless, 1000, timeless, 1200, timeless} {
			due, _ := s.next(&packet{at: at})
			got = append(got, due)
		}
	}
	if want := []int64{0, 0, 0, 200, 200, 250, 250, 250, 450, 450}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// The work for each frame allocates nothing.
func TestNoAllocations(t *testing.T) {
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := mustParse(t, "-i", "x{1", "-B", "100G", "-D", "exp,1n,2n", "-L", "0.01", "f")
	near, err := o.open(f.Open)
	if err != nil {
		t.Fatal(err)
	}
	far, err := f.Open("x}1")
	if err != nil {
		t.Fatal(err)
	}
	s := newSender(near, o.schedule(), 16, math.MaxUint64)
	s.pacer = &pace.Pacer{}
	s.start = time.Now()
	c := &chunk{}
	for i := range 100 {
		c.packets = append(c.packets, packet{0, uint32(len(c.data)), uint32(length(i))})
		c.data = append(c.data, numbered(i, length(i))...)
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := s.send(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		far.RxSync()
		for range far.Rx()[0].Frames() {
		}
		far.RxSync()
	}); n != 0 || s.frames.Load() < 9000 {
		t.Errorf("%v allocations for 100 frames, %d sent", n, s.frames.Load())
	}
}
