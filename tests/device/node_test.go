//go:build linux

// Package device runs C programs on a device node, as they would run on the kernel module's. The
// daemon serves them inside the test or in a process of its own. Some tests kill clients and
// daemons while they work.
package device

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/daemon"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// soak is the environment variable that, set to 1, makes the tests that kill run for long.
const soak = "NETMAP_SOAK"

// rounds returns the number of repetitions: few, or many in a soak test.
func rounds(few, many int) int {
	if os.Getenv(soak) == "1" {
		return many
	}
	return few
}

// patience is the time after which a test gives up.
const patience = 20 * time.Second

// binDir is the directory in which the tests' programs are built, once.
var binDir string

func TestMain(m *testing.M) {
	runStressClient()
	var err error
	if binDir, err = os.MkdirTemp("", "netmap-tests"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(binDir)
	os.Exit(code)
}

// recipes has the compiler's arguments for each C client.
var recipes = func() map[string][]string {
	all := map[string][]string{}
	for _, name := range []string{
		"gen", "sink", "lifetime", "errors", "options", "manual", "page", "ends", "netdev",
	} {
		all[name] = []string{name + ".c"}
	}
	for _, api := range old {
		all["traffic-"+api] = []string{"traffic.c", `-DNETMAP_H="old/` + api + `.h"`}
	}
	all["traffic-a0page"] = []string{"traffic.c", `-DNETMAP_H="old/a0page.h"`,
		"-Dnr_numrings=nr_numqueues"}
	return all
}()

// compile builds the C clients.
var compile = sync.OnceValue(func() error {
	cc, err := exec.LookPath("cc")
	if err != nil {
		return err
	}
	results := make(chan error)
	for name, how := range recipes {
		go func() {
			args := append([]string{"-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra",
				"-Werror", "-o", filepath.Join(binDir, name)}, how...)
			cmd := exec.Command(cc, args...)
			cmd.Dir = filepath.Join("..", "c")
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%s: %v\n%s", name, err, out)
			}
			results <- err
		}()
	}
	for range recipes {
		err = errors.Join(err, <-results)
	}
	return err
})

// buildDaemon builds the program "netmap".
var buildDaemon = sync.OnceValue(func() error {
	out, err := exec.Command("go", "build", "-o", filepath.Join(binDir, "netmap"),
		"../../cmd/netmap").CombinedOutput()
	if err != nil && len(out) > 0 {
		err = fmt.Errorf("%v\n%s", err, out)
	}
	return err
})

// node is a device node and its daemon.
type node struct {
	t    *testing.T
	path string
	d    *daemon.Daemon // nil for a daemon in a process of its own
}

// newNode serves a node inside the test. At the end it checks that nothing is left of the node and
// its clients.
func newNode(t *testing.T) *node {
	t.Helper()
	return newNodeWith(t, func(*daemon.Config) {})
}

// newNodeWith is newNode with a changed configuration.
func newNodeWith(t *testing.T, change func(*daemon.Config)) *node {
	t.Helper()
	testutil.Require(t, "a C compiler", compile())
	testutil.CheckLeaks(t)
	n := &node{t: t, path: filepath.Join(t.TempDir(), "node")}
	cfg := daemon.Config{
		Engine: engine.Config{Region: mem.Config{Buf: mem.Pool{Num: 24576}, NoHuge: true}},
		Path:   n.path, Mode: 0o600, Spin: 20 * time.Microsecond,
		Log: slog.New(slog.DiscardHandler),
	}
	change(&cfg)
	var err error
	n.d, err = daemon.Start(cfg)
	testutil.Require(t, "a device node (root, FUSE passthrough of Linux 6.9)", err)
	t.Cleanup(func() {
		n.wantEmpty()
		n.d.Close()
		if mounted(n.path) {
			t.Errorf("%s is still mounted", n.path)
		}
	})
	return n
}

// mounted returns whether anything is mounted on a path.
func mounted(path string) bool {
	b, err := os.ReadFile("/proc/self/mounts")
	return err != nil || bytes.Contains(b, []byte(" "+path+" "))
}

// eventually waits until a condition holds, and fails the test when its patience ends.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// wantEmpty waits until the daemon's memory is free of the clients' objects.
func (n *node) wantEmpty() {
	n.t.Helper()
	usage := n.d.Engine().Region().Usage
	for end := time.Now().Add(patience); !usage().Full(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			n.t.Errorf("objects are missing: %+v", usage())
			return
		}
	}
}

// countOpen counts the descriptors and goroutines of this process.
func countOpen() (descriptors, goroutines int) {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries), runtime.NumGoroutine()
}

