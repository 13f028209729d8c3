//go:build linux

package device

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// tool is a command of the program "netmap" that runs until it is interrupted.
type tool struct {
	t      *testing.T
	cmd    *exec.Cmd
	what   string
	ready  chan struct{} // closed when the command is ready, or ends
	stdout strings.Builder
	stderr strings.Builder
	// Interrupts the command, checks its status, and returns its standard output.
	end  func() string
	kill func()
}

// startTool starts a command in a network namespace, and waits until it is ready. nil is the test's
// own namespace.
func startTool(t *testing.T, ns *testutil.NS, args ...string) *tool {
	t.Helper()
	testutil.Require(t, "the program netmap", buildDaemon())
	tool := &tool{t: t, what: strings.Join(args, " "),
		cmd: exec.Command(filepath.Join(binDir, "netmap"), args...), ready: make(chan struct{})}
	tool.cmd.Stdout = &tool.stdout
	stderr, err := tool.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	run := func(f func()) { f() }
	if ns != nil {
		run = ns.Do
	}
	if run(func() { err = tool.cmd.Start() }); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		says := sync.OnceFunc(func() { close(tool.ready) })
		defer says()
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			fmt.Fprintln(&tool.stderr, lines.Text())
			if strings.HasPrefix(lines.Text(), "Ready") {
				says()
			}
		}
		ended <- tool.cmd.Wait()
	}()
	with := syscall.SIGINT
	finish := sync.OnceFunc(func() {
		tool.cmd.Process.Signal(with)
		if err := <-ended; err != nil && with != syscall.SIGKILL {
			t.Errorf("netmap %s: %v\n%s", tool.what, err, tool.stderr.String())
		}
	})
	t.Cleanup(finish)
	tool.end = func() string { finish(); return tool.stdout.String() }
	tool.kill = func() { with = syscall.SIGKILL; finish() }
	await(t, "netmap "+tool.what+" is ready", tool.ready)
	return tool
}

// lines parses the lines of JSON in a command's output.
func lines(t *testing.T, text string) (all []map[string]any) {
	t.Helper()
	for line := range strings.Lines(text) {
		var m map[string]any
		if strings.HasPrefix(line, "{") {
			if err := json.Unmarshal([]byte(line), &m); err != nil {
				t.Fatalf("%v in %q", err, line)
			}
			all = append(all, m)
		}
	}
	return all
}

// C programs exchange frames through "netmap bridge": between two pipes and between a pipe and a
// switch, with and without copying.
func TestBridge(t *testing.T) {
	n := newNode(t)
	for _, args := range []string{"", "-c", "-b 5"} {
		b := startTool(t, nil, append(strings.Fields("bridge --json --device="+n.path+" "+args),
			"-i", "x}1", "-i", "y}2")...)
		n.transfer(20000, at("x{1", "-k", "256"), true, at("y{2"))
		n.transfer(20000, at("y{2", "-k", "256", "-l", "1514"), true, at("x{1"))
		all := lines(t, b.end())
		if len(all) < 2 {
			t.Fatalf("%s: %v", args, all)
		}
		for _, m := range all[len(all)-2:] {
			if m["event"] != "summary" || m["frames"] != 20000.0 ||
				m["zero_copy"] != (args != "-c") {
				t.Errorf("%s: %v", args, m)
			}
		}
		n.wantEmpty()
	}
	b := startTool(t, nil, "bridge", "--device="+n.path, "-i", "x}1", "-i", "vale0:b")
	n.transfer(1000, at("x{1"), true, at("vale0:a"))
	n.transfer(1000, at("vale0:a"), true, at("x{1"))
	b.end()
}

// Two interfaces are bridged without a copy, through the daemon and in a process of its own. Frames
// that do not match the filter are dropped.
func TestBridgeNICs(t *testing.T) {
	n := newNode(t)
	a, middle, b := testutil.NewNS(t), testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, a, nic, middle, "left", 2)
	testutil.Veth(t, b, nic, middle, "right", 2)
	n.requireXDP(hosts{a, b})
	for _, args := range []string{"--device=" + n.path, ""} {
		tool := startTool(t, middle, append(strings.Fields("bridge -w 0 --json "+args), "-i",
			"netmap:left", "-i", "netmap:right")...)
		n.transfer(600, at(nic, gently...).in(a), false, at(nic).in(b))
		n.transfer(600, at(nic, gently...).in(b), false, at(nic).in(a))
		all := lines(t, tool.end())
		for _, m := range all[len(all)-2:] {
			if m["frames"].(float64) < 600 || m["zero_copy"] != true {
				t.Errorf("%s: %v", args, m)
			}
		}
		n.wantEmpty()
	}
	tool := startTool(t, middle, "bridge", "-w", "0", "--json", "--filter", "less 100", "-i",
		"left", "-i", "right")
	n.start(a, "gen", append([]string{"-i", nic, "-n", "200", "-l", "200"}, gently...)...).wait()
	n.transfer(600, at(nic, gently...).in(a), false, at(nic).in(b))
	all := lines(t, tool.end())
	if m := all[len(all)-2]; m["frames"].(float64) < 600 || m["filtered"].(float64) != 200 {
		t.Errorf("%v", m)
	}
}

// "netmap lb" passes all frames of "netmap gen" to its pipes, each flow to one pipe of a group.
func TestLB(t *testing.T) {
	n := newNode(t)
	const frames = 60000
	lb := startTool(t, nil, "lb", "--device="+n.path, "-i", "in}1", "-p", "out:2", "-p", "all:1",
		"-B", "2000", "-o", "1")
	var sinks []*client
	for _, port := range []string{"out}0", "out}1", "all}0"} {
		sinks = append(sinks, n.start(nil, "sink", "-i", port, "-n", "0").waitReady())
	}
	gen := exec.Command(filepath.Join(binDir, "netmap"), "gen", "--device="+n.path, "-f", "tx",
		"-i", "in{1", "-n", strconv.Itoa(frames), "-R", "30k", "-b", "64",
		"-s", "10.0.0.1:1000-10.0.0.200:1200")
	if out, err := gen.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := fmt.Sprintf("%d packets forwarded.  0 packets dropped. Total %d\n", 2*frames, 2*frames)
	if out := lb.end(); !strings.HasSuffix(out, want) {
		t.Errorf("%s, want %s", out, want)
	} else if all := lines(t, out); len(all) < 4 {
		t.Errorf("%d lines of statistics", len(all))
	}
	for _, s := range sinks {
		s.kill()
	}
	n.wantEmpty()
}

// A balancer that is killed leaves nothing behind, and the next one can open the same pipes.
func TestKillLB(t *testing.T) {
	n := newNode(t)
	for range rounds(5, 50) {
		lb := startTool(t, nil, "lb", "--device="+n.path, "-i", "in}1", "-p", "out:2", "-B", "1000")
		gen := n.start(nil, "gen", "-i", "in{1", "-n", "0").waitReady()
		lb.kill()
		gen.kill()
		n.wantEmpty()
	}
}
