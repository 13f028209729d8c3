package bridge

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli/clitest"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func parse(args ...string) (*flags, error) {
	o := &flags{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	f := pflag.NewFlagSet("bridge", pflag.ContinueOnError)
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

func TestFlags(t *testing.T) {
	for _, tt := range []struct{ args, a, b string }{
		{"-i netmap:eth3 -i netmap:eth1 -w 10", "netmap:eth3", "netmap:eth1"},
		{"-i netmap:eth3", "netmap:eth3^", "netmap:eth3"},
		{"eth3", "netmap:eth3^", "netmap:eth3"},
		{"eth3 eth1 64", "netmap:eth3", "netmap:eth1"},
		{"-i eth3 -i eth3", "netmap:eth3^", "netmap:eth3"},
		{"-i eth3 -L", "netmap:eth3", "netmap:eth3"},
		{"-i eth3/R -i vale0:a/T -c -v -b 16", "netmap:eth3/R", "vale0:a/T"},
		{"-i eth3/r -i x{1", "netmap:eth3/r", "netmap:x{1"},
	} {
		o := mustParse(t, strings.Fields(tt.args)...)
		if o.a.String() != tt.a || o.b.String() != tt.b {
			t.Errorf("%s: %v and %v, want %s and %s", tt.args, o.a, o.b, tt.a, tt.b)
		}
	}
}

// A monitor shows frames of a port that another program has, and sends none.
func TestMonitorsOnlyReceive(t *testing.T) {
	for _, name := range []string{"eth0/r", "eth0/t", "eth0/z", "eth0/tr"} {
		n, err := cli.ParsePort(name)
		if err != nil || !receives(n) || sends(n) || !shared(n) {
			t.Errorf("%s: receives %v, sends %v, shared %v: %v",
				name, receives(n), sends(n), shared(n), err)
		}
	}
}

// Each command line gives an error of one line that names the flag.
func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                            "-i",
		"-i a -i b -i c":              "-i names 3 ports",
		"-i a -i b -L":                "-L",
		"-i a b":                      "-i",
		"a b c":                       "burst",
		"-b 0 -i a":                   "-b",
		"-b x -i a":                   "-b",
		"-T 0 -i a":                   "-T",
		"-w x -i a":                   "-w",
		"-i a:b":                      "-i: port name",
		"-i a -i b@x:":                "-i: port name",
		"-i vale0:a":                  "-i",
		"-i x{1":                      "-i",
		"-i eth0-1":                   "-i",
		"-i a/R -i b/R":               "-i",
		"-i a/T -i b/T":               "-i",
		"-i a/r -i b/R":               "-i",
		"-i a --filter nosuch":        "--filter",
		"-i a --filter tcp[":          "--filter",
		"-i a --nosuch":               "--nosuch",
		"a b 3 d":                     "at most 3",
		"-i a -i b --device=/dev/nul": "/dev/nul",
	} {
		status := 2
		if strings.Contains(args, "/dev/nul") {
			status = 1
		}
		clitest.Fails(t, New(), args, status, want)
	}
}

