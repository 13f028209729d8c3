//go:build linux

package nic_test

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// shapes lists interfaces of all kinds that can be made anywhere, on an existing veth pair "va" and
// "vb".
var shapes = []struct {
	name string
	link func(a netlink.LinkAttrs, va int) netlink.Link // nil for an end of the pair
	want ethtool.Queues
	note string // a part of what users are told
}{
	{"lo", nil, ethtool.Queues{Rx: 1, Tx: 1}, "does not reach itself"},
	{"va", nil, ethtool.Queues{Rx: 2, Tx: 3}, "generic mode"}, // the other end has more tx queues,
	{"tap", tuntap(unix.IFF_TAP, 0), ethtool.Queues{Rx: 1, Tx: 1}, ""},
	{"taps", tuntap(unix.IFF_TAP, unix.IFF_MULTI_QUEUE), ethtool.Queues{Rx: 1, Tx: 1}, ""},
	{"tun", tuntap(unix.IFF_TUN, 0), ethtool.Queues{Rx: 1, Tx: 1}, "no Ethernet header"},
	{"bridge", func(a netlink.LinkAttrs, _ int) netlink.Link { return &netlink.Bridge{LinkAttrs: a} },
		ethtool.Queues{Rx: 1, Tx: 1}, "VLAN tag"},
	{"macvlan", func(a netlink.LinkAttrs, va int) netlink.Link {
		a.ParentIndex = va
		return &netlink.Macvlan{LinkAttrs: a, Mode: netlink.MACVLAN_MODE_BRIDGE}
	}, ethtool.Queues{Rx: 1, Tx: 1}, "VLAN tag"},
	{"vxlan", func(a netlink.LinkAttrs, _ int) netlink.Link {
		return &netlink.Vxlan{LinkAttrs: a, VxlanId: 7, Port: 4789, Group: net.IPv4(127, 0, 0, 1),
			SrcAddr: net.IPv4(127, 0, 0, 1)}
	}, ethtool.Queues{Rx: 1, Tx: 1}, "generic mode, which is the slowest: the driver has no XDP"},
	{"ifb", func(a netlink.LinkAttrs, _ int) netlink.Link { return &netlink.Ifb{LinkAttrs: a} },
		ethtool.Queues{Rx: 1, Tx: 1}, "nothing arrives here"},
	{"ifbs", func(a netlink.LinkAttrs, _ int) netlink.Link {
		a.NumTxQueues, a.NumRxQueues = 8, 5
		return &netlink.Ifb{LinkAttrs: a}
	}, ethtool.Queues{Rx: 5, Tx: 8}, "nothing arrives here"},
}

// tuntap makes persistent interfaces that nobody reads.
func tuntap(mode netlink.TuntapMode, flags netlink.TuntapFlag) func(netlink.LinkAttrs,
	int) netlink.Link {
	return func(a netlink.LinkAttrs, _ int) netlink.Link {
		return &netlink.Tuntap{LinkAttrs: a, Mode: mode, Flags: flags | netlink.TUNTAP_NO_PI,
			Queues: int(flags / unix.IFF_MULTI_QUEUE)}
	}
}

// addShapes makes all shapes in a namespace, and sets them up. It logs those that this kernel does
// not have.
func addShapes(t *testing.T, ns *testutil.NS) (made map[string]bool) {
	t.Helper()
	other := testutil.NewNS(t)
	made = map[string]bool{}
	ns.Do(func() {
		va := netlink.NewLinkAttrs()
		va.Name, va.NumRxQueues, va.NumTxQueues = "va", 2, 3
		err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: va, PeerName: "vb",
			PeerNamespace: netlink.NsFd(other.FD())})
		testutil.Require(t, "veth interfaces", err)
		l, err := netlink.LinkByName("va")
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range shapes {
			a := netlink.NewLinkAttrs()
			a.Name = s.name
			if s.link != nil {
				link := s.link(a, l.Attrs().Index)
				err := netlink.LinkAdd(link)
				if errors.Is(err, syscall.EOPNOTSUPP) {
					t.Logf("this kernel has no %s", s.name)
					continue
				}
				if tt, ok := link.(*netlink.Tuntap); ok && err == nil {
					for _, f := range tt.Fds {
						f.Close()
					}
				}
				if err != nil {
					t.Fatalf("make %s: %v", s.name, err)
				}
			}
			made[s.name] = true
		}
	})
	for name := range made {
		inNS(t, ns, name, netlink.LinkSetUp)
	}
	inNS(t, other, "vb", netlink.LinkSetUp)
	return made
}

