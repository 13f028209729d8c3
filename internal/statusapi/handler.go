package statusapi

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/status"
)

const opOffer = "offer the status at"

// Complete adds what the process knows to the status of its framework.
func Complete(s *status.Status, started time.Time) {
	s.Time, s.Started, s.PID, s.Version = time.Now(), started, os.Getpid(), version()
	if s.Clients == nil { // arrays in JSON also when there are none
		s.Clients = []status.Client{}
	}
	if s.Memory == nil {
		s.Memory = []status.Region{}
	}
}

// version is the version of the module if the program was built from a release, else the revision.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return info.Main.Version
})

// Handler serves the status API. If metrics is not nil, it serves requests for /metrics.
func Handler(describe func() status.Status, metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+status.Path, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(describe())
	})
	about := status.Path + "\tports, rings, switches, clients and memory as JSON\n"
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
		about += "/metrics\tthe same for Prometheus\n"
	}
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		s := describe()
		fmt.Fprintf(w, "%s, process %d\n\n%s", s.Title(), s.PID, about)
	})
	return mux
}

// Serve serves requests at l until stop is called. Errors of connections go to trouble, which may
// be nil.
func Serve(l net.Listener, h http.Handler, trouble *log.Logger) (stop func()) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: status.Patience, IdleTimeout: time.Minute,
		ErrorLog: trouble}
	go s.Serve(l) // until it is closed
	return func() {
		l.Close() // needed if the goroutine has not called Serve yet
		s.Close()
	}
}

// ListenTCP is net.Listen for the status API. It also reports whether other machines can reach the
// address.
func ListenTCP(address string) (l net.Listener, exposed bool, err error) {
	l, err = net.Listen("tcp", address)
	if err != nil {
		return nil, false, fault.Wrap(err, opOffer, address, "")
	}
	a, ok := l.Addr().(*net.TCPAddr)
	return l, !ok || !a.IP.IsLoopback(), nil
}
