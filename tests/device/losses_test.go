//go:build linux

package device

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/daemon"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/packet"
	"github.com/seed-48afdc40/netmap/source"
)

// offerStatus lets the node's daemon offer its status API at the default socket.
func (n *node) offerStatus() {
	n.t.Helper()
	config := daemon.StatusConfig{Socket: status.DefaultSocket(n.path)}
	if err := n.d.ServeStatus(config); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) open(name string, options ...netmap.Option) *netmap.Port {
	n.t.Helper()
	p, err := netmap.OpenDevice(n.path, name, options...)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { p.Close() })
	return p
}

// flood sends broadcast frames, whether or not receivers have room.
func flood(t *testing.T, p *netmap.Port, frames int) {
	t.Helper()
	frame := append(bytes.Repeat([]byte{0xff}, 6), make([]byte, 54)...)
	for sent := 0; sent < frames; {
		sent += p.Tx()[0].Send(frame)
		if p.Tx()[0].Len() == 0 || sent == frames {
			if err := p.TxSync(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A capture through the device that was stopped for a while reports the frames that its own port
// lost, and no others, for a port of a switch and for a monitor.
func TestCaptureCountsLosses(t *testing.T) {
	testutil.Require(t, "the program netmap", buildDaemon())
	n := newNode(t)
	n.offerStatus()
	tx := n.open("vale0:a")
	const sent = 5000
	const summary = "%d packets captured\n%d packets received by filter\n" +
		"%d packets dropped by the port"
	for _, port := range []string{"vale0:b", "vale0:a/t", "vale0:a/rt"} {
		t.Run(strings.ReplaceAll(port, "/", " "), func(t *testing.T) {
			n := &node{t: t, path: n.path, d: n.d}
			slow, _ := n.capture(nil, "-i "+port+" --device="+n.path)
			fast, _ := n.capture(nil, "-i vale0:a/t --device="+n.path)
			slow.cmd.Process.Signal(syscall.SIGSTOP)
			for range sent / 100 {
				flood(t, tx, 100)
			}
			slow.cmd.Process.Signal(syscall.SIGCONT)
			for _, c := range []*client{slow, fast} {
				c.cmd.Process.Signal(syscall.SIGINT)
				c.wait()
			}
			for name, c := range map[string]*client{"stopped": slow, "other": fast} {
				var captured, accepted, lost int
				_, said, _ := strings.Cut(c.stderr.String(), "bytes\n") // the first line
				_, err := fmt.Sscanf(said, summary, &captured, &accepted, &lost)
				if err != nil || captured+lost != sent || c == slow && lost == 0 {
					t.Errorf("the %s one captured %d and lost %d of %d: %v\n%s",
						name, captured, lost, sent, err, c.stderr.String())
				}
			}
		})
	}
}

// Port.Drops works through the device, also in CSB mode, and is right if several ports have the
// same name.
func TestDropsThroughTheDevice(t *testing.T) {
	n := newNode(t)
	tx, rx := n.open("vale0:a"), n.open("vale0:b@conf:slots=64")
	small, large := n.open("vale0:a/t@conf:slots=16"), n.open("vale0:a/t@conf:slots=512")
	without := n.path + ".sock: no such file or directory: the device's daemon does not serve it"
	_, err := rx.Drops(t.Context())
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), without) {
		t.Errorf("without a status API: %v, want ENOENT", err)
	}
	n.offerStatus()
	flood(t, tx, 100)
	for name, tt := range map[string]struct {
		port *netmap.Port
		lost uint64
	}{"receiver": {rx, 100 - 63}, "small monitor": {small, 100 - 15}, "large monitor": {large, 0},
		"sender": {tx, 0}} {
		d, err := tt.port.Drops(t.Context())
		if err != nil || d.Rx["no-room"] != tt.lost || len(d.Tx) > 0 {
			t.Errorf("%s: %v, %v; want %d", name, d, err, tt.lost)
		}
	}
	link := packet.New(small)
	d, err := source.New(t.Context(), link).Drops()
	if again, e := link.Drops(t.Context()); err != nil || e != nil || d.Rx["no-room"] != 100-15 ||
		again.Rx["no-room"] != 100-15 {
		t.Errorf("a link and a source: %v, %v; %v, %v", again, e, d, err)
	}
	loop := n.open("vale1:c@conf:slots=32", netmap.SyncLoop())
	other := n.open("vale1:d")
	flood(t, other, 1000)
	flood(t, other, 1000)
	if d, err := loop.Drops(t.Context()); err != nil || d.Rx["no-room"] == 0 {
		t.Errorf("a port with a loop: %v, %v", d, err)
	}
	rx.Close()
	if _, err := rx.Drops(t.Context()); !errors.Is(err, syscall.ENXIO) {
		t.Errorf("a closed port: %v, want ENXIO", err)
	}
}
