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

// testKill kills a daemon while programs have both interfaces open, one of them with its host
// rings.
func testKill(t *testing.T, p *pair) {
	eventually(t, "the TAPs are gone", func() bool { return p.a.taps(t)+p.b.taps(t) == 0 })
	before := p.settings(t)
	d := serve(t, p.lab, "killed")
	ways := p.lab.ways()[1]
	ways.tool = "--device=" + d.path
	forwarder := p.lab.start(t, p.a.ns, "netmap", "bridge", ways.tool, "-w", "0", "-i",
		"netmap:"+p.a.name).wait("Ready")
	p.ready(t)
	p.talk(t)
	if d := difference(before, p.settings(t)); len(d) == 0 {
		t.Error("the open port does not show")
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
	eventually(t, "all settings are back", func() bool {
		return len(difference(before, p.settings(t))) == 0
	})
	if left, err := os.ReadDir(d.state); err == nil && len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
	unix.Unmount(d.path, unix.MNT_DETACH)
}

// taps returns the number of TAPs in the interface's namespace. They lead to the host stack, and
// are removed some time after their port is closed.
func (s *side) taps(t *testing.T) (n int) {
	t.Helper()
	for _, l := range s.links(t) {
		if l.Type() == "tuntap" {
			n++
		}
	}
	return n
}

// links returns all interfaces in the namespace.
func (s *side) links(t *testing.T) (links []netlink.Link) {
	t.Helper()
	eventually(t, "the list of interfaces is complete", func() (ok bool) {
		s.ns.Do(func() {
			var err error
			if links, err = netlink.LinkList(); err != nil &&
				!errors.Is(err, netlink.ErrDumpInterrupted) {
				t.Fatal(err)
			}
			ok = err == nil
		})
		return ok
	})
	return links
}

// settings returns everything of both interfaces that netmap mode could change, one setting a line.
func (p *pair) settings(t *testing.T) (all []string) {
	t.Helper()
	for _, s := range []*side{&p.a, &p.b} {
		l := s.link(t)
		s.ns.Do(func() {
			add := func(format string, args ...any) {
				all = append(all, s.id+": "+fmt.Sprintf(format, args...))
			}
			f, err := ethtool.AskFeatures(l.Attrs().Index)
			if err != nil {
				t.Fatal(err)
			}
			for name := range f.Active {
				add("%s on", name)
			}
			for name := range f.Wanted {
				add("%s wanted", name)
			}
			c, _ := ethtool.AskChannels(l.Attrs().Index)
			add("queues %+v", c)
			a := l.Attrs()
			add("MTU %d, promiscuous %d, XDP %v", a.MTU, a.Promisc, a.Xdp != nil && a.Xdp.Attached)
			for _, at := range []ebpf.AttachType{ebpf.AttachTCXIngress, ebpf.AttachTCXEgress} {
				r, err := link.QueryPrograms(link.QueryOptions{Target: a.Index, Attach: at})
				if err == nil && len(r.Programs) > 0 {
					add("%v: %d programs", at, len(r.Programs))
				}
			}
			add("%d interfaces", len(s.links(t)))
		})
	}
	slices.Sort(all)
	return all
}

// difference returns the lines that are in only one of two sorted lists.
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