// An interface of any shape opens with a ring for each of its queues, sends and receives without
// errors, and can be described; or it is refused with a reason. The test uses every MTU that it can
// have.
func TestShapes(t *testing.T) {
	testutil.CheckLeaks(t)
	ns := testutil.NewNS(t)
	made := addShapes(t, ns)
	var notes []string
	f, err := embed.New(embed.Config{NICSlots: 64, NoHugePages: true,
		OnNote: func(note string) { notes = append(notes, note) }})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range shapes {
		if !made[s.name] {
			continue
		}
		for _, mtu := range []int{0, 68, 65575} {
			if mtu > 0 && !hasMTU(ns, s.name, mtu) {
				continue
			}
			notes = nil
			var p *netmap.Port
			ns.Do(func() { p, err = f.Open("netmap:" + s.name + "*") })
			testutil.Require(t, "AF_XDP and TCX", err)
			// One ring of each direction is a host ring.
			if got := (ethtool.Queues{Rx: len(p.Rx()) - 1, Tx: len(p.Tx()) - 1}); got != s.want {
				t.Errorf("%s, MTU %d: %+v rings, want %+v", s.name, mtu, got, s.want)
			}
			for _, r := range p.Tx() {
				r.Send(frame(1, 60))
			}
			if err := errors.Join(p.TxSync(), p.RxSync()); err != nil {
				t.Errorf("%s, MTU %d: %v", s.name, mtu, err)
			}
			if all := strings.Join(notes, "; "); s.note == "" && mtu == 0 && all != "" ||
				!strings.Contains(all, s.note) {
				t.Errorf("%s, MTU %d: users hear %q, want %q", s.name, mtu, all, s.note)
			}
			f.Stats()
			p.Close()
		}
		inNS(t, ns, s.name, netlink.LinkSetDown)
		var p *netmap.Port
		if ns.Do(func() { p, err = f.Open("netmap:" + s.name) }); err != nil {
			t.Fatalf("%s, down: %v", s.name, err)
		}
		if err := p.TxSync(); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(),
			"ip link set dev "+s.name+" up") {
			t.Errorf("%s, down: %v; want EIO, and what to do", s.name, err)
		}
		p.Close()
		inNS(t, ns, s.name, netlink.LinkSetUp)
	}
}

// hasMTU sets an interface's MTU, and reports whether the interface can have it.
func hasMTU(ns *testutil.NS, name string, mtu int) bool {
	var err error
	ns.Do(func() {
		var l netlink.Link
		if l, err = netlink.LinkByName(name); err == nil {
			err = netlink.LinkSetMTU(l, mtu)
		}
	})
	return err == nil
}

// An interface may have more queues than a byte counts: the last ring works like the first.
func TestManyQueues(t *testing.T) {
	const queues = 260
	testutil.CheckLeaks(t)
	a, b := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, a, "va", b, "vb", queues)
	f, err := embed.New(embed.Config{NICSlots: 16, Rings: 1024, Buffers: 12000, NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &pair{t: t, f: f, na: a, nb: b}
	all, last := p.open(a, "netmap:va"), p.open(b, fmt.Sprintf("netmap:vb-%d", queues-1))
	if len(all.Rx()) != queues || len(all.Tx()) != queues || last.Rx()[0].ID() != queues-1 {
		t.Fatalf("%d rx and %d tx rings, and ring %d", len(all.Rx()), len(all.Tx()), last.Rx()[0].ID())
	}
	pump(t, last, all, 10, 60)
	last.Close()
	all.Close()
}

// A TAP exists before a program reads it, and after that program has ended. Its port stays open,
// and moves frames while a program reads.
func TestTapReaderComesAndGoes(t *testing.T) {
	p := newPair(t, 1)
	p.na.Do(func() {
		a := netlink.NewLinkAttrs()
		a.Name = "tap"
		link := tuntap(unix.IFF_TAP, 0)(a, 0).(*netlink.Tuntap)
		testutil.Require(t, "TAP", netlink.LinkAdd(link))
		for _, f := range link.Fds {
			f.Close()
		}
	})
	inNS(t, p.na, "tap", netlink.LinkSetUp)
	port := p.open(p.na, "netmap:tap")
	for range 2 {
		readTap(t, p.na, port)
		time.Sleep(1100 * time.Millisecond) // the watcher looks up the queues meanwhile
		if err := errors.Join(port.TxSync(), port.RxSync()); err != nil {
			t.Fatalf("without a reader: %v", err)
		}
	}
	port.Close()
}

// readTap reads the TAP until one frame has passed each way.
func readTap(t *testing.T, ns *testutil.NS, port *netmap.Port) {
	t.Helper()
	var fd int
	var err error
	ns.Do(func() {
		fd, err = unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC,
			0)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, _ := unix.NewIfreq("tap")
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		t.Fatal(err)
	}
	sent, got, b := frame(7, 60), false, make([]byte, 2048)
	for end := time.Now().Add(5 * time.Second); !got &&
		time.Now().Before(end); time.Sleep(time.Millisecond) {
		port.Tx()[0].Send(sent)
		port.TxSync()
		n, _ := unix.Read(fd, b)
		got = n == len(sent) && string(b[:n]) == string(sent)
	}
	if !got {
		t.Fatal("the reader gets no frame")
	}
	received := false
	for end := time.Now().Add(5 * time.Second); !received &&
		time.Now().Before(end); time.Sleep(time.Millisecond) {
		unix.Write(fd, sent)
		port.RxSync()
		for _, f := range port.Rx()[0].Frames() {
			received = received || string(f) == string(sent)
		}
	}
	if !received {
		t.Fatal("what the reader sends does not arrive")
	}
}
