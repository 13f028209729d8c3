//go:build linux

package device

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Clients that netmap serve --colocate binds stay within their masks, and have them again when the
// other is killed, when they are quiet, and when the daemon ends. Whether it binds them for good is
// decided by what the machine is like; in a trial it always does.
func TestColocate(t *testing.T) {
	testutil.CheckLeaks(t)
	requireTwoCores(t)
	s := serve(t, filepath.Join(t.TempDir(), "node"), "--colocate")

	t.Run("the other is killed", func(t *testing.T) {
		p := s.startPair(t, "x")
		p.waitBound(p.gen, p.sink)
		p.gen.kill()
		p.wantMasks(p.sink)
	})
	t.Run("quiet", func(t *testing.T) {
		p := s.startPair(t, "y")
		p.waitBound(p.gen, p.sink)
		p.signal(syscall.SIGSTOP, p.gen, p.sink)
		p.wantMasks(p.gen, p.sink)
	})
	t.Run("the daemon ends", func(t *testing.T) {
		p := s.startPair(t, "z")
		p.waitBound(p.gen, p.sink)
		p.signal(syscall.SIGSTOP, p.gen, p.sink) // or they would end with it
		s.terminate()
		p.wantMasks(p.gen, p.sink)
	})
}

func requireTwoCores(t *testing.T) {
	t.Helper()
	if runtime.NumCPU() < 2 {
		testutil.Require(t, "two cores", syscall.ENODEV)
	}
}

// Without --colocate nobody is bound.
func TestNotColocated(t *testing.T) {
	testutil.CheckLeaks(t)
	s := serve(t, filepath.Join(t.TempDir(), "node"))
	p := s.startPair(t, "x")
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		p.wantMasks(p.gen, p.sink)
	}
}

// The thread that answers clients which are bound to one core goes there, and leaves when they are
// quiet.
func TestWorkersFollow(t *testing.T) {
	testutil.CheckLeaks(t)
	requireTwoCores(t)
	s := serve(t, filepath.Join(t.TempDir(), "node"), "--workers", "1")
	p := s.startPair(t, "x")
	var core unix.CPUSet
	for i := range 1024 {
		if all := p.old[p.gen]; all.IsSet(i) {
			core.Set(i)
		}
		if core.Count() == 1 {
			break
		}
	}
	for _, c := range []*client{p.gen, p.sink} {
		if err := unix.SchedSetaffinity(c.cmd.Process.Pid, &core); err != nil {
			t.Fatal(err)
		}
		p.old[c] = core
	}
	eventually(t, "a thread of the daemon follows", func() bool { return s.boundTo(core) == 1 })
	p.signal(syscall.SIGSTOP, p.gen, p.sink)
	eventually(t, "it leaves", func() bool { return s.boundTo(core) == 0 })
	p.wantMasks(p.gen, p.sink)
}

// boundTo is how many threads of the daemon have that mask.
func (s *server) boundTo(mask unix.CPUSet) (n int) {
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", s.client.cmd.Process.Pid))
	for _, e := range threads {
		var now unix.CPUSet
		tid, _ := strconv.Atoi(e.Name())
		if unix.SchedGetaffinity(tid, &now) == nil && now == mask {
			n++
		}
	}
	return n
}

// pair is two clients that send and receive without end, in small batches.
type pair struct {
	t         *testing.T
	gen, sink *client
	old       map[*client]unix.CPUSet
}

func (s *server) startPair(t *testing.T, name string) *pair {
	p := &pair{t: t, old: map[*client]unix.CPUSet{}}
	n := &node{t: t, path: s.path}
	p.sink = n.start(nil, "sink", "-i", name+"}1", "-n", "0").waitReady()
	p.gen = n.start(nil, "gen", "-i", name+"{1", "-n", "0", "-b", "32").waitReady()
	for _, c := range []*client{p.gen, p.sink} {
		p.old[c] = p.mask(c)
	}
	t.Cleanup(func() {
		p.gen.kill()
		p.sink.kill()
	})
	return p
}

func (p *pair) mask(c *client) (s unix.CPUSet) {
	if err := unix.SchedGetaffinity(c.cmd.Process.Pid, &s); err != nil &&
		!errors.Is(err, syscall.ESRCH) {
		p.t.Fatal(err)
	}
	return s
}

func (p *pair) signal(what syscall.Signal, to ...*client) {
	for _, c := range to {
		c.cmd.Process.Signal(what)
	}
}

// waitBound waits until each may run on one core only, out of those that it had.
func (p *pair) waitBound(list ...*client) {
	p.t.Helper()
	eventually(p.t, "clients are bound", func() bool {
		for _, c := range list {
			now, old := p.mask(c), p.old[c]
			for i := range now {
				if now[i]&^old[i] != 0 {
					p.t.Fatalf("%s may run on %v, and before on %v", c.what, now, old)
				}
			}
			if now.Count() != 1 {
				return false
			}
		}
		return true
	})
}

// wantMasks waits until each may run where it might before.
func (p *pair) wantMasks(list ...*client) {
	p.t.Helper()
	for _, c := range list {
		eventually(p.t, c.what+" may run where it might before",
			func() bool { return p.mask(c) == p.old[c] })
	}
}
