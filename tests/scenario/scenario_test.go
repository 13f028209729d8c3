//go:build linux

// Package scenario tests what a program may expect of netmap with every transport. Each scenario
// runs in a framework inside the process, on a device node that a daemon serves, and on a device
// node that knows API 11 only.
package scenario

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"log/slog"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/daemon"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// scenario is one use of netmap by a program.
type scenario struct {
	name string
	run  func(*world)
}

var scenarios = []scenario{
	{"vale unicast and broadcast", valeUnicastAndBroadcast},
	{"vale packets of several slots", valeLongPackets},
	{"vale full receiver", valeFullReceiver},
	{"pipe both ways", pipeBothWays},
	{"pipe of several rings", pipeOfSeveralRings},
	{"pipe blocks when it is full", pipeBlocks},
	{"pipe end that opens late", pipeOpensLate},
	{"pipe of large rings", pipeOfLargeRings},
	{"zero copy between two pipes", swapBetweenPorts},
	{"one region", oneRegion},
	{"extra buffers", extraBuffers},
	{"extra buffers that are not returned", extraBuffersLost},
	{"exclusive", exclusive},
	{"one ring of several", oneRing},
	{"one direction", oneDirection},
	{"two ports on the same rings", twoBindings},
	{"null port", nullPort},
	{"no tx poll", noTxPoll},
	{"timeouts", timeouts},
	{"contexts", contexts},
	{"close ends a poll", closeEndsPoll},
	{"two ports wait for one ring", twoWait},
	{"two goroutines wait on one port", bothDirectionsWait},
	{"a raw link", rawLink},
	{"a raw link ends", rawLinkEnds},
	{"error numbers", errorNumbers},
	{"a bad head", badHead},
	{"requested and granted numbers", answers},
	{"out of memory", outOfMemory},
	{"copy monitors", copyMonitors},
	{"zero-copy monitors", zeroCopyMonitors},
	{"monitors wake", monitorsWake},
	{"monitor of a closed port", orphanedMonitor},
	{"refused monitors", monitorErrors},
	{"frames longer than a buffer on interfaces", nicLongFrames},
	{"the time of a sync", timestamps},
	{"refused times of frames", noFrameTimes},
	{"a forwarder between host and wire", hostForwarder},
	{"a forwarder between host and wire, with VLAN tags", hostForwarderTagged},
	{"a forwarder between host and wire, two ports", hostForwarderTwoPorts},
	{"transparent mode", transparentMode},
	{"host rings alone", hostRingsAlone},
	{"host rings that open late", hostRingsOpenLate},
	{"host rings and queues of the host", hostKeepsQueues},
	{"monitors of host rings", hostMonitors},
}

// laterScenarios need options or several host rings, which came with NIOCCTRL.
var laterScenarios = []scenario{
	{"offsets", offsets},
	{"offsets keep the bytes before them", offsetsKeepRoom},
	{"offsets and long frames", offsetsLongFrames},
	{"offsets out of bounds", offsetsOutOfBounds},
	{"offsets and monitors", offsetsMonitored},
	{"refused offsets", offsetErrors},
	{"zero copy between two pipes, with offsets", swapWithOffsets},
	{"external memory", externalMemory},
	{"external memory of small buffers", externalMemoryOfSmallBuffers},
	{"external memory is private", externalMemoryIsPrivate},
	{"refused external memory", externalMemoryErrors},
	{"external memory with holes", externalMemoryWithHoles},
	{"a forwarder between host and wire, several rings", hostForwarderRings},
	{"a forwarder between host and wire, in sync loops", hostForwarderLoop},
	{"a forwarder between host and wire, with offsets", hostForwarderOffsets},
	{"transparent mode with offsets", transparentOffsets},
	{"host rings by number", hostRingNumbers},
}

func TestScenarios(t *testing.T) {
	for _, tr := range []struct {
		name  string
		start func(*testing.T) *world
		list  []scenario
	}{
		{"embedded", embedded, slices.Concat(scenarios, laterScenarios)},
		{"device", device, slices.Concat(scenarios, laterScenarios)},
		{"device without NIOCCTRL", legacyDevice, scenarios}, // and TestOptionsOfLegacyDevices
	} {
		t.Run(tr.name, func(t *testing.T) {
			for _, s := range tr.list {
				t.Run(s.name, func(t *testing.T) {
					testutil.CheckLeaks(t)
					s.run(tr.start(t))
				})
			}
		})
	}
}

// world is a framework without ports. At the end of a test its ports are closed, and all objects
// have to be back in the pools.
type world struct {
	*testing.T
	tryOpen func(name string, options ...netmap.Option) (*netmap.Port, error)
	usage   func() mem.Usage
}