// client is a running C program.
type client struct {
	t      *testing.T
	what   string
	cmd    *exec.Cmd
	ready  chan struct{} // closed when the client is ready, or ends
	ended  chan struct{}
	err    error             // after ended
	result map[string]string // what it printed as key=value; after ended
	stderr bytes.Buffer
	done   func() // closes ready
}

// Write receives the client's standard error, to which the daemon logs that it serves.
func (c *client) Write(text []byte) (int, error) {
	if bytes.Contains(text, []byte("event=serving ")) ||
		bytes.Contains(text, []byte(`"event":"serving"`)) {
		c.done()
	}
	return c.stderr.Write(text)
}

// start starts a client in a network namespace; nil is the test's own. At the end of the test the
// client is killed if it still runs.
func (n *node) start(ns *testutil.NS, program string, args ...string) *client {
	n.t.Helper()
	return start(n.t, ns, program, append([]string{"-d", n.path}, args...)...)
}

func start(t *testing.T, ns *testutil.NS, program string, args ...string) *client {
	t.Helper()
	c := &client{t: t, what: program + " " + strings.Join(args, " "),
		cmd:   exec.Command(filepath.Join(binDir, program), args...),
		ready: make(chan struct{}), ended: make(chan struct{}), result: map[string]string{}}
	c.done = sync.OnceFunc(func() { close(c.ready) })
	c.cmd.Stderr = c
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	run := func(f func()) { f() }
	if ns != nil {
		run = ns.Do
	}
	if run(func() { err = c.cmd.Start() }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	go c.listen(stdout)
	return c
}

func (c *client) listen(stdout io.Reader) {
	defer close(c.ended)
	defer c.done()
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if line := lines.Text(); line == "ready" || strings.HasPrefix(line, "Receiving from ") ||
			strings.HasPrefix(line, "Working on ") {
			c.done()
		} else {
			c.take(line)
		}
	}
	c.err = c.cmd.Wait()
}

// take stores a line of the client: a result, or other text, which is kept under the key "text".
func (c *client) take(line string) {
	for field := range strings.FieldsSeq(line) {
		if key, value, ok := strings.Cut(field, "="); ok {
			c.result[key] = value
		}
	}
	if !strings.Contains(line, "=") {
		c.result["text"] += line + "\n"
	}
}

// waitReady waits until the client has opened its port.
func (c *client) waitReady() *client {
	c.t.Helper()
	await(c.t, c.what+" is ready", c.ready)
	select {
	case <-c.ended:
		if c.err != nil {
			c.t.Fatalf("%s: %v\n%s", c.what, c.err, c.stderr.String())
		}
	default:
	}
	return c
}

func await(t *testing.T, what string, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// wait waits for the client's end, fails the test if the client failed, and returns its results.
func (c *client) wait() map[string]string {
	c.t.Helper()
	await(c.t, c.what+" ends", c.ended)
	if c.err != nil {
		c.t.Fatalf("%s: %v\n%s%s", c.what, c.err, c.stderr.String(), c.result["text"])
	}
	return c.result
}

// kill kills the client, and returns when it has ended.
func (c *client) kill() {
	c.cmd.Process.Kill()
	<-c.ended
}

// alive returns whether the client runs.
func (c *client) alive() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// count returns a number among the client's results, -1 if there is none.
func (c *client) count(key string) int {
	n, err := strconv.Atoi(c.result[key])
	if err != nil {
		return -1
	}
	return n
}

// transfer sends frames from one port to others, and checks that each gets them all, unchanged, and
// in order if ordered is set.
func (n *node) transfer(frames int, from endpoint, ordered bool, to ...endpoint) {
	n.t.Helper()
	var sinks []*client
	for _, e := range to {
		sinks = append(sinks, n.start(e.ns, "sink",
			append([]string{"-i", e.port, "-n", strconv.Itoa(frames)}, e.args...)...).waitReady())
	}
	gen := n.start(from.ns, "gen", append([]string{"-i", from.port, "-n", strconv.Itoa(frames)},
		from.args...)...)
	gen.wait()
	for _, s := range sinks {
		s.wait()
		if s.count("got") != frames || s.count("bad") != 0 || ordered && s.count("reordered") != 0 {
			n.t.Errorf("%s, from %s: %v", s.what, gen.what, s.result)
		}
	}
}

// endpoint is a port, the network namespace of its client, and the client's other arguments.
type endpoint struct {
	ns   *testutil.NS
	port string
	args []string
}

func at(port string, args ...string) endpoint { return endpoint{port: port, args: args} }

func (e endpoint) in(ns *testutil.NS) endpoint {
	e.ns = ns
	return e
}

// stale returns whether a path is the mount of a dead daemon.
func stale(path string) bool {
	var sf unix.Statfs_t
	err := unix.Statfs(path, &sf)
	return err == unix.ENOTCONN || err == unix.ECONNABORTED
}
