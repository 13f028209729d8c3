//go:build linux

package nics

import (
	"os"
	"testing"
	"time"
)

// testHost puts a forwarder between an interface and its host stack.
func testHost(t *testing.T, p *pair) {
	for _, w := range p.lab.ways() {
		p.vacate(t)
		forwarder := p.lab.start(t, p.a.ns, "netmap", "bridge", w.tool, "-w", "0", "-i",
			"netmap:"+p.a.name).wait("Ready")
		p.ready(t)
		p.talk(t)
		const bytes = 1 << 20
		out, in := p.a.ns.Transfer(t, p.b.ns, p.b.ip, bytes, patience),
			p.b.ns.Transfer(t, p.a.ns, p.a.ip, bytes, patience)
		rate := func(d time.Duration) float64 { return bytes * 8 / 1e6 / d.Seconds() }
		p.note("%s: TCP out %.1f, in %.1f Mbit/s", w.name, rate(out), rate(in))
		forwarder.signal(os.Interrupt)
		if forwarder.err != nil {
			t.Errorf("%s: %v\n%s", forwarder.what, forwarder.err, forwarder.text.String())
		}
	}
	p.ready(t)
	p.talk(t)
}

// talk checks that the hosts reach each other, without loss after the cards have renegotiated.
func (p *pair) talk(t *testing.T) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Log(p.counters(t))
		}
	}()
	ping := func(count, size int) int {
		return p.a.ns.Ping(t, p.b.ip, count, size, 10*time.Millisecond)
	}
	eventually(t, p.a.id+" reaches the other host", func() bool { return ping(1, 64) == 0 })
	eventually(t, p.a.id+" reaches the other host without loss", func() bool {
		return ping(20, 64)+ping(20, 1400) == 0
	})
}
