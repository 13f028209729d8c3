package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// ringOf returns a ring of a port from the status.
func ringOf(t testing.TB, s status.Status, port, ring string) status.Ring {
	t.Helper()
	for _, p := range s.Ports {
		for _, r := range p.Rings {
			if p.Name == port && r.Direction+" "+r.Label() == ring {
				return r
			}
		}
	}
	t.Fatalf("no ring %s of %s in %+v", ring, port, s.Ports)
	return status.Ring{}
}

func wantTraffic(t testing.TB, e *engine.Engine, port, ring string, frames, bytes uint64) {
	t.Helper()
	if r := ringOf(t, e.Status(), port, ring); r.Frames != frames || r.Bytes != bytes {
		t.Errorf("%s %s: %d frames, %d bytes; want %d, %d", port, ring, r.Frames, r.Bytes, frames, bytes)
	}
}

// putParts puts a frame into several slots.
func putParts(t testing.TB, r *programRing, parts ...string) {
	t.Helper()
	for i, part := range parts {
		at := r.Head.Load()
		r.put(t, part)
		if i < len(parts)-1 {
			r.slots[at].Flags = abi.NSMoreFrag
		}
	}
}

func TestRingsCountFramesAndBytes(t *testing.T) {
	e := newEngine(t)
	for _, c := range []struct {
		tx, rx string
		lost   uint64 // of a switch, what does not fit; a pipe's sender has no room for it
	}{{"vale0:a", "vale0:b", 3}, {"x{1", "x}1", 0}} {
		a, b := open(t, e, c.tx, request(16)), open(t, e, c.rx, request(8))
		watcher := open(t, e, c.tx, request(16, flags(abi.NRMonitorTx)))
		frames, bytes := uint64(0), uint64(0)
		for _, text := range []string{"", "longer", strings.Repeat("long", 30)} {
			a.tx[0].put(t, frame(text))
			frames, bytes = frames+1, bytes+uint64(len(frame(text)))
		}
		putParts(t, a.tx[0], frame("in several"), "parts", "of it")
		frames, bytes = frames+1, bytes+uint64(len(frame("in several"))+10)
		a.TxSync()
		b.RxSync()
		wantTraffic(t, e, c.tx, "tx 0", frames, bytes)
		wantTraffic(t, e, c.rx, "rx 0", frames, bytes)
		wantTraffic(t, e, c.tx, "rx 0", 0, 0)
		watcher.RxSync()
		wantTraffic(t, e, c.tx+"/t#0", "rx 0", frames, bytes)
		if r := ringOf(t, e.Status(), c.rx, "rx 0"); r.Used != 6 || r.Slots < 8 || !r.Open {
			t.Errorf("%s holds %+v, want 6 slots in use", c.rx, r)
		}
		if c.lost > 0 {
			for range 4 {
				a.tx[0].put(t, frame("more"))
			}
			a.TxSync()
			wantTraffic(t, e, c.tx, "tx 0", frames+4, bytes+4*uint64(len(frame("more"))))
			wantTraffic(t, e, c.rx, "rx 0", frames+1, bytes+uint64(len(frame("more"))))
			if r := ringOf(t, e.Status(), c.rx, "rx 0"); r.Drops["no-room"] != c.lost {
				t.Errorf("lost %v", r.Drops)
			}
		}
	}
}

// A packet that is left for the next batch is counted once.
func TestFramesAcrossBatchesCountOnce(t *testing.T) {
	e, err := engine.New(engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	a := open(t, e, "vale0:a", request(2048))
	open(t, e, "vale0:b", request(2048))
	for range 300 {
		putParts(t, a.tx[0], frame("1"), "2", "3", "4", "5")
	}
	a.TxSync()
	wantTraffic(t, e, "vale0:a", "tx 0", 300, 300*uint64(len(frame("12345"))))
	wantTraffic(t, e, "vale0:b", "rx 0", 300, 300*uint64(len(frame("12345"))))
}

func TestStatusOfSwitchesAndMemory(t *testing.T) {
	e := newEngine(t)
	a := open(t, e, "vale7:a", request(8))
	open(t, e, "vale7:b", request(8))
	open(t, e, "some", request(8, null, rings(1, 1)))
	open(t, e, "some", request(8, null, rings(1, 1)))
	a.tx[0].put(t, frame("hello"))
	a.TxSync()
	s := e.Status()
	want := "[{vale7 [{0 vale7:a} {1 vale7:b}] [{02:00:00:00:00:01 0}]}]"
	if got := fmt.Sprint(s.Switches); got != want {
		t.Errorf("switches %s", got)
	}
	u := e.Region().Usage()
	if m := s.Memory; len(m) != 1 || m[0].ID != 1 || m[0].Buffers.Free != u.BufFree ||
		m[0].Rings.Total != u.RingTotal || m[0].Interfaces.Used() != 4 {
		t.Errorf("memory %+v, want %+v", m, u)
	}
	var names []string
	for _, p := range s.Ports {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	if len(slices.Compact(names)) != 4 {
		t.Errorf("ports are called %q", names)
	}
}

// What an interface on a switch sends and receives is counted once, under its name on the switch.
func TestStatusOfAttachedInterfaces(t *testing.T) {
	o := newOffice(t, 2, 1)
	o.mustAttach("vale0:v0")
	o.mustAttach("vale0:v1")
	if lost := o.ping(0, "10.0.0.2", 20); lost > 0 {
		t.Fatalf("%d of 20 lost", lost)
	}
	s := o.e.Status()
	// what the kernel has is not counted yet
	isSent := func(port string) bool { return ringOf(t, s, port, "tx 0").Used == 0 }
	for end := time.Now().Add(5 * time.Second); !(isSent("vale0:v0") && isSent("vale0:v1")) &&
		time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		s = o.e.Status()
	}
	for _, port := range []string{"vale0:v0", "vale0:v1"} {
		for _, ring := range []string{"tx 0", "rx 0"} {
			// 20 requests or answers of 1434 bytes, and ARP
			if r := ringOf(t, s, port, ring); r.Frames < 21 || r.Frames > 39 || r.Bytes < 20*1434 ||
				r.Bytes > 22*1434 || !r.Open {
				t.Errorf("%s %s: %+v", port, ring, r)
			}
		}
	}
	if p := s.Ports[0]; len(s.Ports) != 2 || p.Attached != "v0" || p.NetNS == "" || p.Detail == "" ||
		p.Rings[0].Direction != "tx" {
		t.Errorf("%+v", s.Ports)
	}
}

// Host rings are shown as such, and count.
func TestStatusOfHostRings(t *testing.T) {
	o := newOffice(t, 1, 1)
	var b *engine.Binding
	var err error
	o.ns.Do(func() { b, err = o.e.Register("v0", request(64, mode(abi.RegNICSW))) })
	testutil.Require(t, "AF_XDP and TCX", err)
	defer b.Close()
	o.ns.AddAddr(t, "v0", "10.0.0.9/24")
	// the request is lost, because no program forwards it; the ARP request for 10.0.0.1 arrives
	o.ns.Ping(t, "10.0.0.1", 1, 100, 0)
	b.RxSync()
	if r := ringOf(t, o.e.Status(), "v0", "rx 1^"); r.Frames == 0 || r.Bytes < 42*r.Frames ||
		r.Used != uint32(r.Frames) || !r.Host {
		t.Errorf("%+v", r)
	}
}
