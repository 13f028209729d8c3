//go:build linux

package device

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Both ends of a connection are killed in turn under full load, again and again. The other end goes
// on, what the dead client had is free at once, and the next client works.
func TestKillClients(t *testing.T) {
	for name, ends := range map[string][2]endpoint{
		"pipe": {at("x{1", "-k", "256"), at("x}1")},
		"vale": {at("vale0:a"), at("vale0:b")},
	} {
		t.Run(name, func(t *testing.T) {
			n := newNode(t)
			n.killRounds(rounds(20, 200), ends[0], ends[1], func() {
				n.transfer(1000, ends[0], true, ends[1])
			})
		})
	}
	t.Run("nic", func(t *testing.T) {
		n, h := newNode(t), newHosts(t)
		n.requireXDP(h)
		a, b := at(nic).in(h.a), at(nic).in(h.b)
		n.killRounds(rounds(8, 200), a, b, func() {
			h.wantOwnStack(t)
			a.args = gently
			n.transfer(500, a, false, b)
		})
		h.wantOwnStack(t)
	})
}

// killRounds lets one client send to the other and kills both at random moments, in alternating
// order. check is called after some rounds.
func (n *node) killRounds(count int, from, to endpoint, check func()) {
	n.t.Helper()
	var descriptors, goroutines int
	for round := range count {
		sink := n.start(to.ns, "sink", append([]string{"-i", to.port, "-n", "0"},
			to.args...)...).waitReady()
		gen := n.start(from.ns, "gen", append([]string{"-i", from.port, "-n", "0"},
			from.args...)...).waitReady()
		first, second := gen, sink
		if round%2 == 1 {
			first, second = sink, gen
		}
		nap := func() { time.Sleep(time.Duration(rand.IntN(30_000)) * time.Microsecond) }
		nap()
		first.kill()
		nap()
		if !second.alive() {
			n.t.Fatalf("round %d: %s died with %s: %v %s", round, second.what, first.what,
				second.err, second.stderr.String())
		}
		second.kill()
		n.wantEmpty()
		if round%10 == 9 || round == count-1 {
			check()
			n.wantEmpty()
		}
		if round == 0 {
			descriptors, goroutines = countOpen()
		}
	}
	eventually(n.t, "no descriptor and no goroutine more than after the first round", func() bool {
		d, g := countOpen()
		return d <= descriptors && g <= goroutines
	})
	n.t.Logf("%d rounds", count)
}

// server is a daemon in a process of its own.
type server struct {
	*node
	*client
}

func serve(t *testing.T, path string, args ...string) *server {
	t.Helper()
	testutil.Require(t, "a C compiler", compile())
	testutil.Require(t, "to build the daemon", buildDaemon())
	testutil.Require(t, "root", asRoot())
	c := start(t, nil, "netmap", append([]string{"serve", "--path", path}, args...)...)
	t.Cleanup(func() {
		c.kill()
		unix.Unmount(path, unix.MNT_DETACH) // if the test failed
	})
	return &server{&node{t: t, path: path}, c.waitReady()}
}

func asRoot() error {
	if os.Geteuid() != 0 {
		return syscall.EPERM
	}
	return nil
}

// The daemon is killed under full load. Its clients get errors but do not crash, sleeping clients
// are woken, the hosts have their interfaces back, and the next daemon can start.
func TestKillDaemon(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHosts(t)
	path := filepath.Join(t.TempDir(), "node")
	for round := range rounds(3, 50) {
		s := serve(t, path)
		s.requireXDPOfServer(h)
		var busy, asleep []*client
		for _, how := range []string{"poll", "select", "epoll", "epollet"} {
			asleep = append(asleep, s.node.start(nil, "sink", "-i", "vale7:"+how, "-k", "64", "-H",
				"-w", how).waitReady())
		}
		busy = append(busy,
			s.node.start(h.b, "sink", "-i", nic, "-n", "0").waitReady(),
			s.node.start(h.a, "gen", "-i", nic, "-n", "0").waitReady(),
			s.node.start(nil, "sink", "-i", "x}1", "-n", "0").waitReady(),
			s.node.start(nil, "gen", "-i", "x{1", "-n", "0").waitReady(),
		)
		time.Sleep(time.Duration(20+rand.IntN(30)) * time.Millisecond)
		s.client.kill()
		for _, c := range append(busy, asleep...) {
			await(t, c.what+" ends", c.ended)
			if c.cmd.ProcessState.Exited() == false {
				t.Errorf("%s: %v", c.what, c.err)
			}
		}
		h.wantOwnStack(t)
		if !stale(path) {
			t.Errorf("round %d: %s is not the mount of a dead daemon", round, path)
		}
		_, err := netmap.OpenDevice(path, "vale0:a")
		if !errors.Is(err, syscall.ENOTCONN) ||
			!strings.Contains(err.Error(), "start netmap serve") {
			t.Errorf("opening the node of a dead daemon: %v", err)
		}
	}
	s := serve(t, path)
	s.transfer(20000, at("x{1"), true, at("x}1"))
	s.terminate()
	if mounted(path) {
		t.Errorf("%s is still mounted", path)
	}
}

// requireXDPOfServer is requireXDP for a daemon in a process of its own.
func (s *server) requireXDPOfServer(h hosts) {
	s.node.t.Helper()
	c := s.node.start(h.a, "sink", "-i", nic, "-n", "1", "-t", "1")
	await(s.node.t, "sink ends", c.ended)
	if e := c.count("errno"); e > 0 {
		testutil.Require(s.node.t, "AF_XDP", syscall.Errno(e))
	}
}

// terminate ends the daemon as a service manager does.
func (s *server) terminate() {
	s.node.t.Helper()
	s.client.cmd.Process.Signal(syscall.SIGTERM)
	s.client.wait()
}

// A daemon that ends by SIGTERM removes its node, mount and XDP programs.
func TestTerminateDaemon(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHosts(t)
	path := filepath.Join(t.TempDir(), "node")
	s := serve(t, path)
	s.requireXDPOfServer(h)
	clients := []*client{
		s.node.start(h.b, "sink", "-i", nic, "-n", "0").waitReady(),
		s.node.start(h.a, "gen", "-i", nic, "-n", "0").waitReady(),
		s.node.start(nil, "sink", "-i", "vale0:a", "-H").waitReady(),
	}
	s.terminate()
	for _, c := range clients {
		await(t, c.what+" ends", c.ended)
	}
	if mounted(path) {
		t.Errorf("%s is still mounted", path)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the daemon's node still exists: %v", err)
	}
	h.wantOwnStack(t)
}
