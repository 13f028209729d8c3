//go:build linux

package device

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"github.com/seed-48afdc40/netmap/internal/capfile"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

const (
	captured    = 500
	capturedGap = 100 * time.Microsecond
)

// capturedFrame returns frame i of the file that replay sends.
func capturedFrame(i int) []byte {
	f := make([]byte, 60+i)
	copy(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
	binary.BigEndian.PutUint32(f[14:], uint32(i))
	return f
}

func captureFile(t *testing.T) string {
	t.Helper()
	b := capfile.Pcapng.AppendHeader(nil, capfile.Interface{Name: "x", Program: "test", Snap: 2000})
	for i := range captured {
		b = capfile.Pcapng.AppendRecord(b, 1e18+int64(i)*int64(capturedGap), capturedFrame(i), 60+i)
	}
	name := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// tool starts a command of netmap in a network namespace.
func (n *node) tool(ns *testutil.NS, args ...string) *client {
	n.t.Helper()
	return start(n.t, ns, "netmap", args...)
}

// capture starts a capture, and returns when it has begun to write.
func (n *node) capture(ns *testutil.NS, args string) (c *client, file string) {
	n.t.Helper()
	file = filepath.Join(n.t.TempDir(), "out")
	c = n.tool(ns, append([]string{"capture", "-w", file}, strings.Fields(args)...)...)
	eventually(n.t, "the capture begins", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() > 0 || !c.alive()
	})
	return c, file
}

// wantCaptured checks that a file has the frames of captureFile; their order matters only if
// ordered is set.
func wantCaptured(t *testing.T, file string, ordered bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	var got [][]byte
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, data)
	}
	if len(got) != captured {
		t.Fatalf("%d frames in the file, want %d", len(got), captured)
	}
	if !ordered {
		slices.SortFunc(got, func(a, b []byte) int { return bytes.Compare(a[14:18], b[14:18]) })
	}
	for i, f := range got {
		if !bytes.Equal(f, capturedFrame(i)) {
			t.Fatalf("frame %d: %x; want %x", i, f, capturedFrame(i))
		}
	}
}

// TestCaptureAndReplay sends a file from one process and captures it in another: over an interface,
// through the device and inside the process, and over a pipe and a switch.
func TestCaptureAndReplay(t *testing.T) {
	testutil.Require(t, "the program netmap", buildDaemon())
	n := newNode(t)
	h := newHosts(t)
	file := captureFile(t)
	for _, tt := range []struct {
		name, capture, replay string
		nic                   bool
	}{
		{"interface, inside", "-i netmap:" + nic + " ether proto 0x88b5", "-i netmap:" + nic + " -w 0",
			true},
		{"interface, over the device", "-i " + nic + " --device=NODE ether proto 0x88b5", "-i " + nic +
			" -w 0 --device=NODE", true},
		{"pipe", "-i x}1 --device=NODE", "-i x{1 --device=NODE -t", false},
		{"switch", "-i vale0:b --device=NODE", "-i vale0:a --device=NODE", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := &node{t: t, path: n.path, d: n.d}
			defer n.wantEmpty()
			var a, b *testutil.NS
			if tt.nic {
				a, b = h.a, h.b
			}
			inNode := func(s string) string { return strings.ReplaceAll(s, "NODE", n.path) }
			c, out := n.capture(b, inNode("-c 500 "+tt.capture))
			r := n.tool(a, append([]string{"replay", "-f", file},
				strings.Fields(inNode(tt.replay))...)...)
			if text := r.wait()["text"]; !strings.Contains(text, "Sent 500 frames, ") {
				t.Errorf("replay prints %s", text)
			}
			c.wait()
			wantCaptured(t, out, !tt.nic)
			said := c.stderr.String()
			if !strings.Contains(said, "500 packets captured\n500 packets received by filter\n") {
				t.Errorf("capture prints %s", said)
			}
			if !strings.Contains(said, "\n0 packets dropped by the port\n") &&
				!strings.Contains(tt.capture, "NODE") {
				t.Errorf("capture does not report lost frames: %s", said)
			}
		})
	}
}

func TestCaptureMonitor(t *testing.T) {
	testutil.Require(t, "the program netmap", buildDaemon())
	n := newNode(t)
	for _, how := range []string{"t", "rt", "z"} {
		t.Run(how, func(t *testing.T) {
			n := &node{t: t, path: n.path, d: n.d}
			defer n.wantEmpty()
			sink, took := n.capture(nil, "-i vale0:b -c 500 --device="+n.path)
			r := n.tool(nil, "replay", "-i", "vale0:a", "-D", "2s", "-f", captureFile(t),
				"--device="+n.path)
			eventually(t, "replay opens its port", func() bool {
				return slices.ContainsFunc(n.d.Engine().Status().Ports, func(p status.Port) bool {
					return p.Name == "vale0:a"
				})
			})
			c, saw := n.capture(nil, "-i vale0:a/"+how+" -c 500 --device="+n.path)
			for _, p := range []*client{r, c, sink} {
				p.wait()
			}
			wantCaptured(t, took, true)
			wantCaptured(t, saw, true)
			said := c.stderr.String()
			if !strings.Contains(said, "dropped by the port: not known") {
				t.Errorf("capture prints %s", said)
			}
		})
	}
}

// An interrupted capture has written all received frames, and ends with a summary and status 0.
func TestCaptureInterrupted(t *testing.T) {
	testutil.Require(t, "the program netmap", buildDaemon())
	n := newNode(t)
	c, out := n.capture(nil, "-i vale0:b --device="+n.path)
	n.tool(nil, "replay", "-i", "vale0:a", "-f", captureFile(t), "--device="+n.path).wait()
	c.cmd.Process.Signal(syscall.SIGINT)
	c.wait()
	wantCaptured(t, out, true)
}
