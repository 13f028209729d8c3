//go:build linux

package daemon

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/metrics"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// Status describes the framework and its clients. It holds up neither.
func (d *Daemon) Status() status.Status {
	s := d.engine.Status()
	s.Time, s.Started, s.Device, s.PID, s.Version = time.Now(), d.started, d.path, os.Getpid(), version()
	s.Clients = d.clients.list()
	return s
}

// version is the module's, if the program was built from a released one, else the revision.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return info.Main.Version
})

// clients are the open files of the device.
type clients struct {
	mu  sync.Mutex
	all map[*client]bool
}

func (c *clients) add(new *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[*client]bool{}
	}
	c.all[new] = true
}

func (c *clients) remove(old *client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.all, old)
}

// list is the clients by process.
func (c *clients) list() []status.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	byPID := map[int]*status.Client{}
	for f := range c.all {
		p := byPID[f.pid]
		if p == nil {
			p = &status.Client{PID: f.pid, Command: f.command, Ports: []string{}}
			byPID[f.pid] = p
		}
		if port := f.c.Port(); port != "" {
			p.Ports = append(p.Ports, port)
		} else {
			p.Unbound++
		}
	}
	list := make([]status.Client, 0, len(byPID))
	for _, p := range byPID {
		slices.Sort(p.Ports)
		list = append(list, *p)
	}
	slices.SortFunc(list, func(a, b status.Client) int { return cmp.Compare(a.PID, b.PID) })
	return list
}

// processOf is the process that a thread belongs to, the thread itself if that cannot be seen.
func processOf(tid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", tid))
	if err != nil {
		return tid
	}
	_, after, _ := strings.Cut(string(text), "\nTgid:")
	line, _, _ := strings.Cut(after, "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return tid
	}
	return pid
}

// StatusConfig says where the status API is offered. Empty means nowhere.
type StatusConfig struct {
	Socket string // path of a unix socket, with the mode and owners of the device node
	HTTP   string // host:port
}

// ServeStatus offers the status API until Close. Errors: EADDRINUSE where somebody else listens, and those of making sockets.
func (d *Daemon) ServeStatus(cfg StatusConfig) error {
	if cfg.Socket != "" {
		l, err := listenUnix(cfg.Socket, d.node)
		if err != nil {
			return err
		}
		d.serve(l)
	}
	if cfg.HTTP != "" {
		l, err := net.Listen("tcp", cfg.HTTP)
		if err != nil {
			return fault.Wrap(err, "offer the status at", cfg.HTTP, "")
		}
		if a := l.Addr().(*net.TCPAddr); !a.IP.IsLoopback() {
			d.log.Say(event.Event{Kind: event.StatusExposed, Address: a.String()})
		}
		d.serve(l)
	}
	return nil
}

func (d *Daemon) serve(l net.Listener) {
	s := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: log.New(trouble{d.log}, "", 0)}
	d.servers = append(d.servers, s)
	go s.Serve(l) // until it is closed
}

// trouble takes the lines of a server's log.
type trouble struct{ log *event.Throttle }

func (t trouble) Write(line []byte) (int, error) {
	t.log.Say(event.Event{Kind: event.StatusTrouble, Reason: strings.TrimSpace(string(line))})
	return len(line), nil
}

// handler answers the requests of the status API.
func (d *Daemon) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+status.Path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(d.Status())
	})
	mux.Handle("GET /metrics", metrics.Handler(d.Status))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "netmap, serving %s\n\n%s\tports, rings, switches, clients and memory as JSON\n/metrics\tthe same for Prometheus\n", d.path, status.Path)
	})
	return mux
}

// listenUnix makes a socket with the permissions of the device node. One that a daemon left that was killed is replaced.
func listenUnix(path string, n nodeMode) (net.Listener, error) {
	const op = "offer the status at"
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fault.Wrap(err, op, path, "")
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fault.New(syscall.EADDRINUSE, op, path, "another daemon is there; name another socket with --status")
	} else if info, e := os.Lstat(path); e == nil && info.Mode().Type() == os.ModeSocket && errors.Is(err, syscall.ECONNREFUSED) {
		os.Remove(path)
	}
	old := syscall.Umask(0o777) // nobody gets in before it has its owners
	l, err := net.Listen("unix", path)
	syscall.Umask(old)
	if err != nil {
		return nil, fault.Wrap(err, op, path, "")
	}
	err = os.Chown(path, int(n.uid), int(n.gid))
	if err == nil {
		err = os.Chmod(path, os.FileMode(n.mode))
	}
	if err != nil {
		l.Close()
		return nil, fault.Wrap(err, op, path, "")
	}
	return l, nil
}