// running is a bridge in its own framework.
type running struct {
	t   *testing.T
	f   *embed.Framework
	o   *flags
	end func() []record // stops the bridge, and returns its summaries
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	testutil.CheckLeaks(t)
	f, err := embed.New(embed.Config{Buffers: 24576, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	o := mustParse(t, append(args, "--json")...)
	directions, err := o.open(f.Open)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- o.bridge(ctx, directions) }()
	finish := sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(finish) // before the framework closes
	return &running{t, f, o, func() (list []record) {
		finish()
		d := json.NewDecoder(o.out.(*bytes.Buffer))
		for d.More() {
			var r record
			if err := d.Decode(&r); err != nil {
				t.Fatal(err)
			}
			if r.Event == "summary" {
				list = append(list, r)
			}
		}
		return list
	}}
}

func (r *running) open(name string, options ...netmap.Option) *netmap.Port {
	r.t.Helper()
	p, err := r.f.Open(name, options...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { p.Close() })
	return p
}

// numbered returns frame n, to UDP port 1000 + n%4.
func numbered(n, size int) []byte {
	f := make([]byte, size)
	copy(f, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00"+
		"\x45\x00\x00\x28\x00\x00\x00\x00\x40\x11\x00\x00\x0a\x00\x00\x01\x0a\x00\x00\x02")
	binary.BigEndian.PutUint16(f[36:], 1000+uint16(n%4))
	binary.BigEndian.PutUint32(f[50:], uint32(n))
	for i := 54; i < size; i++ {
		f[i] = byte(n + i)
	}
	return f
}

// pass sends frames through one port, and checks that the wanted ones come out of another, whole
// and in order.
func (r *running) pass(in, out *netmap.Port, count, size int, wanted func(n int) bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	sent := make(chan error, 1)
	go func() { sent <- send(ctx, in, count, size) }()
	var frame []byte
	for n := 0; n < count; {
		if !wanted(n) {
			n++
			continue
		}
		if _, err := out.Poll(ctx, netmap.In, time.Second); err != nil {
			r.t.Fatalf("waiting for frame %d: %v", n, err)
		}
		for slot, part := range out.Rx()[0].Frames() {
			if frame = append(frame, part...); slot.Flags&0x20 != 0 { // NS_MOREFRAG
				continue
			}
			for n < count && !wanted(n) {
				n++
			}
			if !bytes.Equal(frame, numbered(n, size)) {
				r.t.Fatalf("frame %d is %d bytes %.60x", n, len(frame), frame)
			}
			frame = frame[:0]
			n++
		}
	}
	if err := <-sent; err != nil {
		r.t.Error(err)
	}
}

func send(ctx context.Context, in *netmap.Port, count, size int) error {
	for n := 0; n < count; {
		if in.Tx()[0].Send(numbered(n, size)) == 1 {
			n++
			continue
		}
		if _, err := in.Poll(ctx, netmap.Out, time.Second); err != nil {
			return fmt.Errorf("sending frame %d: %w", n, err)
		}
	}
	return in.TxSync()
}

func all(int) bool { return true }

// Both directions forward frames of one slot and of several, by swapping and by copying, even if a
// burst ends inside a frame.
func TestForward(t *testing.T) {
	for _, args := range []string{"", "-c", "-b 1", "-b 7 -c"} {
		for _, size := range []int{60, 1514, 2048, 2049, 9000} {
			t.Run(fmt.Sprintf("%s/%d", args, size), func(t *testing.T) {
				r := start(t, append(strings.Fields(args), "-i", "a}1", "-i", "b}1")...)
				a, b := r.open("a{1"), r.open("b{1")
				r.pass(a, b, 5000, size, all)
				r.pass(b, a, 3000, size, all)
				list := r.end()
				if len(list) != 2 || list[0].Frames != 5000 || list[1].Frames != 3000 ||
					list[0].Bytes != uint64(5000*size) {
					t.Errorf("%+v", list)
				}
				if copied := strings.Contains(args, "-c"); list[0].ZeroCopy == copied {
					t.Errorf("zero-copy: %v", list[0].ZeroCopy)
				}
			})
		}
	}
}

// The filter drops and counts whole frames, including frames of several slots.
func TestFilter(t *testing.T) {
	for _, size := range []int{60, 5000} {
		r := start(t, "-i", "a}1", "-i", "b}1", "--filter",
			fmt.Sprintf("udp port 1001 or udp dst port 1003 and len = %d", size))
		r.pass(r.open("a{1"), r.open("b{1"), 4000, size, func(n int) bool { return n%2 == 1 })
		if list := r.end(); list[0].Frames != 2000 || list[0].Filtered != 2000 {
			t.Errorf("%+v", list)
		}
	}
}

// Frames pass whole and in order between ports of different offsets, memory and kinds.
func TestForwardBetweenAnyPorts(t *testing.T) {
	other := testMemory(t)
	small := other + ",buf-size=512"
	for _, ports := range [][4]string{ // sender, the two of the bridge, receiver
		{"a{1", "a}1@offset=64", "b}1", "b{1"}, {"a{1", "a}1", "b}1@offset=64", "b{1"},
		{"a{1@offset=32", "a}1@offset=64", "b}1@offset=128", "b{1"},
		{"a{1", "a}1@offset=128", "b}1@offset=64", "b{1@offset=96"},
		{"vale0:a", "vale0:b@offset=64", "b}1", "b{1"},
		{"a{1", "a}1", "vale0:b@offset=64", "vale0:a"},
		{"vale0:a", "vale0:b", "vale1:a@offset=64", "vale1:b"},
		{"vale0:a", "vale0:b@extmem:file=" + other, "vale1:a", "vale1:b"},
		{"vale0:a", "vale0:b", "vale1:a@extmem:file=" + other, "vale1:b"},
		{"vale0:a", "vale0:b@extmem:file=" + small, "vale1:a", "vale1:b"},
		{"vale0:a", "vale0:b", "vale1:a@extmem:file=" + small, "vale1:b"},
		{"a{1", "a}1", "b}1@conf:slots=16", "b{1"},
	} {
		for _, args := range []string{"", "-c"} {
			t.Run(fmt.Sprint(args, ports), func(t *testing.T) {
				r := start(t, append(strings.Fields(args), "-i", ports[1], "-i", ports[2])...)
				a, b := r.open(ports[0]), r.open(ports[3])
				for i, size := range []int{60, 1514, 6000} {
					r.pass(a, b, 15*(i+1), size, all)
					r.pass(b, a, 15*(i+1), size, all)
				}
				for _, n := range r.end() {
					if n.Frames != 90 || n.Endless+n.Bad+n.Filtered != 0 {
						t.Errorf("%+v", n)
					}
				}
			})
		}
	}
}

// testMemory returns a file for a memory region, with the sizes of its pools.
func testMemory(t *testing.T) string {
	name := filepath.Join(t.TempDir(), "memory")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 16<<20); err != nil {
		t.Fatal(err)
	}
	return name + ",if-num=10,ring-num=20,buf-num=5000"
}

