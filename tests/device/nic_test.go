//go:build linux

package device

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/daemon"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

const (
	nic    = "nm0" // the name of the interface in both namespaces
	addrA  = "10.99.0.1"
	addrB  = "10.99.0.2"
	queues = 4
)

// hosts are two network namespaces, joined by interfaces of the same name.
type hosts struct{ a, b *testutil.NS }

func newHosts(t *testing.T) hosts {
	t.Helper()
	h := hosts{testutil.NewNS(t), testutil.NewNS(t)}
	testutil.Veth(t, h.a, nic, h.b, nic, queues)
	for addr, ns := range map[string]*testutil.NS{addrA: h.a, addrB: h.b} {
		ns.Do(func() {
			link, err := netlink.LinkByName(nic)
			if err == nil {
				err = netlink.AddrAdd(link,
					&netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(addr).To4(),
						Mask: net.CIDRMask(24, 32)}})
			}
			if err != nil {
				t.Fatal(err)
			}
		})
	}
	return h
}

// talk checks that a datagram and its answer pass between the two hosts' own stacks. It tries
// several times, because a datagram can be lost while an interface is given back.
func (h hosts) talk(t *testing.T) {
	t.Helper()
	server := listen(t, h.b, addrB)
	defer server.Close()
	caller := listen(t, h.a, addrA)
	defer caller.Close()
	buf := make([]byte, 64)
	eventually(t, "a datagram and its answer", func() bool {
		deadline := time.Now().Add(300 * time.Millisecond)
		server.SetDeadline(deadline)
		caller.SetDeadline(deadline)
		if _, err := caller.WriteTo([]byte("ping"), server.LocalAddr()); err != nil {
			return false
		}
		n, from, err := server.ReadFrom(buf)
		if err != nil {
			return false
		}
		server.WriteTo(buf[:n], from)
		n, _, err = caller.ReadFrom(buf)
		return err == nil && string(buf[:n]) == "ping"
	})
}

func listen(t *testing.T, ns *testutil.NS, addr string) (c *net.UDPConn) {
	t.Helper()
	var err error
	ns.Do(func() { c, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(addr)}) })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantOwnStack checks that both hosts have their interfaces back: no XDP program, and traffic
// passes.
func (h hosts) wantOwnStack(t *testing.T) {
	t.Helper()
	for _, ns := range []*testutil.NS{h.a, h.b} {
		eventually(t, "no XDP program is left", func() (free bool) {
			ns.Do(func() {
				link, err := netlink.LinkByName(nic)
				free = err == nil && (link.Attrs().Xdp == nil || !link.Attrs().Xdp.Attached)
			})
			return free
		})
	}
	h.talk(t)
}

// requireXDP skips the test if interfaces cannot be opened: without privileges or without AF_XDP.
func (n *node) requireXDP(h hosts) {
	n.t.Helper()
	c := n.start(h.a, "sink", "-i", nic, "-n", "1", "-t", "1")
	await(n.t, "sink ends", c.ended)
	if e := c.count("errno"); e > 0 {
		testutil.Require(n.t, "AF_XDP", syscall.Errno(e))
	}
	n.wantEmpty()
}

// gently sends a few frames at a time, because the kernel's queues between the interfaces are
// short.
var gently = []string{"-b", "8", "-g", "1000"}

// A name means the interface of the client's network namespace: two clients open the same name and
// get different interfaces.
func TestNIC(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	a, b := at(nic).in(h.a), at(nic).in(h.b)
	for _, api := range []string{"0", "11"} {
		for _, how := range []string{"poll", "epoll", "epollet", "sync"} {
			sender, receiver := a, b
			if how == "epoll" {
				sender, receiver = b, a
			}
			sender.args = append([]string{"-L", api, "-w", how}, gently...)
			receiver.args = []string{"-L", api, "-w", how}
			n.transfer(600, sender, false, receiver)
			n.wantEmpty()
		}
	}
	h.wantOwnStack(t)

	for _, tt := range []struct {
		where endpoint
		want  syscall.Errno
	}{
		{at(nic), syscall.ENXIO}, // our own namespace has no such interface
		{at(nic, "-r", "4").in(h.a), syscall.EINVAL},
		{at("nm1").in(h.a), syscall.ENXIO},
	} {
		c := n.start(tt.where.ns, "sink", append([]string{"-i", tt.where.port},
			tt.where.args...)...)
		await(t, "sink ends", c.ended)
		if c.count("errno") != int(tt.want) {
			t.Errorf("%s: %v %v, want %v", c.what, c.result, c.stderr.String(), tt.want)
		}
	}
}

// A client that sends without pause, so that something is left of most of its polls, delays others
// only: with one thread that reads requests, and with two.
func TestNICSenderIsNotAlone(t *testing.T) {
	for _, workers := range []int{1, 2} {
		n := newNodeWith(t, func(c *daemon.Config) { c.Workers = workers })
		h := newHosts(t)
		n.requireXDP(h)
		busy := n.start(h.a, "gen", "-i", nic, "-n", "0", "-b", "512").waitReady()
		n.transfer(3000, at("q{1"), true, at("q}1"))
		if !busy.alive() {
			t.Fatalf("%d workers: the sender has ended: %v %s", workers, busy.err, busy.stderr.String())
		}
		busy.kill()
		n.wantEmpty()
	}
}

// A client with one queue leaves the other queues to the host; a client with all queues gets all
// frames.
func TestNICOneQueue(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	n.transfer(600, at(nic, append([]string{"-r", "2"}, gently...)...).in(h.a), false,
		at(nic, "-r", "2").in(h.b))
	one := n.start(h.a, "sink", "-i", nic, "-r", "3", "-H").waitReady()
	all := n.start(h.b, "sink", "-i", nic, "-H").waitReady()
	eventually(t, "a client with all rings gets the host's frames", func() bool {
		c := listen(t, h.a, addrA)
		defer c.Close()
		c.WriteTo([]byte("ping"), &net.UDPAddr{IP: net.ParseIP(addrB), Port: 9})
		return !all.alive()
	})
	one.kill()
	h.wantOwnStack(t)
}

var errNotExclusive = errors.New("two clients have the interface exclusively")

func TestNICExclusive(t *testing.T) {
	n, h := newNode(t), newHosts(t)
	n.requireXDP(h)
	const exclusive = "0x800"
	n.start(h.a, "sink", "-i", nic, "-x", exclusive, "-H").waitReady()
	c := n.start(h.a, "sink", "-i", nic)
	await(t, "sink ends", c.ended)
	if c.count("errno") != int(syscall.EBUSY) {
		t.Errorf("%v: %v", errNotExclusive, c.result)
	}
	// Host B has another interface.
	n.start(h.b, "sink", "-i", nic, "-x", exclusive, "-H").waitReady()
}
