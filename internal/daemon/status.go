//go:build linux

package daemon

import (
	"cmp"
	"fmt"
	"log"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/metrics"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/statusapi"
)

// Status describes the framework and its clients. It delays neither.
func (d *Daemon) Status() status.Status {
	s := d.engine.Status()
	s.Device, s.Clients = d.path, d.clients.list()
	statusapi.Complete(&s, d.started)
	return s
}

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

// list returns the clients by process.
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

// processOf returns the process of a thread, or tid if the process cannot be seen.
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

// StatusConfig sets where the status API is offered. An empty field means nowhere.
type StatusConfig struct {
	Socket string // path of a unix socket, with the mode and owners of the device node
	HTTP   string // host:port
}

// ServeStatus offers the status API until Close. Errors: EADDRINUSE if another program listens
// there, and those of making sockets.
func (d *Daemon) ServeStatus(cfg StatusConfig) error {
	if cfg.Socket != "" {
		l, err := statusapi.Listen(cfg.Socket, statusapi.Access{
			Mode: os.FileMode(d.node.mode), UID: int(d.node.uid), GID: int(d.node.gid)})
		if err != nil {
			return err
		}
		d.serve(l)
	}
	if cfg.HTTP != "" {
		l, exposed, err := statusapi.ListenTCP(cfg.HTTP)
		if err != nil {
			return err
		}
		if exposed {
			d.log.Say(event.Event{Kind: event.StatusExposed, Address: l.Addr().String()})
		}
		d.address = l.Addr().String()
		d.serve(l)
	}
	return nil
}

// Address returns the TCP address of the status API, with the chosen port if the configured one was
// 0. It is "" without TCP.
func (d *Daemon) Address() string { return d.address }

func (d *Daemon) serve(l net.Listener) {
	h := statusapi.Handler(d.Status, metrics.Handler(d.Status))
	d.stops = append(d.stops, statusapi.Serve(l, h, log.New(trouble{d.log}, "", 0)))
}

// trouble writes the lines of a server's log to the daemon's log.
type trouble struct{ log *event.Throttle }

func (t trouble) Write(line []byte) (int, error) {
	t.log.Say(event.Event{Kind: event.StatusTrouble, Reason: strings.TrimSpace(string(line))})
	return len(line), nil
}
