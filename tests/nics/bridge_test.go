//go:build linux

package nics

import (
	"os"
	"regexp"
	"testing"

	"github.com/vishvananda/netlink"
)

// testBridge bridges this card and the next one on the left side. Frames pass between the right
// ends of both cables.
//
//	right: this card --> left: this card == bridge == left: next card --> right: next card
func testBridge(t *testing.T, p *pair) {
	// The frames have addresses and VLANs of other hosts.
	for _, s := range []*side{&p.a, &p.next.a} {
		s.promiscuous(t, true)
		defer s.promiscuous(t, false)
	}
	zeroCopy := regexp.MustCompile(`"zero_copy":true`)
	for i, w := range p.lab.ways() {
		for _, s := range []*side{&p.a, &p.next.a} {
			eventually(t, s.id+" is free", func() bool { return s.free(t) })
		}
		bridge := p.lab.start(t, p.a.ns, "netmap", "bridge", w.tool, "-w", "0", "--json", "-i",
			"netmap:"+p.a.name, "-i", "netmap:"+p.next.a.name).wait("Ready")
		other := p.lab.ways()[1-i]
		near, far := p.b.open(t, other, ""), p.next.b.open(t, other, "")
		p.ready(t)
		p.next.ready(t)
		p.exchange(t, near, far, 500)
		p.exchange(t, far, near, 500)
		near.Close()
		far.Close()
		bridge.signal(os.Interrupt)
		if bridge.err != nil || !zeroCopy.MatchString(bridge.text.String()) {
			t.Errorf("%s: %v\n%s", bridge.what, bridge.err, bridge.text.String())
		}
	}
}

func (s *side) promiscuous(t *testing.T, on bool) {
	t.Helper()
	eventually(t, s.id+" is free", func() bool { return s.free(t) })
	if on {
		s.set(t, netlink.SetPromiscOn)
	} else {
		s.set(t, netlink.SetPromiscOff)
	}
	s.before = s.state(t)
}
