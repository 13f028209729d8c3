//go:build linux

package device

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// user runs commands of netmap as an ordinary user, with directories for their sockets.
type user struct {
	t       *testing.T
	id      uint32
	runtime string // XDG_RUNTIME_DIR, unset if empty
	temp    string // TMPDIR
}

// newUser returns an ordinary user.
func newUser(t *testing.T) *user {
	t.Helper()
	testutil.Require(t, "the program netmap", buildDaemon())
	if os.Geteuid() != 0 {
		testutil.Require(t, "another user (root)", syscall.EPERM)
	}
	dir, err := os.MkdirTemp("", "nm") // only root may enter directories of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const nobody = 65534
	os.Chown(dir, nobody, nobody)
	os.Chmod(binDir, 0o755)
	return &user{t: t, id: nobody, runtime: dir, temp: dir}
}

func (u *user) command(args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(binDir, "netmap"), args...)
	c.Env = append(os.Environ(), "TMPDIR="+u.temp)
	c.Env = slices.DeleteFunc(c.Env, func(s string) bool {
		return strings.HasPrefix(s, "XDG_RUNTIME_DIR=")
	})
	if u.runtime != "" {
		c.Env = append(c.Env, "XDG_RUNTIME_DIR="+u.runtime)
	}
	c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: u.id, Gid: u.id}}
	return c
}

// bridge starts a bridge between two switches inside its own process.
func (u *user) bridge(more ...string) *exec.Cmd {
	u.t.Helper()
	c := u.command(append([]string{"bridge", "-i", "vale0:x", "-i", "vale1:y", "--device=embedded",
		"-w", "0"}, more...)...)
	if err := c.Start(); err != nil {
		u.t.Fatal(err)
	}
	u.t.Cleanup(func() { end(c, syscall.SIGKILL) })
	return c
}

// end ends a command, if it still runs.
func end(c *exec.Cmd, how syscall.Signal) error {
	if c.ProcessState != nil {
		return nil
	}
	c.Process.Signal(how)
	return c.Wait()
}

// watched returns the processes of the commands that top shows.
func (u *user) watched() (pids []int) {
	u.t.Helper()
	out, _ := u.command("top", "--json").Output() // top fails if there is none
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var s status.Status
		if err := d.Decode(&s); errors.Is(err, io.EOF) {
			return pids
		} else if err != nil {
			u.t.Fatalf("%v in %s", err, out)
		}
		if s.Program == "netmap bridge" && s.Device == "" && len(s.Ports) == 2 {
			pids = append(pids, s.PID)
		}
	}
}

func (u *user) wantWatched(what string, all ...*exec.Cmd) {
	u.t.Helper()
	eventually(u.t, what, func() bool {
		pids := u.watched()
		for _, c := range all {
			if !slices.Contains(pids, c.Process.Pid) {
				return false
			}
		}
		return len(pids) == len(all)
	})
}

func (u *user) sockets() []string {
	found, _ := filepath.Glob(filepath.Join(u.runtime, "netmap", "*"))
	return found
}

