//go:build linux

package device

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// settings lists everything of both interfaces that netmap mode could change, as an administrator
// sees it.
func (h hosts) settings(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, ns := range []*testutil.NS{h.a, h.b} {
		ns.Do(func() {
			for _, command := range []string{
				"ethtool -k", "ethtool -l", "ethtool -g",
				"ip -d link show dev", "tc qdisc show dev", "tc filter show dev",
			} {
				args := append(strings.Fields(command), nic)
				out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
				if err != nil && args[1] != "-g" { // a veth has no ring sizes
					t.Fatalf("%s: %v\n%s", command, err, out)
				}
				fmt.Fprintf(&b, "# %s\n%s", command, out)
			}
			b.WriteString(programs(t))
		})
	}
	return b.String()
}

// programs lists the BPF programs that are attached to the interface.
func programs(t *testing.T) string {
	t.Helper()
	i, err := net.InterfaceByName(nic)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for name, at := range map[string]ebpf.AttachType{
		"ingress": ebpf.AttachTCXIngress, "egress": ebpf.AttachTCXEgress,
	} {
		r, err := link.QueryPrograms(link.QueryOptions{Target: i.Index, Attach: at})
		testutil.Require(t, "TCX", err)
		for _, p := range r.Programs {
			fmt.Fprintf(&b, "%s: program %d\n", name, p.ID)
		}
	}
	return b.String()
}

// wantSettings waits until the interfaces are as they were. The kernel detaches a killed process's
// programs a little later.
func (h hosts) wantSettings(t *testing.T, what, want string) {
	t.Helper()
	var got string
	for range 100 {
		if got = h.settings(t); got == want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Errorf("%s: the interfaces are not as they were: %s", what, difference(want, got))
}

// difference returns the lines that are in only one of two texts.
func difference(want, got string) string {
	var b strings.Builder
	only := func(sign, text, other string) {
		for line := range strings.Lines(text) {
			if !strings.Contains(other, line) {
				b.WriteString("\n" + sign + strings.TrimRight(line, "\n"))
			}
		}
	}
	only("- ", want, got)
	only("+ ", got, want)
	return b.String()
}

// requireTools skips the test if a tool that shows settings is missing.
func requireTools(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"ethtool", "ip", "tc"} {
		_, err := exec.LookPath(tool)
		testutil.Require(t, tool, err)
	}
}

// taken checks that the interfaces are in netmap mode, so that there is something to put back.
func (h hosts) taken(t *testing.T, was string) {
	t.Helper()
	d := difference(was, h.settings(t))
	for _, want := range []string{
		"+ rx-vlan-offload: off", "+ rx-vlan-stag-hw-parse: off", "prog/xdp", "promiscuity 1",
	} {
		if !strings.Contains(d, want) {
			t.Fatalf("no %q among the changes: %s", want, d)
		}
	}
}

// However the use of an interface ends, all its settings are as before: offloads, queues,
// promiscuous mode, BPF programs. So are those of its other end, which its driver may change by
// itself.
func TestInterfacesAreGivenBack(t *testing.T) {
	testutil.CheckLeaks(t)
	requireTools(t)
	dir := t.TempDir()
	path := filepath.Join(dir, "node")
	args := []string{"--promisc", "--state-dir", filepath.Join(dir, "state")}
	h := newHosts(t)
	h.a.Do(func() {
		for _, command := range []string{
			"ethtool -L nm0 rx 3 tx 2", "ethtool -K nm0 tx-tcp-segmentation off rx-gro-list on",
			"tc qdisc add dev nm0 clsact", "ip link set dev nm0 mtu 1400",
		} {
			if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
		}
	})
	h.attachTCX(t)
	before := h.settings(t)
	s := serve(t, path, args...)
	s.requireXDPOfServer(h)
	h.wantSettings(t, "tried", before)
	open := func() []*client {
		var both []*client
		for _, ns := range []*testutil.NS{h.a, h.b} {
			both = append(both, s.node.start(ns, "sink", "-i", nic, "-H").waitReady())
		}
		h.taken(t, before)
		return both
	}

	for _, c := range open() {
		c.cmd.Process.Signal(syscall.SIGTERM)
		<-c.ended
	}
	h.wantSettings(t, "closed", before)

	open()
	s.terminate()
	h.wantSettings(t, "daemon ended", before)

	s = serve(t, path, args...)
	open()
	s.client.kill()
	h.wantOwnStack(t)
	if d := difference(before, h.settings(t)); !strings.Contains(d, "rx-vlan-offload: off") {
		t.Errorf("killed: nothing to restore: %s", d)
	}
	s = serve(t, path, args...)
	h.wantSettings(t, "daemon killed and started again", before)

	open()
	s.client.kill()
	out, err := exec.Command(filepath.Join(binDir, "netmap"), "doctor", "--restore", "--state-dir",
		args[2]).CombinedOutput()
	if err != nil || strings.Count(string(out), "nm0 is as it was") != 2 {
		t.Errorf("netmap doctor --restore: %v, %s", err, out)
	}
	h.wantSettings(t, "daemon killed and netmap doctor --restore", before)
	if left, _ := filepath.Glob(filepath.Join(args[2], "*")); len(left) > 0 {
		t.Errorf("records are left: %v", left)
	}
}

