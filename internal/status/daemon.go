package status

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Path is where the API has the document.
const Path = "/v1/status"

// DefaultSocket is the unix socket of the daemon that serves a device node: in /run/netmap for nodes in /dev, else beside the
// node.
func DefaultSocket(device string) string {
	if name, ok := strings.CutPrefix(device, "/dev/"); ok {
		return filepath.Join("/run/netmap", strings.ReplaceAll(name, "/", "-")+".sock")
	}
	return device + ".sock"
}

// Daemon is one that can be asked, again and again.
type Daemon struct {
	address string
	url     string
	http    *http.Client
}

// At is the daemon at an address: the path of a unix socket, host:port, or a URL.
func At(address string) *Daemon {
	transport := &http.Transport{MaxIdleConns: 1}
	d := &Daemon{address: address, http: &http.Client{Transport: transport, Timeout: 5 * time.Second}}
	switch {
	case strings.Contains(address, "://"):
		d.url = strings.TrimSuffix(address, "/") + Path
	case strings.Contains(address, "/"):
		d.url = "http://netmap" + Path
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", address)
		}
	default:
		d.url = "http://" + address + Path
	}
	return d
}

// Get asks. Errors are those of the connection, and EPROTO for an answer that is none.
func (d *Daemon) Get(ctx context.Context) (*Status, error) {
	const op = "ask for the status at"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url, nil)
	if err != nil {
		return nil, fault.New(syscall.EINVAL, op, d.address, "not an address: %v", err)
	}
	answer, err := d.http.Do(request)
	if err != nil {
		if errno := fault.Errno(err); errno != syscall.EIO {
			return nil, fault.New(errno, op, d.address, "%s", hint(errno))
		}
		return nil, fault.Wrap(err, op, d.address, "")
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fault.New(syscall.EPROTO, op, d.address, "it answers %s; is this a netmap daemon?", answer.Status)
	}
	s := new(Status)
	if err := json.NewDecoder(answer.Body).Decode(s); err != nil {
		return nil, fault.New(syscall.EPROTO, op, d.address, "its answer cannot be read: %v", err)
	}
	return s, nil
}

// Close ends the connection.
func (d *Daemon) Close() { d.http.CloseIdleConnections() }

func hint(errno syscall.Errno) string {
	switch errno {
	case syscall.ENOENT, syscall.ECONNREFUSED:
		return "no daemon is there: start netmap serve, or name its socket with --status"
	case syscall.EACCES:
		return "join the group of the device, or run as root"
	}
	return ""
}
