//go:build linux

package daemon

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/statusapi"
)

// get requests the status of a daemon.
func get(t *testing.T, address string) *status.Status {
	t.Helper()
	d := statusapi.At(address)
	defer d.Close()
	s, err := d.Get(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStatusAPI(t *testing.T) {
	path, d := serve(t)
	socket := status.DefaultSocket(path)
	if socket != path+".sock" {
		t.Fatalf("the socket is %s", socket)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	if err := d.ServeStatus(StatusConfig{Socket: socket, HTTP: address}); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(socket); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("%v, %v; want the mode of the node", info.Mode(), err)
	}
	tx, rx := openPort(t, path, "vale3:a"), openPort(t, path, "vale3:b")
	pass(t, tx, rx, 32, 1000)

	for _, at := range []string{socket, address, "http://" + address} {
		s := get(t, at)
		if s.Device != path || s.PID != os.Getpid() || len(s.Ports) != 2 ||
			s.Ports[1].Rings[1].Frames < 1000 || s.Ports[1].Rings[1].Bytes < 60_000 {
			t.Errorf("at %s: %+v", at, s)
		}
		command, _ := os.ReadFile("/proc/self/comm")
		want := status.Client{PID: os.Getpid(), Command: strings.TrimSpace(string(command)),
			Ports: []string{"vale3:a", "vale3:b"}}
		if c := s.Clients; len(c) != 1 || c[0].PID != want.PID || c[0].Command != want.Command ||
			!slices.Equal(c[0].Ports, want.Ports) {
			t.Errorf("clients %+v, want %+v", c, want)
		}
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	tx.Close()
	// the daemon is told of a close a moment later
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c := get(t, socket).Clients[0]
		if c.Unbound == 1 && slices.Equal(c.Ports, []string{"vale3:b"}) {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("after a close and an open: %+v", c)
		}
	}
	unix.Close(fd)

	for url, want := range map[string]string{
		"/metrics": `netmap_ring_frames_total{direction="rx",netns="",port="vale3:b",ring="0"} `,
		"/":        path,
	} {
		r, err := http.Get("http://" + address + url)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(r.Body)
		r.Body.Close()
		if r.StatusCode != 200 || !strings.Contains(string(b), want) {
			t.Errorf("%s: %s, %s; want %q in it", url, r.Status, b, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	d.Close()
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket still exists: %v", err)
	}
}

// TestClientsAreProcesses tests that a client is known by its process, whichever thread opened the
// device.
func TestClientsAreProcesses(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	if pid := processOf(cmd.Process.Pid); pid != cmd.Process.Pid {
		t.Errorf("process of %d is %d", cmd.Process.Pid, pid)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		tid := 0
		for _, c := range task.Name() {
			tid = 10*tid + int(c-'0')
		}
		if pid := processOf(tid); pid != os.Getpid() && pid != tid { // the thread may have ended
			t.Errorf("thread %d is of process %d, want %d", tid, pid, os.Getpid())
		}
	}
	if pid := processOf(1 << 29); pid != 1<<29 {
		t.Errorf("an unknown thread is of process %d", pid)
	}
}