// The daemon is killed at a random moment, while clients open and close the interfaces.
func TestKillWhileTakingOver(t *testing.T) {
	testutil.CheckLeaks(t)
	requireTools(t)
	dir := t.TempDir()
	path, state := filepath.Join(dir, "node"), filepath.Join(dir, "state")
	h := newHosts(t)
	before := h.settings(t)
	found := 0
	for round := range rounds(12, 200) {
		s := serve(t, path, "--promisc", "--state-dir", state)
		if round == 0 {
			s.requireXDPOfServer(h)
			h.wantSettings(t, "tried", before)
		}
		var clients []*client
		for _, ns := range []*testutil.NS{h.a, h.b} {
			clients = append(clients, s.node.start(ns, "sink", "-i", nic, "-n", "1", "-t", "5"))
		}
		time.Sleep(time.Duration(rand.IntN(60_000)) * time.Microsecond)
		s.client.kill()
		for _, c := range clients {
			c.kill()
		}
		left, err := takeover.Recover(state)
		if err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		found += len(left)
		h.wantSettings(t, fmt.Sprintf("round %d", round), before)
		if t.Failed() {
			return
		}
	}
	t.Logf("something to restore %d times", found)
}

// attachTCX attaches a TCX program that is not netmap's.
func (h hosts) attachTCX(t *testing.T) {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "their_tcx", Type: ebpf.SchedCLS,
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, -1), asm.Return()}}) // TCX_NEXT
	testutil.Require(t, "BPF", err)
	defer p.Close()
	h.a.Do(func() {
		i, err := net.InterfaceByName(nic)
		if err != nil {
			t.Fatal(err)
		}
		l, err := link.AttachTCX(link.TCXOptions{Interface: i.Index, Program: p,
			Attach: ebpf.AttachTCXIngress})
		testutil.Require(t, "TCX", err)
		t.Cleanup(func() { l.Close() })
	})
}

// An interface with another XDP program is EBUSY, the error names the program, and the interface is
// not changed.
func TestOthersXDPProgram(t *testing.T) {
	testutil.CheckLeaks(t)
	requireTools(t)
	h := newHosts(t)
	before := h.settings(t)
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	s := serve(t, filepath.Join(dir, "node"), "--state-dir", state)
	s.requireXDPOfServer(h)
	h.wantSettings(t, "tried", before)
	os.Remove(state)
	var wanted []string
	// XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE
	for mode, flags := range map[string]int{"native": 1 << 2, "generic": 1 << 1} {
		p, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "their_filter", Type: ebpf.XDP,
			License:      "GPL",
			Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}})
		testutil.Require(t, "BPF", err)
		defer p.Close()
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		id, _ := info.ID()
		attach := func(fd int) (err error) {
			h.a.Do(func() {
				var l netlink.Link
				if l, err = netlink.LinkByName(nic); err == nil {
					err = netlink.LinkSetXdpFdWithFlags(l, fd, flags)
				}
			})
			return err
		}
		if err := attach(p.FD()); err != nil {
			t.Fatal(err)
		}
		before := h.settings(t)
		c := s.node.start(h.a, "sink", "-i", nic)
		await(t, c.what, c.ended)
		if c.count("errno") != int(syscall.EBUSY) {
			t.Errorf("%s: %v, want EBUSY", mode, c.result)
		}
		h.wantSettings(t, mode+": refused", before)
		if _, err := os.Stat(state); err == nil {
			t.Errorf("%s: settings were changed", mode)
		}
		if err := attach(-1); err != nil {
			t.Fatal(err)
		}
		wanted = append(wanted, fmt.Sprintf(`their_filter\" (id %d, %s)`, id, mode))
	}
	s.terminate()
	log := s.client.stderr.String()
	for _, want := range append(wanted, "ip link set dev nm0 xdpdrv off",
		"ip link set dev nm0 xdpgeneric off") {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log: %s", want, log)
		}
	}
}