// The size of a world is enough for a few ports.
const (
	buffers = 12288
	rings   = 64
)

func embedded(t *testing.T) *world {
	t.Helper()
	f, err := embed.New(embed.Config{Buffers: buffers, BufSize: 2048, Rings: rings, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return newWorld(t, f.Open, func() mem.Usage { return mem.Usage(f.Usage()) })
}

func device(t *testing.T) *world { return served(t, control.Policy{}) }

func TestOptionsOfLegacyDevices(t *testing.T) {
	testutil.CheckLeaks(t)
	w := legacyDevice(t)
	memory := netmap.ExternalMemory(make([]byte, 4096), abi.PoolsInfo{})
	for _, o := range []netmap.Option{netmap.Offsets(64, 0), memory, netmap.SyncLoop()} {
		_, err := w.tryOpen("vale0:a", o)
		w.wantErrno("an option", err, syscall.EOPNOTSUPP)
	}
	w.open("vale0:a")
}

// legacyDevice serves a device that knows no API after 11.
func legacyDevice(t *testing.T) *world { return served(t, control.Policy{LegacyOnly: true}) }

func served(t *testing.T, policy control.Policy) *world {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node")
	d, err := daemon.Start(daemon.Config{
		Engine: engine.Config{Region: mem.Config{Buf: mem.Pool{Num: buffers},
			Ring: mem.Pool{Num: rings}, NoHuge: true}},
		Path: path, Mode: 0o600, Policy: policy, Spin: 20 * time.Microsecond,
		Log: slog.New(slog.DiscardHandler),
	})
	testutil.Require(t, "a device node (root, FUSE passthrough of Linux 6.9)", err)
	t.Cleanup(func() { d.Close() })
	open := func(name string, options ...netmap.Option) (*netmap.Port, error) {
		return netmap.OpenDevice(path, name, options...)
	}
	return newWorld(t, open, d.Engine().Region().Usage)
}

func newWorld(t *testing.T, open func(string, ...netmap.Option) (*netmap.Port, error),
	usage func() mem.Usage) *world {
	w := &world{T: t, tryOpen: open, usage: usage}
	t.Cleanup(func() {
		// FUSE tells the daemon of a closed descriptor a moment later.
		end := time.Now().Add(2 * time.Second)
		for !usage().Full() && time.Now().Before(end) {
			time.Sleep(time.Millisecond)
		}
		if u := usage(); !u.Full() {
			t.Errorf("objects are missing at the end: %+v", u)
		}
	})
	return w
}

// open opens a port, which is closed at the end of the test.
func (w *world) open(name string, options ...netmap.Option) *netmap.Port {
	w.Helper()
	p, err := w.tryOpen(name, options...)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { p.Close() })
	return p
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) wantErrno(what string, err error, want syscall.Errno) {
	w.Helper()
	if want == 0 && err != nil || want != 0 && !errors.Is(err, want) {
		w.Errorf("%s: %v, want %v", what, err, want)
	}
}

// poll waits for the events, for at most five seconds.
func (w *world) poll(p *netmap.Port, events netmap.Events) netmap.Events {
	w.Helper()
	got, err := p.Poll(w.Context(), events, 5*time.Second)
	w.must(err)
	return got
}

// frame returns a frame between two stations that contains a text. Station 0 is the broadcast
// address.
func frame(from, to byte, text string) []byte {
	dst := []byte{2, 0, 0, 0, 0, to}
	if to == 0 {
		dst = []byte{255, 255, 255, 255, 255, 255}
	}
	return append(append(dst, 2, 0, 0, 0, 0, from, 0x88, 0xb5), text...)
}

// send sends frames on a ring.
func (w *world) send(p *netmap.Port, ring int, frames ...[]byte) {
	w.Helper()
	if n := p.Tx()[ring].Send(frames...); n != len(frames) {
		w.Fatalf("%v has room for %d frames, want %d", p, n, len(frames))
	}
	w.must(p.TxSync())
}

// texts syncs a port and returns the received frames without their headers.
func (w *world) texts(p *netmap.Port) (all []string) {
	w.Helper()
	w.must(p.RxSync())
	for _, r := range p.Rx() {
		for _, f := range r.Frames() {
			all = append(all, string(f[min(14, len(f)):]))
		}
	}
	w.must(p.RxSync()) // gives the slots back
	return all
}

func (w *world) wantTexts(p *netmap.Port, want ...string) {
	w.Helper()
	w.wantEqual(p.Name(), w.texts(p), want)
}

func (w *world) wantEqual(who string, got, want []string) {
	w.Helper()
	if !slices.Equal(got, want) {
		w.Errorf("%s receives %q, want %q", who, got, want)
	}
}

func numbers(from, to int) (all []string) {
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprint(i))
	}
	return all
}
