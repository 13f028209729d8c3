//go:build linux

package device

import (
	"fmt"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Clients sleep on monitors of an interface whose own client does not read. The daemon has to
// notice frames from the kernel, and room in rings, and wake them.
func TestMonitorsOfAnInterface(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	open := func(ns *testutil.NS, name string) (p *netmap.Port) {
		t.Helper()
		var err error
		ns.Do(func() { p, err = netmap.OpenDevice(n.path, name, netmap.RxOnly()) })
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	// There is one queue only, as there are not enough buffers for more. A ring that is not read
	// fills up.
	var a *netmap.Port
	var err error
	h.a.Do(func() { a, err = netmap.OpenDevice(n.path, nic+"-0") })
	if err != nil {
		t.Fatal(err)
	}
	b := open(h.b, nic)
	ports := []*netmap.Port{a, b}
	var monitors []*netmap.Port
	for range 2 {
		monitors = append(monitors, open(h.b, nic+"/r"))
	}
	ports = append(ports, monitors...)
	defer func() {
		for _, p := range ports {
			p.Close()
		}
	}()

	seen := func(p *netmap.Port) (n int) {
		for _, r := range p.Rx() {
			for _, f := range r.Frames() {
				if f[12] == 0x88 {
					n++
				}
			}
		}
		return n
	}
	for i := range 200 {
		woken := make(chan error, len(monitors))
		for _, m := range monitors {
			go func() {
				got := 0
				for end := time.Now().Add(patience); got == 0; got += seen(m) {
					if ready, err := m.Poll(t.Context(), netmap.In, patience); ready != netmap.In ||
						err != nil || time.Now().After(end) {
						woken <- fmt.Errorf("poll returns %v, %v", ready, err)
						return
					}
				}
				woken <- nil
			}()
		}
		if i%2 == 0 {
			time.Sleep(time.Millisecond) // they sleep
		}
		a.Tx()[0].Send(append([]byte("\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5"),
			make([]byte, 46)...))
		if err := a.TxSync(); err != nil {
			t.Fatal(err)
		}
		for range monitors {
			if err := <-woken; err != nil {
				t.Fatalf("frame %d: %v", i, err)
			}
		}
	}
	if ready, err := b.Poll(t.Context(), netmap.In, patience); ready != netmap.In || err != nil {
		t.Fatalf("poll returns %v, %v", ready, err)
	}
	if got := seen(b); got != 200 {
		t.Errorf("the interface's own client has %d frames", got)
	}
}
