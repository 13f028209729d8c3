//go:build linux

package device

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// held returns the memory in bytes that a daemon takes from the machine: its own, and that of its
// region.
func (s *server) held() (own, region uint64) {
	s.node.t.Helper()
	proc := fmt.Sprintf("/proc/%d/", s.cmd.Process.Pid)
	text, err := os.ReadFile(proc + "smaps_rollup")
	if err != nil {
		s.node.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "Rss:" {
			own, _ = strconv.ParseUint(f[1], 10, 64)
		}
	}
	entries, err := os.ReadDir(proc + "fd")
	if err != nil {
		s.node.t.Fatal(err)
	}
	for _, e := range entries {
		var st unix.Stat_t
		if to, _ := os.Readlink(proc + "fd/" + e.Name()); strings.HasPrefix(to, "/memfd:netmap") &&
			unix.Stat(proc+"fd/"+e.Name(), &st) == nil {
			region += uint64(st.Blocks) * 512
		}
	}
	return own << 10, region
}

// An idle daemon takes little memory, whatever the size of its region.
func TestIdleDaemonIsSmall(t *testing.T) {
	testutil.CheckLeaks(t)
	s := serve(t, filepath.Join(t.TempDir(), "node"))
	if own, region := s.held(); own+region > 40<<20 || region == 0 {
		t.Errorf("idle: %d KiB, and %d in the region", own>>10, region>>10)
	}
	p, err := netmap.OpenDevice(s.path, "vale0:a")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, region := s.held(); region < 4<<20 || region > 20<<20 {
		t.Errorf("with one port: %d KiB in the region", region>>10)
	}
}

// When a daemon is out of memory, opening a port fails with ENOMEM, and clients with open ports are
// not affected.
func TestDaemonWithoutMemory(t *testing.T) {
	testutil.CheckLeaks(t)
	h := newHosts(t)
	s := serve(t, filepath.Join(t.TempDir(), "node"), "--buffers", "212992")
	s.limitMemory(64 << 20)
	var err error
	h.a.Do(func() { _, err = netmap.OpenDevice(s.path, "netmap:"+nic) })
	if !errors.Is(err, syscall.ENOMEM) || !strings.Contains(err.Error(), "--buffers") {
		t.Errorf("an interface, which needs all buffers: %v", err)
	}
	var ports []*netmap.Port
	for err = nil; err == nil && len(ports) < 50; {
		var p *netmap.Port
		if p, err = netmap.OpenDevice(s.path, fmt.Sprint("vale0:p", len(ports))); err == nil {
			defer p.Close()
			ports = append(ports, p)
		}
	}
	if !errors.Is(err, syscall.ENOMEM) || len(ports) < 2 {
		t.Fatalf("%d ports opened, then: %v", len(ports), err)
	}
	for _, p := range ports { // open ports have all their memory
		for range p.Tx()[0].NumSlots() - 1 {
			p.Tx()[0].Send(make([]byte, 2000))
		}
		if err := p.TxSync(); err != nil {
			t.Error(err)
		}
	}
	if !s.alive() {
		t.Errorf("the daemon is dead: %v %s", s.err, s.stderr.String())
	}
}

// limitMemory limits the memory of the daemon with a control group.
func (s *server) limitMemory(limit int) {
	s.node.t.Helper()
	name := fmt.Sprintf("netmap-test-%d", s.cmd.Process.Pid)
	dir, file := "/sys/fs/cgroup/memory/"+name, "memory.limit_in_bytes"
	if _, err := os.Stat("/sys/fs/cgroup/memory"); errors.Is(err, fs.ErrNotExist) {
		dir, file = "/sys/fs/cgroup/"+name, "memory.max"
	}
	testutil.Require(s.node.t, "a control group", os.Mkdir(dir, 0o755))
	s.node.t.Cleanup(func() {
		s.kill()
		eventually(s.node.t, "the control group can be removed", func() bool {
			return os.Remove(dir) == nil
		})
	})
	for name, value := range map[string]int{file: limit, "cgroup.procs": s.cmd.Process.Pid} {
		testutil.Require(s.node.t, "a control group with "+name,
			os.WriteFile(filepath.Join(dir, name), []byte(strconv.Itoa(value)), 0))
	}
}
