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

// Status describes the framework. It holds up neither ports nor those who open them.
func (f *Framework) Status() Status {
	s := f.e.Status()
	s.Program = filepath.Base(os.Args[0])
	statusapi.Complete(&s, f.started)
	return s
}

// Handler offers the status API of netmap serve for this framework: GET /v1/status is the status as
// JSON, so that "netmap top --status host:port" shows it. It asks nobody for a password: listen
// where only those get who may know. For Prometheus there is package embed/metrics.
func (f *Framework) Handler() http.Handler { return statusapi.Handler(f.Status, nil) }
