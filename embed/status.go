package embed

import (
	"net/http"
	"os"
	"path/filepath"

	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/statusapi"
)

// Status is a framework at one moment: its ports with their rings, counters and losses, switches
// and memory. Its fields are those of the JSON document in doc/monitoring.md.
type Status = status.Status

// Status describes the framework. It delays neither ports nor programs that open ports.
func (f *Framework) Status() Status {
	s := f.e.Status()
	s.Program = filepath.Base(os.Args[0])
	statusapi.Complete(&s, f.started)
	return s
}

// Handler serves the status API of netmap serve for this framework: GET /v1/status returns the
// status as JSON, so that "netmap top --status host:port" can show it. It asks for no password:
// listen only where everyone may see the status. Package embed/metrics serves Prometheus.
func (f *Framework) Handler() http.Handler { return statusapi.Handler(f.Status, nil) }
