package netmaptest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/netmaptest"
)

// frame is an Ethernet frame to the broadcast address.
func frame(text string) []byte {
	return append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5"), text...)
}

// reflect is the program under test: it opens an interface and sends back what it receives, until
// its context ends.
func reflect(ctx context.Context, open func(string, ...netmap.Option) (*netmap.Port, error),
	name string) error {
	port, err := open(name)
	if err != nil {
		return err
	}
	defer port.Close()
	for {
		if _, err := port.Poll(ctx, netmap.In, -1); err != nil {
			return err
		}
		rx, tx := port.Rx()[0].Window(), port.Tx()[0].Window()
		for moved := netmap.Moved; rx.Len() > 0 && !moved.Stays(); {
			_, moved = rx.MoveTo(&tx)
		}
		tx.Commit()
		rx.Commit()
		port.TxSync()
	}
}

// start runs the program until the test ends.
func start(t *testing.T, fake *netmaptest.Fake, name string) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- reflect(ctx, fake.Open, name) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestInterface(t *testing.T) {
	testutil.CheckLeaks(t)
	fake := netmaptest.New(t)
	wire := fake.Interface("eth0")
	start(t, fake, "netmap:eth0")
	wire.Send(frame("one"), frame("two"))
	wire.Expect(frame("one"), frame("two"))
	long := bytes.Repeat(frame("long"), 500)
	wire.Send(long)
	wire.Expect(long)
	wire.ExpectNone(5 * time.Millisecond)
}

func TestLoss(t *testing.T) {
	fake := netmaptest.New(t)
	wire := fake.Interface("eth0")
	start(t, fake, "eth0")
	wire.Lose(func(n int, f []byte) bool { return n == 1 || bytes.Contains(f, []byte("bad")) })
	wire.Send(frame("0"), frame("1"), frame("2"), frame("bad"), frame("4"))
	wire.Expect(frame("0"), frame("2"), frame("4"))
	// count 2 is the first frame that comes back
	wire.Lose(func(n int, _ []byte) bool { return n == 2 })
	wire.Send(frame("5"), frame("6"))
	wire.Expect(frame("6"))
	wire.Lose(nil)
	wire.Send(frame("bad"))
	wire.Expect(frame("bad"))
}

func TestSeveralRings(t *testing.T) {
	fake := netmaptest.New(t)
	wire := fake.Interface("eth0", netmap.Rings(4, 4), netmap.Slots(64, 64))
	port, err := fake.Open("netmap:eth0-2")
	if err != nil {
		t.Fatal(err)
	}
	all, err := fake.Open("netmap:eth0/R")
	if err != nil {
		t.Fatal(err)
	}
	if len(port.Rx()) != 1 || len(all.Rx()) != 4 || len(all.Tx()) != 0 ||
		port.Rx()[0].NumSlots() != 64 {
		t.Fatalf("%v; %v", port, all)
	}
	for ring := range 4 {
		wire.SendTo(ring, frame(fmt.Sprint("to ring ", ring)))
	}
	all.RxSync()
	for i, ring := range all.Rx() {
		if w := ring.Window(); w.Len() != 1 || string(w.Frame()[14:]) != fmt.Sprint("to ring ", i) {
			t.Errorf("ring %d: %d frames", i, w.Len())
		}
	}
	port.Tx()[0].Send(frame("from ring 2"))
	port.TxSync()
	wire.Expect(frame("from ring 2"))
}

// Settle returns as soon as the program has read everything, and not before.
func TestSettle(t *testing.T) {
	fake := netmaptest.New(t)
	wire := fake.Interface("eth0", netmap.Rings(2, 2))
	wire.Settle()
	port, err := fake.Open("eth0")
	if err != nil {
		t.Fatal(err)
	}
	wire.SendTo(1, frame("to be read"))
	var settled atomic.Bool
	read := make(chan bool)
	go func() {
		defer close(read)
		for ring := port.Rx()[1]; ring.Len() == 0; time.Sleep(5 * time.Millisecond) {
			port.RxSync()
		}
		for range port.Rx()[1].Frames() {
			if settled.Load() {
				t.Error("settled before the frame was read")
			}
		}
		port.RxSync()
	}()
	wire.Settle()
	settled.Store(true)
	<-read
}

