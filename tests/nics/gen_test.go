//go:build linux

package nics

import (
	"fmt"
	"strings"
	"testing"
)

// testGen runs "netmap gen" in both directions, one after the other, slow enough for the smallest
// card.
func testGen(t *testing.T, p *pair) {
	for _, w := range p.lab.ways() {
		p.gen(t, w, &p.a, &p.b)
		p.gen(t, w, &p.b, &p.a)
	}
}

func (p *pair) gen(t *testing.T, w way, from, to *side) {
	t.Helper()
	p.vacate(t)
	const frames, length = 300, 1514
	gen := func(s *side, args ...string) *process {
		return p.lab.start(t, s.ns, "netmap",
			append([]string{"gen", w.tool, "-i", "netmap:" + s.name, "-n", fmt.Sprint(frames)},
				args...)...)
	}
	rx := gen(to, "-f", "rx", "-W", "-w", "0").wait("Ready")
	p.ready(t)
	tx := gen(from, "-f", "tx", "-l", fmt.Sprint(length), "-R", "1000", "-w",
		fmt.Sprint(p.card.pause()), "-s", "10.0.0.1:1000-10.0.0.16:1100")
	sent, received := tx.end(), rx.end()
	for _, want := range []string{
		fmt.Sprintf("Received %d packets %d bytes ", frames, frames*length),
		fmt.Sprintf("%d good, 0 lost, 0 repeated, ", frames),
		" 0 changed, 0 of unknown",
	} {
		if !strings.Contains(received, want) {
			t.Errorf("%s, from %s: no %q in the receiver's output:\n%s\nthe sender's:\n%s\n%s",
				w.name, from.id, want, received, sent, p.counters(t))
			return
		}
	}
}

// pause returns the seconds that a card needs before it receives after a change of its settings:
// see warmUp.
func (c card) pause() int {
	switch c.Device {
	case "e1000", "e1000e":
		return 1
	case "igb":
		return 3
	}
	return 0
}

// testC runs C programs through the device in both directions. They do not wait until cards have
// renegotiated, so the test keeps ports open.
func testC(t *testing.T, p *pair) {
	const frames = 500
	device := p.lab.ways()[1]
	a, b := p.a.open(t, device, ""), p.b.open(t, device, "")
	p.ready(t)
	p.warmUp(t, a, b)
	p.warmUp(t, b, a)
	for _, way := range [][2]*side{{&p.a, &p.b}, {&p.b, &p.a}} {
		from, to := way[0], way[1]
		sink := p.lab.start(t, to.ns, "sink", "-d", p.lab.outside.path, "-i", to.name, "-n",
			fmt.Sprint(frames)).wait("ready")
		p.lab.start(t, from.ns, "gen", "-d", p.lab.outside.path, "-i", from.name, "-n",
			fmt.Sprint(frames), "-l", "1514", "-b", "8", "-g", "2000").end()
		got := sink.end()
		for _, want := range []string{fmt.Sprintf("got=%d", frames), "bad=0"} {
			if !strings.Contains(got, want) {
				t.Errorf("from %s: no %s in %q; %s", from.id, want, got, p.counters(t))
			}
		}
	}
}
