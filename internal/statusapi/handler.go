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

// Complete adds to what a framework says of itself what its process knows.
func Complete(s *status.Status, started time.Time) {
	s.Time, s.Started, s.PID, s.Version = time.Now(), started, os.Getpid(), version()
	if s.Clients == nil { // arrays in JSON also when there are none
		s.Clients = []status.Client{}
	}
	if s.Memory == nil {
		s.Memory = []status.Region{}
	}
}

// version is the module's, if the program was built from a released one, else the revision.
var version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	return info.Main.Version
})

// Handler answers the requests of the status API. Metrics are told to Prometheus if there is a
// handler for that.
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

// Serve answers at l until stop is called. Trouble with connections is told to the log, if there is
// one.
func Serve(l net.Listener, h http.Handler, trouble *log.Logger) (stop func()) {
	s := &http.Server{Handler: h, ReadHeaderTimeout: status.Patience, IdleTimeout: time.Minute,
		ErrorLog: trouble}
	go s.Serve(l) // until it is closed
	return func() {
		l.Close() // Serve may not have begun
		s.Close()
	}
}

// ListenTCP is net.Listen for the status API. It says whether other machines can reach the address.
func ListenTCP(address string) (l net.Listener, exposed bool, err error) {
	l, err = net.Listen("tcp", address)
	if err != nil {
		return nil, false, fault.Wrap(err, opOffer, address, "")
	}
	a, ok := l.Addr().(*net.TCPAddr)
	return l, !ok || !a.IP.IsLoopback(), nil
}