func TestOpen(t *testing.T) {
	fake := netmaptest.New(t)
	fake.Interface("eth0")
	for name, want := range map[string]error{
		"netmap:eth1":    syscall.ENXIO,
		"netmap:eth0-x":  syscall.EINVAL,
		"netmap:eth0-7":  syscall.EINVAL,
		"eth0/x":         nil,
		"vale0:a":        nil,
		"x{1":            nil,
		"netmap:eth1{x":  nil,
		"netmap:eth0^":   syscall.EINVAL,
		"netmap:eth1/rz": syscall.ENXIO,
	} {
		p, err := fake.Open(name)
		if !errors.Is(err, want) {
			t.Errorf("open %s: %v, want %v", name, err, want)
		}
		if err == nil {
			p.Close()
		}
	}
	a, err := fake.Open("vale0:a")
	if err != nil {
		t.Fatal(err)
	}
	b, err := fake.Open("eth0")
	if err != nil {
		t.Fatal(err)
	}
	if !a.SameRegion(b) {
		t.Error("a switch and an interface of a fake do not share memory")
	}
}

func TestPair(t *testing.T) {
	a, b := netmaptest.Pair(t, netmap.Rings(2, 2))
	for i := range 2 {
		a.Tx()[i].Send(frame("there"))
		b.Tx()[i].Send(frame("and back"))
	}
	a.TxSync()
	b.TxSync()
	for _, p := range []*netmap.Port{a, b} {
		p.RxSync()
		if len(p.Rx()) != 2 || p.Rx()[0].Len() != 1 || p.Rx()[1].Len() != 1 {
			t.Errorf("%v received nothing", p)
		}
	}
}

// fails is a testing.TB whose failure another test can inspect.
type fails struct {
	testing.TB
	ctx      context.Context
	said     string
	cleanups []func()
}

func (f *fails) Helper()                  {}
func (f *fails) Context() context.Context { return f.ctx }
func (f *fails) Cleanup(c func())         { f.cleanups = append(f.cleanups, c) }
func (f *fails) Fatal(args ...any)        { f.said = fmt.Sprint(args...); panic(f) }
func (f *fails) Fatalf(format string, args ...any) {
	f.said = fmt.Sprintf(format, args...)
	panic(f)
}

// failures are ways to fail, by a part of the message. Those of inTime wait for something that does
// not happen.
type failures map[string]func(scene)

// scene is what a failing test works with.
type scene struct {
	fake *netmaptest.Fake
	wire *netmaptest.Wire
}

var atOnce = failures{
	"":                               func(s scene) { s.wire.Expect(frame("from the program")) },
	"differs from byte 14 on":        func(s scene) { s.wire.Expect(frame("something else")) },
	"an unexpected frame":            func(s scene) { s.wire.ExpectNone(time.Second) },
	"has no ring 1":                  func(s scene) { s.wire.SendTo(1, frame("")) },
	"no room in ring 0":              func(s scene) { s.wire.SendTo(0, make([]byte, 4<<20)) },
	"ask for more with netmap.Slots": func(s scene) { s.wire.Send(make([]byte, 4<<20)) },
	`add interface "eth0"`:           func(s scene) { s.fake.Interface("eth0") },
	`add interface "vale0:x"`:        func(s scene) { s.fake.Interface("vale0:x") },
	`add interface "netmap:x"`:       func(s scene) { s.fake.Interface("netmap:x") },
}

var inTime = failures{
	"no frame came": func(s scene) { s.wire.Receive(); s.wire.Receive() },
	"does not read": func(s scene) { s.wire.Send(frame("unread")); s.wire.Settle() },
	"no room for a frame of 60 bytes": func(s scene) {
		for {
			s.wire.Send(make([]byte, 60))
		}
	},
}

// A failure fails the test with a message that tells the reason.
func TestFailures(t *testing.T) {
	for want, run := range atOnce {
		wantFailure(t, time.Minute, want, run)
	}
	for want, run := range inTime {
		wantFailure(t, 20*time.Millisecond, want, run)
	}
}

func wantFailure(t *testing.T, patience time.Duration, want string, run func(scene)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	f := &fails{TB: t, ctx: ctx}
	defer func() {
		for _, c := range slices.Backward(f.cleanups) {
			c()
		}
	}()
	func() {
		defer func() {
			if r := recover(); r != nil && r != any(f) {
				panic(r)
			}
		}()
		fake := netmaptest.New(f)
		wire := fake.Interface("eth0")
		port, err := fake.Open("eth0")
		if err != nil {
			t.Fatal(err)
		}
		port.Tx()[0].Send(frame("from the program"))
		port.TxSync()
		run(scene{fake, wire})
	}()
	if !strings.Contains(f.said, want) || want == "" && f.said != "" {
		t.Errorf("the test failed with %q, want %q", f.said, want)
	}
}
