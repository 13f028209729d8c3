//go:build linux

package device

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// inline opens the interface of host A with its host rings, and moves all frames between them until
// the daemon ends or stop is called.
func inline(t *testing.T, path string, h hosts) (stop func()) {
	t.Helper()
	var p *netmap.Port
	var err error
	h.a.Do(func() { p, err = netmap.OpenDevice(path, nic+"*") })
	testutil.Require(t, "AF_XDP and TCX", err)
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	n := len(p.Tx()) - 1
	ended.Go(func() {
		defer p.Close()
		for ctx.Err() == nil {
			p.Poll(ctx, netmap.In, 20*time.Millisecond)
			for i := range n {
				pass(p.Rx()[i], p.Tx()[n])
			}
			pass(p.Rx()[n], p.Tx()[0])
			if p.TxSync() != nil {
				return
			}
		}
	})
	return func() {
		cancel()
		ended.Wait()
	}
}

func pass(from, to *netmap.Ring) {
	rx, tx := from.Window(), to.Window()
	for ; rx.Len() > 0 && tx.Len() > 0; rx.Next() {
		netmap.Swap(tx.Slot(), rx.Slot())
		tx.Next()
	}
	tx.Commit()
	rx.Commit()
}

// dump lists host A's interfaces, queueing disciplines and TCX programs. Settings are not in it:
// they stay changed when a daemon is killed.
func (h hosts) dump(t *testing.T) (all []string) {
	t.Helper()
	h.a.Do(func() {
		for _, line := range []string{"ip -d link", "tc qdisc"} {
			words := strings.Fields(line)
			path, err := exec.LookPath(words[0])
			testutil.Require(t, words[0], err)
			out, err := exec.Command(path, words[1:]...).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v: %s", line, err, out)
			}
			all = append(all, line, string(out))
		}
		l, err := netlink.LinkByName(nic)
		if err != nil {
			t.Fatal(err)
		}
		for _, where := range []ebpf.AttachType{ebpf.AttachTCXEgress, ebpf.AttachTCXIngress} {
			r, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: where})
			testutil.Require(t, "TCX (Linux 6.6)", err)
			all = append(all, fmt.Sprintf("%v: %d programs", where, len(r.Programs)))
		}
	})
	return all
}

// The daemon ends while the host's traffic passes through its rings: by itself, by a signal, and
// killed. The host has its interface back at once, as it was before.
func TestHostAfterDaemon(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHosts(t)
	h.b.Offloads(t, nic, "tx", "off")
	h.talk(t)
	before, state := h.dump(t), t.TempDir()
	for name, end := range map[string]func(*server){
		"terminated": (*server).terminate,
		"killed":     func(s *server) { s.client.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			for range rounds(2, 50) {
				s := serve(t, filepath.Join(t.TempDir(), "node"), "--state-dir", state)
				stop := inline(t, s.node.path, h)
				if lost := h.a.Ping(t, addrB, 50, 1000, time.Millisecond); lost > 0 {
					t.Errorf("%d of 50 pings lost through the rings", lost)
				}
				if slices.Equal(h.dump(t), before) {
					t.Error("the open port does not show")
				}
				end(s)
				stop()
				eventually(t, "the interface is as it was", func() bool {
					return slices.Equal(h.dump(t), before)
				})
				if lost := h.a.Ping(t, addrB, 50, 1000, time.Millisecond); lost > 0 {
					t.Errorf("%d of 50 pings lost after the daemon ended", lost)
				}
			}
		})
	}
	h.wantOwnStack(t)
}

// A host is connected through its rings for an hour with NETMAP_SOAK=1, for a few seconds without.
func TestSoakHost(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	h.b.Offloads(t, nic, "tx", "off")
	transfer := func(bytes int64) (out, in float64) {
		rate := func(d time.Duration) float64 { return float64(bytes) * 8 / 1e6 / d.Seconds() }
		return rate(h.a.Transfer(t, h.b, addrB, bytes, 5*time.Minute)),
			rate(h.b.Transfer(t, h.a, addrA, bytes, 5*time.Minute))
	}
	bytes := int64(rounds(10, 200)) << 20
	out, in := transfer(bytes)
	t.Logf("without netmap: TCP out %.0f, in %.0f Mbit/s", out, in)
	defer inline(t, n.path, h)()
	end := time.Now().Add(time.Duration(rounds(2, 3600)) * time.Second)
	for i := 0; i == 0 || time.Now().Before(end); i++ {
		out, in = transfer(bytes)
		if i%100 == 0 {
			t.Logf("through the rings: TCP out %.0f, in %.0f Mbit/s", out, in)
		}
		if lost := h.a.Ping(t, addrB, 1000, 1000, time.Millisecond); lost > 0 {
			t.Errorf("%d of 1000 pings lost", lost)
		}
		if t.Failed() {
			return
		}
	}
}
