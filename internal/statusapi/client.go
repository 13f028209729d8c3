// Package statusapi serves the status of a framework, and reads it, by HTTP on unix sockets and
// TCP. The document itself is in package status.
package statusapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/status"
)

// Source is a framework whose status can be read repeatedly.
type Source struct {
	address string
	url     string // empty for a unix socket
	http    *http.Client
}

// At returns the Source at an address: the path of a unix socket, host:port, or a URL.
func At(address string) *Source {
	s := &Source{address: address}
	switch {
	case strings.Contains(address, "://"):
		s.url = strings.TrimSuffix(address, "/") + status.Path
	case strings.Contains(address, "/"):
		return s
	default:
		s.url = "http://" + address + status.Path
	}
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConns: 1}, Timeout: status.Patience}
	return s
}

// Address is the address of the source.
func (s *Source) Address() string { return s.address }

// Get reads the status. Errors are those of the connection, and EPROTO for an answer that is not a
// status.
func (s *Source) Get(ctx context.Context) (*status.Status, error) {
	const op = "ask for the status at"
	if s.url == "" {
		return status.Ask(ctx, s.address)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, fault.New(syscall.EINVAL, op, s.address, "not an address: %v", err)
	}
	answer, err := s.http.Do(request)
	if err != nil {
		if errno := fault.Errno(err); errno != syscall.EIO {
			return nil, fault.New(errno, op, s.address, "%s", status.Hint(errno))
		}
		return nil, fault.Wrap(err, op, s.address, "")
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fault.New(syscall.EPROTO, op, s.address,
			"it answers %s; is this a netmap daemon?", answer.Status)
	}
	doc := new(status.Status)
	if err := json.NewDecoder(io.LimitReader(answer.Body, status.Longest)).Decode(doc); err != nil {
		return nil, fault.New(syscall.EPROTO, op, s.address, "its answer cannot be read: %v", err)
	}
	return doc, nil
}

// Close ends the connection.
func (s *Source) Close() {
	if s.http != nil {
		s.http.CloseIdleConnections()
	}
}