// top shows each command that has ports inside its process to the user of the command. The socket
// of a killed command is removed by the next command. A stopped command does not hide the others.
// At the end no socket is left.
func TestCommandsAreWatched(t *testing.T) {
	u := newUser(t)
	one, two := u.bridge(), u.bridge()
	u.wantWatched("two bridges", one, two)
	if all := u.sockets(); len(all) != 2 {
		t.Errorf("sockets %q", all)
	}
	for _, path := range u.sockets() {
		if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%s: %v, %v", path, info.Mode(), err)
		}
	}
	offered, err := u.command("__complete", "top", "--status", "").Output()
	for _, path := range u.sockets() {
		if !strings.Contains(string(offered), path+"\n") {
			t.Errorf("%s is not offered behind --status: %s, %v", path, offered, err)
		}
	}
	out, err := u.command("vale", "list").Output()
	for _, c := range []*exec.Cmd{one, two} {
		want := fmt.Sprintf("Inside netmap bridge, process %d:\nvale0", c.Process.Pid)
		if !strings.Contains(string(out), want) {
			t.Errorf("vale list prints %s, %v; want %q", out, err, want)
		}
	}
	one.Process.Signal(syscall.SIGSTOP)
	u.wantWatched("the bridge that is not stopped", two)
	end(one, syscall.SIGKILL)
	u.wantWatched("the bridge that was not killed", two)
	if all := u.sockets(); len(all) != 2 {
		t.Errorf("sockets after a kill: %q", all)
	}
	three := u.bridge()
	u.wantWatched("the next bridge", two, three)
	stale := filepath.Join(u.runtime, "netmap", fmt.Sprintf("bridge-%d.sock", one.Process.Pid))
	if all := u.sockets(); len(all) != 2 || slices.Contains(all, stale) {
		t.Errorf("sockets after the next one began: %q", all)
	}
	for _, c := range []*exec.Cmd{two, three} {
		if err := end(c, syscall.SIGINT); err != nil {
			t.Error(err)
		}
	}
	if all := u.sockets(); len(all) > 0 {
		t.Errorf("%q are left", all)
	}
}

// If no socket can be made, the command runs without one, unless --status names it.
func TestNoPlaceForASocket(t *testing.T) {
	u := newUser(t)
	u.runtime = ""
	c := u.bridge()
	u.wantWatched("a bridge without XDG_RUNTIME_DIR", c)
	end(c, syscall.SIGINT)

	u.runtime = "/proc/nosuch"
	c = u.command("bridge", "-i", "vale0:x", "-i", "vale1:y", "--device=embedded", "-w", "0")
	said, err := c.StderrPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer end(c, syscall.SIGKILL)
	var text string
	for b := make([]byte, 4096); err == nil && !strings.Contains(text, "Ready"); {
		var n int
		n, err = said.Read(b)
		text += string(b[:n])
	}
	if !strings.Contains(text, "netmap: warning: offer the status at /proc/nosuch/netmap") ||
		!strings.Contains(text, "Ready") {
		t.Errorf("the bridge prints %s, %v", text, err)
	}
	for _, flag := range []string{"--status=/proc/nosuch/sock", "--http=nosuch.invalid:1"} {
		out, err := u.command("gen", "--time=1s", flag).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "offer the status at") {
			t.Errorf("gen %s: %v, %s", flag, err, out)
		}
	}
}

// A command offers metrics of its ports for Prometheus at the address that --http names.
func TestCommandOffersMetrics(t *testing.T) {
	u := newUser(t)
	socket := filepath.Join(u.runtime, "here")
	c := u.bridge("--status", socket)
	eventually(t, "the socket", func() bool { _, err := os.Stat(socket); return err == nil })
	out, err := u.command("top", "--json", "--status", socket).Output()
	var s status.Status
	if err == nil {
		err = json.Unmarshal(out, &s)
	}
	if err != nil || s.PID != c.Process.Pid {
		t.Errorf("%v, %s", err, out)
	}
	if all := u.sockets(); len(all) > 0 {
		t.Errorf("unexpected sockets: %q", all)
	}
	text := httpGet(t, socket, "/metrics")
	for _, want := range []string{
		`netmap_port_info{attached="",detail="",kind="vale",netns="",port="vale0:x"} 1`,
		`netmap_switch_ports{switch="vale1"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in %s", want, text)
		}
	}
	if text := httpGet(t, socket, "/"); !strings.HasPrefix(text, "netmap bridge, process ") {
		t.Errorf("/ returns %s", text)
	}
}

// httpGet makes a request to a unix socket.
func httpGet(t *testing.T, socket, path string) string {
	t.Helper()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: dial}}
	r, err := c.Get("http://netmap" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", path, r.Status, err)
	}
	return string(b)
}
