//go:build linux

package nics

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
)

// testReopen closes an interface and opens it again at once.
func testReopen(t *testing.T, p *pair) {
	ways := p.lab.ways()
	b := p.b.open(t, ways[0], "")
	for i := range 10 {
		a := p.a.open(t, ways[i/5], "")
		if i%3 == 0 {
			p.ready(t)
			p.exchange(t, a, b, 50)
			p.exchange(t, b, a, 50)
		}
		a.Close()
	}
	b.Close()
}

// testKill kills a daemon while programs have both interfaces open, one of them with its host rings.
func testKill(t *testing.T, p *pair) {
	eventually(t, "ways to the host stack are gone", func() bool { return p.a.taps(t)+p.b.taps(t) == 0 })
	before := p.settings(t)
	d := serve(t, p.lab, "killed")
	ways := p.lab.ways()[1]
	ways.tool = "--device=" + d.path
	forwarder := p.lab.start(t, p.a.ns, "netmap", "bridge", ways.tool, "-w", "0", "-i", "netmap:"+p.a.name).wait("Ready")
	p.ready(t)
	p.talk(t)
	if d := difference(before, p.settings(t)); len(d) == 0 {
		t.Error("nothing can be seen of the open port")
	}
	d.signal(unix.SIGKILL)
	killed := time.Now()
	forwarder.signal(unix.SIGKILL)
	p.ready(t)
	p.talk(t)
	p.note("host reachable %v after the kill", time.Since(killed).Round(100*time.Millisecond))
	if left := difference(before, p.settings(t)); len(left) > 0 {
		p.note("left by the kill: %s", strings.Join(left, ", "))
	}
	doctor := p.lab.start(t, nil, "netmap", "doctor", "--restore", "--state-dir", d.state)
	doctor.end()
	eventually(t, "all settings are back", func() bool { return len(difference(before, p.settings(t))) == 0 })
	if left, err := os.ReadDir(d.state); err == nil && len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
	unix.Unmount(d.path, unix.MNT_DETACH)
}

// taps is how many TAPs are beside the interface: ways to the host stack, which go away a while after their port.
func (s *side) taps(t *testing.T) (n int) {
	t.Helper()
	for _, l := range s.links(t) {
		if l.Type() == "tuntap" {
			n++
		}
	}
	return n
}

// links are the interfaces beside it, and itself.
func (s *side) links(t *testing.T) (links []netlink.Link) {
	t.Helper()
	eventually(t, "interfaces are listed without changing", func() (ok bool) {
		s.ns.Do(func() {
			var err error
			if links, err = netlink.LinkList(); err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
				t.Fatal(err)
			}
			ok = err == nil
		})
		return ok
	})
	return links
}

// settings are what netmap mode could have changed of both interfaces, a line each.
func (p *pair) settings(t *testing.T) (all []string) {
	t.Helper()
	for _, s := range []*side{&p.a, &p.b} {
		l := s.link(t)
		s.ns.Do(func() {
			say := func(format string, args ...any) { all = append(all, s.id+": "+fmt.Sprintf(format, args...)) }
			f, err := ethtool.AskFeatures(l.Attrs().Index)
			if err != nil {
				t.Fatal(err)
			}
			for name := range f.Active {
				say("%s on", name)
			}
			for name := range f.Wanted {
				say("%s wanted", name)
			}
			c, _ := ethtool.AskChannels(l.Attrs().Index)
			say("queues %+v", c)
			a := l.Attrs()
			say("MTU %d, promiscuous %d, XDP %v", a.MTU, a.Promisc, a.Xdp != nil && a.Xdp.Attached)
			for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
				if r, err := link.QueryPrograms(link.QueryOptions{Target: a.Index, Attach: at}); err == nil && len(r.Programs) > 0 {
					say("%v: %d programs", at, len(r.Programs))
				}
			}
			say("%d interfaces", len(s.links(t)))
		})
	}
	slices.Sort(all)
	return all
}

// difference are the lines that only one of two sorted lists has.
func difference(before, after []string) (d []string) {
	for _, line := range before {
		if !slices.Contains(after, line) {
			d = append(d, "- "+line)
		}
	}
	for _, line := range after {
		if !slices.Contains(before, line) {
			d = append(d, "+ "+line)
		}
	}
	return d
}