// A frame longer than the other ring is dropped and counted, and so is one with an invalid slot.
// The frames after such a frame pass.
func TestFramesThatCannotPass(t *testing.T) {
	r := start(t, "-i", "a}1/R", "-i", "b}1/T@conf:slots=8")
	in, out := r.open("a{1"), r.open("b{1")
	tx := in.Tx()[0]
	tx.Send(numbered(0, 100), numbered(1, 20000), numbered(2, 100), numbered(3, 5000),
		numbered(4, 100))
	tx.Slot(0).Len = 3000
	if err := in.TxSync(); err != nil {
		t.Fatal(err)
	}
	sizes := []int{100, 5000, 100}
	reader := out.Rx()[0].Reader(1 << 16)
	for got := 0; got < 3; {
		if e, err := out.Poll(t.Context(), netmap.In, 10*time.Second); err != nil || e == 0 {
			t.Fatalf("%d of 3 frames: %v", got, err)
		}
		for f := range reader.Frames() {
			if !bytes.Equal(f, numbered(got+2, sizes[got])) {
				t.Fatalf("frame %d is %d bytes, %.60x", got, len(f), f)
			}
			got++
		}
	}
	if list := r.end(); list[0].Frames != 3 || list[0].Endless != 10 || list[0].Bad != 1 {
		t.Errorf("%+v", list)
	}
}

func TestLoopback(t *testing.T) {
	r := start(t, "-i", "a}1", "-L")
	p := r.open("a{1")
	r.pass(p, r.open("a{1", netmap.RxOnly()), 5000, 100, all)
	r.end()
}

// A port name that excludes a direction makes a bridge of one direction.
func TestOneWay(t *testing.T) {
	r := start(t, "-i", "a}1/R", "-i", "b}1/T")
	r.pass(r.open("a{1"), r.open("b{1"), 1000, 100, all)
	if list := r.end(); len(list) != 1 {
		t.Errorf("%+v", list)
	}
}

// All rings are paired and served, and each keeps its order, even if one side has more rings.
func TestSeveralRings(t *testing.T) {
	for _, tt := range []struct{ left, right int }{{4, 4}, {4, 1}, {3, 2}, {1, 4}} {
		left, right := fmt.Sprintf("a}1@conf:rings=%d", tt.left),
			fmt.Sprintf("b}1@conf:rings=%d", tt.right)
		r := start(t, "-i", left, "-i", right)
		in, out := r.open("a{1"), r.open("b{1")
		const count = 200
		for i, ring := range in.Tx() {
			for n := range count {
				if ring.Send(numbered(1000*i+n, 60)) != 1 {
					t.Fatal("no room")
				}
			}
		}
		if err := in.TxSync(); err != nil {
			t.Fatal(err)
		}
		receiveInOrder(t, out, count*len(in.Tx()))
		r.end()
	}
}

// receiveInOrder receives count frames. The number of a frame contains the ring that sent it, which
// determines the ring that receives it, and its position in that ring.
func receiveInOrder(t *testing.T, out *netmap.Port, count int) {
	t.Helper()
	next := map[int]int{} // by ring of origin
	for total := 0; total < count; {
		got, err := out.Poll(t.Context(), netmap.In, 10*time.Second)
		if err != nil || got == 0 {
			t.Fatalf("%d of %d frames: %v", total, count, err)
		}
		for i, ring := range out.Rx() {
			for _, f := range ring.Frames() {
				n := int(binary.BigEndian.Uint32(f[50:]))
				if from := n / 1000; from%len(out.Rx()) != i || n%1000 != next[from] {
					t.Fatalf("ring %d: frame %d of ring %d, want %d", i, n%1000, from, next[from])
				}
				next[n/1000]++
				total++
			}
		}
	}
}

// A receiver that does not read stops the sender, and no frame is lost.
func TestBackPressure(t *testing.T) {
	r := start(t, "-i", "a}1", "-i", "b}1")
	in, out := r.open("a{1"), r.open("b{1")
	n := 0
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
		if in.Tx()[0].Send(numbered(n, 60)) == 1 {
			n++
		} else if got, err := in.Poll(t.Context(), netmap.Out, 300*time.Millisecond); err != nil {
			t.Fatal(err)
		} else if got == 0 {
			break // all full
		}
	}
	if err := in.TxSync(); err != nil || n < 1024 {
		t.Fatalf("%d frames, %v", n, err)
	}
	for got := 0; got < n; {
		if e, err := out.Poll(t.Context(), netmap.In, 10*time.Second); err != nil || e == 0 {
			t.Fatalf("%d of %d frames: %v", got, n, err)
		}
		for _, f := range out.Rx()[0].Frames() {
			if !bytes.Equal(f, numbered(got, 60)) {
				t.Fatalf("frame %d is %x", got, f)
			}
			got++
		}
	}
	r.end()
}

// If a port fails, the bridge ends with the port's error.
func TestPortFails(t *testing.T) {
	r := start(t, "-i", "a}1", "-i", "b}1")
	r.end()
	directions, err := r.o.open(r.f.Open)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.o.bridge(t.Context(), directions) }()
	directions[0].from.Close()
	select {
	case err = <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("it goes on")
	}
	if err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
