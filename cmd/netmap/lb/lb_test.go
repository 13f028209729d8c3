package lb

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli/clitest"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func mustParse(t *testing.T, args ...string) *flags {
	t.Helper()
	o := &flags{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	f := pflag.NewFlagSet("lb", pflag.ContinueOnError)
	o.addFlags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	if err := o.check(); err != nil {
		t.Fatal(err)
	}
	return o
}

func TestGroups(t *testing.T) {
	for args, want := range map[string]string{
		"-i netmap:eth0":                        "[{eth0 0 2}]",
		"-i eth0 -p 4":                          "[{eth0 0 4}]",
		"-i vale0:in -p 3":                      "[{vale0:in 0 3}]",
		"-i netmap:x}1 -p 3":                    "[{x 0 3}]",
		"-i eth0-2/R -p ids:4 -p 1 -p ids:2":    "[{ids 0 4} {eth0 0 1} {ids 4 2}]",
		"-i eth0 -p netmap:a: -p vale1:x:3":     "[{a 0 2} {vale1:x 0 3}]",
		"-i eth0 -p 2 -B 100 -b 10 -w 1 -W -o1": "[{eth0 0 2}]",
	} {
		if got := fmt.Sprint(mustParse(t, strings.Fields(args)...).groups); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

// Each command line gives an error of one line that names the flag.
func TestBadFlags(t *testing.T) {
	for args, want := range map[string]string{
		"":                          "-i",
		"-i a:b":                    "-i: port name",
		"-i eth0/T":                 "-i",
		"-i eth0 -p 0":              "-p",
		"-i eth0 -p -1":             "-p",
		"-i eth0 -p x":              "-p",
		"-i eth0 -p :3":             "-p",
		"-i eth0 -p a^:3":           "-p",
		"-i eth0 -p a{1:3":          "-p",
		"-i eth0 -p 100000":         "-p",
		"-i eth0 -B -1":             "-B",
		"-i eth0 -B x":              "-B",
		"-i eth0 -b 0":              "-b",
		"-i eth0 -o -1":             "-o",
		"-i eth0 -s -1":             "-s",
		"-i eth0 -w x":              "-w",
		"-i eth0 --hash l2":         "--hash",
		"-i eth0 --nosuch":          "--nosuch",
		"-i eth0 extra":             "extra",
		"-i eth0 --device=/dev/nul": "/dev/nul",
	} {
		status := 2
		if strings.Contains(args, "/dev/nul") {
			status = 1
		}
		clitest.Fails(t, New(), args, status, want)
	}
}

// running is a balancer in its own framework, which receives from in}1.
type running struct {
	t   *testing.T
	f   *embed.Framework
	o   *flags
	b   *balancer
	in  *netmap.Port // sends to the balancer
	end func() record
}

func start(t *testing.T, args ...string) *running {
	t.Helper()
	testutil.CheckLeaks(t)
	f, err := embed.New(embed.Config{Buffers: 16384, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	r := &running{t: t, f: f, o: mustParse(t, append([]string{"-i", "in}1"}, args...)...)}
	if r.b, err = r.o.open(f.Open); err != nil {
		t.Fatal(err)
	}
	r.in = r.open("in{1")
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	rep := &reporter{o: r.o}
	go func() { done <- r.o.balance(ctx, r.b, rep) }()
	finish := sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(finish) // before the framework closes
	r.end = func() record {
		finish()
		return rep.total()
	}
	return r
}

func (r *running) open(name string) *netmap.Port {
	r.t.Helper()
	p, err := r.f.Open(name)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { p.Close() })
	return p
}

// sinks opens the other ends of pipes.
func (r *running) sinks(name string, n int) (list []*netmap.Port) {
	for i := range n {
		list = append(list, r.open(fmt.Sprintf("%s}%d", name, i)))
	}
	return list
}

// flowFrame returns frame seq of a flow: of IPv4 or IPv6, with or without VLAN tag, in either
// direction.
func flowFrame(flow, seq, size int) []byte {
	four, six := four, six
	four.aPort, six.aPort = uint16(flow), uint16(flow)
	if seq%2 == 1 {
		four, six = four.reversed(), six.reversed()
	}
	text := ether(kind4, four.ipv4(17, 0, four.ports()))
	switch flow % 3 {
	case 1:
		text = ether(kind6, six.ipv6(6, six.ports()))
	case 2:
		text = ether("\x81\x00\x00\x05"+kind4, four.ipv4(6, 0, four.ports()))
	}
	f := make([]byte, size)
	copy(f, text)
	binary.BigEndian.PutUint32(f[size-8:], uint32(flow))
	binary.BigEndian.PutUint32(f[size-4:], uint32(seq))
	return f
}

// send sends the frames with numbers from from to to-1 of each flow, and waits for room.
func (r *running) send(flows, from, to, size int) {
	r.t.Helper()
	for seq := from; seq < to; seq++ {
		for flow := range flows {
			for r.in.Tx()[0].Send(flowFrame(flow, seq, size)) == 0 {
				if e, err := r.in.Poll(r.t.Context(), netmap.Out, 10*time.Second); err != nil || e == 0 {
					r.t.Fatalf("no room for frame %d of flow %d: %v", seq, flow, err)
				}
			}
		}
	}
	if err := r.in.TxSync(); err != nil {
		r.t.Fatal(err)
	}
}

// sink is a receiver at a pipe, and what it has seen.
type sink struct {
	port  *netmap.Port
	next  map[int]int // expected number, by flow
	total int
	part  []byte
}

// read receives the frames that have come. Each flow has to be in order, each frame whole.
func (s *sink) read(t *testing.T, size int) {
	t.Helper()
	if err := s.port.RxSync(); err != nil {
		t.Fatal(err)
	}
	for slot, f := range s.port.Rx()[0].Frames() {
		if s.part = append(s.part, f...); slot.Flags&abi.NSMoreFrag != 0 {
			continue
		}
		if len(s.part) != size {
			t.Fatalf("a frame of %d bytes, want %d", len(s.part), size)
		}
		flow, seq := int(binary.BigEndian.Uint32(s.part[size-8:])),
			int(binary.BigEndian.Uint32(s.part[size-4:]))
		if seq != s.next[flow] || !bytes.Equal(s.part, flowFrame(flow, seq, size)) {
			t.Fatalf("frame %d of flow %d is %x, want frame %d", seq, flow, s.part[:min(size, 80)],
				s.next[flow])
		}
		s.next[flow]++
		s.total++
		s.part = s.part[:0]
		clear(f) // a receiver may write into its frames
	}
	if err := s.port.RxSync(); err != nil { // releases the slots
		t.Fatal(err)
	}
}

func newSinks(ports []*netmap.Port) (list []*sink) {
	for _, p := range ports {
		list = append(list, &sink{port: p, next: map[int]int{}})
	}
	return list
}

// receiveAll receives from all sinks until want frames have come.
func receiveAll(t *testing.T, sinks []*sink, want, size int) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		total := 0
		for _, s := range sinks {
			s.read(t, size)
			total += s.total
		}
		if total >= want {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d of %d frames came", total, want)
		}
	}
}

// Every flow goes to exactly one pipe of each group, whole and in order. Every group gets every
// frame.
func TestFlowsStayTogether(t *testing.T) {
	for _, args := range []string{"", "-W", "-b 7", "-B 2000", "-i in}1@offset=64"} {
		for _, size := range []int{100, 5000} {
			t.Run(fmt.Sprintf("%s/%d", args, size), func(t *testing.T) {
				const flows, rounds, each = 60, 6, 5
				r := start(t, append(strings.Fields(args), "-p", "a:3", "-p", "b:2", "-p", "c:1")...)
				var groups [][]*sink
				for _, g := range r.o.groups {
					groups = append(groups, newSinks(r.sinks(g.name, g.pipes)))
				}
				for round := range rounds {
					r.send(flows, round*each, (round+1)*each, size)
					for _, g := range groups {
						receiveAll(t, g, flows*(round+1)*each, size)
					}
				}
				for i, g := range groups {
					wantWholeFlows(t, fmt.Sprint("group ", i), g, flows, rounds*each)
				}
				const all = flows * rounds * each
				if n := r.end(); *n.Received != all || n.Forwarded != 3*all || n.Dropped != 0 || *n.NonIP != 0 {
					t.Errorf("received %d, forwarded %d, dropped %d", *n.Received, n.Forwarded, n.Dropped)
				}
			})
		}
	}
}

// wantWholeFlows checks that each flow is in one pipe, with all its frames, and that no pipe is
// empty.
func wantWholeFlows(t *testing.T, group string, pipes []*sink, flows, frames int) {
	t.Helper()
	owners := map[int]int{} // number of pipes, by flow
	for _, s := range pipes {
		for flow, n := range s.next {
			if owners[flow]++; n != frames {
				t.Errorf("%s: %d frames of flow %d, want %d", group, n, flow, frames)
			}
		}
		if s.total == 0 {
			t.Errorf("%s: a pipe got nothing", group)
		}
	}
	if len(owners) != flows {
		t.Errorf("%s: %d flows, want %d", group, len(owners), flows)
	}
	for flow, n := range owners {
		if n != 1 {
			t.Errorf("%s: flow %d is in %d pipes", group, flow, n)
		}
	}
}

// Frames for a full pipe wait in extra buffers, in order, until there is room.
func TestOverflow(t *testing.T) {
	for _, groups := range []string{"-p a:1", "-p b:1 -p a:1", "-p b:1 -p a:1 -i in}1@offset=64"} {
		for _, size := range []int{100, 5000} {
			const flows, each = 10, 150
			r := start(t, append(strings.Fields(groups), "-B", "8000")...)
			first, rest := newSinks(r.sinks("a", 1)), []*sink(nil)
			if strings.Contains(groups, "b") {
				rest = newSinks(r.sinks("b", 1))
			}
			r.send(flows, 0, each, size)
			for _, g := range [][]*sink{first, rest} {
				if g != nil {
					receiveAll(t, g, flows*each, size)
				}
			}
			if n := r.end(); n.Dropped != 0 || *n.Free != 8000 {
				t.Errorf("dropped %d, %d extra buffers free", n.Dropped, *n.Free)
			}
		}
	}
}

// A pipe that nobody reads loses frames, which are counted. The other pipe loses none. At the end,
// all buffers are free.
func TestStalledPipe(t *testing.T) {
	for _, extra := range []int{0, 500} {
		for _, size := range []int{100, 5000} {
			const flows, rounds, each = 40, 20, 5
			r := start(t, "-p", "a:2", "-B", fmt.Sprint(extra))
			sinks := newSinks(r.sinks("a", 2))
			mine := 0
			for round := range rounds {
				r.send(flows, round*each, (round+1)*each, size)
				eventually(t, "all is received",
					func() bool { return r.b.received.Load() == uint64(flows*(round+1)*each) })
				sinks[1].read(t, size)
			}
			mine = sinks[1].total
			n := r.end()
			if n.Forwarded+n.Dropped != flows*rounds*each || n.Dropped == 0 {
				t.Errorf("%d extra buffers: forwarded %d, dropped %d of %d", extra, n.Forwarded, n.Dropped,
					flows*rounds*each)
			}
			if stalled := r.b.outputs[0].read(); stalled.Dropped != n.Dropped ||
				extra > 0 && n.Revoked == 0 || extra == 0 && n.Full == 0 {
				t.Errorf("%d extra buffers: all %d, the stalled pipe %+v", extra, n.Dropped, stalled)
			}
			if uint64(mine) != r.b.outputs[1].n.frames.Load() {
				t.Errorf("%d extra buffers: %d frames of %d came out of the other pipe", extra, mine,
					r.b.outputs[1].n.frames.Load())
			}
			for _, p := range []*netmap.Port{r.in, sinks[0].port, sinks[1].port, r.b.in, r.b.outputs[0].port,
				r.b.outputs[1].port} {
				p.Close()
			}
			if u := r.f.Usage(); !u.Full() {
				t.Errorf("%d extra buffers: objects are missing: %+v", extra, u)
			}
		}
	}
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// A frame longer than the ring of a pipe is dropped at once, with and without extra buffers, and so
// is one with an invalid slot. The frames after such a frame pass.
func TestFramesThatCannotPass(t *testing.T) {
	for _, extra := range []int{0, 100} {
		f, err := embed.New(embed.Config{Buffers: 16384, NoHugePages: true})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		r := &running{t: t, f: f}
		s := newSinks([]*netmap.Port{r.open("a}0@conf:slots=8")})[0]
		in := r.open("in{1")
		o := &flags{port: "in}1", by: byFlow, batch: 2048, groups: []group{{name: "a", pipes: 1}},
			extra: extra, err: &bytes.Buffer{}}
		b, err := o.open(f.Open)
		if err != nil {
			t.Fatal(err)
		}
		tx := in.Tx()[0]
		tx.Send(flowFrame(1, 0, 100), flowFrame(1, 0, 100), flowFrame(2, 0, 20000), flowFrame(1, 1, 100))
		tx.Slot(1).Len = embed.DefaultBufSize + 1
		in.TxSync()
		b.in.RxSync()
		if err := b.round(); err != nil {
			t.Fatal(err)
		}
		s.read(t, 100)
		if n := b.outputs[0].read(); s.total != 2 || n.Dropped != 1 || *n.Waiting != 0 ||
			b.malformed.Load() != 1 || b.received.Load() != 3 {
			t.Errorf("%d frames came; %+v, %d malformed, %d received", s.total, n, b.malformed.Load(),
				b.received.Load())
		}
		b.returnExtra()
	}
}

// A pipe to which another program sends is refused.
func TestPipeInUse(t *testing.T) {
	f, err := embed.New(embed.Config{Buffers: 16384, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Open("a{1"); err != nil {
		t.Fatal(err)
	}
	if _, err := mustParse(t, "-i", "in}1", "-p", "a:2", "-B", "10").open(f.Open); err == nil ||
		!strings.Contains(err.Error(), "a{1") {
		t.Errorf("error %v, want one about a{1", err)
	}
}

// The report is a line of JSON for each pipe, and one for all, with upstream's names.
func TestReport(t *testing.T) {
	r := start(t, "-p", "a:2", "-o", "1")
	sinks := newSinks(r.sinks("a", 2))
	r.send(10, 0, 2, 100)
	receiveAll(t, sinks, 20, 100)
	time.Sleep(1200 * time.Millisecond)
	r.end()
	lines := strings.Split(strings.TrimSpace(r.o.out.(*bytes.Buffer).String()), "\n")
	if len(lines) != 4 || lines[3] != "20 packets forwarded.  0 packets dropped. Total 20" {
		t.Fatalf("%q", lines)
	}
	var all map[string]any
	if err := json.Unmarshal([]byte(lines[2]), &all); err != nil {
		t.Fatal(err)
	}
	if all["output_ring"] != nil || all["packets_received"] != 20.0 ||
		all["packets_forwarded"] != 20.0 || all["interface"] != "in}1" || all["non_ip_packets"] != 0.0 {
		t.Errorf("%v", all)
	}
	if !strings.Contains(lines[1], `"interface":"a{1","output_ring":1,`) {
		t.Errorf("%s", lines[1])
	}
}

// BenchmarkRound measures balancing alone: sender, balancer and receivers are on one goroutine.
func BenchmarkRound(b *testing.B) {
	f, err := embed.New(embed.Config{Buffers: 16384})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	o := &flags{port: "in}1", by: byFlow, batch: 2048, groups: []group{{name: "a", pipes: 2}}}
	lb, err := o.open(f.Open)
	if err != nil {
		b.Fatal(err)
	}
	var ports []*netmap.Port
	for _, name := range []string{"in{1", "a}0", "a}1"} {
		p, err := f.Open(name)
		if err != nil {
			b.Fatal(err)
		}
		ports = append(ports, p)
	}
	in, sinks := ports[0], ports[1:]
	const batch = 512
	b.ReportAllocs()
	for n := 0; n < b.N; n += batch {
		tx := in.Tx()[0]
		one, two := tx.Batch(batch)
		for i, slots := range [][]abi.Slot{one, two} {
			for j := range slots {
				slots[j].Len = uint16(copy(tx.Buf(slots[j].BufIdx), benchFrames[(i*7+j)%len(benchFrames)]))
			}
		}
		tx.Advance(len(one) + len(two))
		in.TxSync()
		lb.in.RxSync()
		if err := lb.round(); err != nil {
			b.Fatal(err)
		}
		for _, s := range sinks {
			s.RxSync()
			s.Rx()[0].Advance(s.Rx()[0].Len())
			s.RxSync()
		}
	}
	if n := lb.outputs[0].n.full.Load() + lb.outputs[1].n.full.Load(); n > 0 {
		b.Errorf("%d frames dropped", n)
	}
}

// benchFrames are frames of many flows.
var benchFrames = func() (list [][]byte) {
	for i := range 256 {
		list = append(list, flowFrame(3*i, 0, 60))
	}
	return list
}()
