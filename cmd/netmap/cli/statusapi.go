package cli

import (
	"fmt"
	"net"
	"net/http"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/metrics"
	"github.com/seed-48afdc40/netmap/internal/statusapi"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

// statusAPI has the flags for the status API of a command with ports inside its process.
type statusAPI struct {
	program string // the command's name
	socket  string // "" is a name that netmap top finds
	http    string
}

func (a *statusAPI) addFlags(f *pflag.FlagSet) {
	f.StringVar(&a.socket, "status", "",
		"unix socket of the status API for ports that are opened inside this process, "+
			NoStatus+" for none (default one that netmap top finds)")
	AddHTTPFlag(f, &a.http)
}

// AddHTTPFlag defines --http.
func AddHTTPFlag(f *pflag.FlagSet, address *string) {
	f.Var(NewValue(address, parseHTTP, "host:port", ""), "http",
		"offer the status API and /metrics on this address as well, such as 127.0.0.1:9669; "+
			"whoever reaches it may read them")
}

func parseHTTP(s string) (string, error) {
	_, port, err := net.SplitHostPort(s)
	if err == nil && port != "" {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		return "", fmt.Errorf("want host:port, such as 127.0.0.1:9669")
	}
	return s, nil
}

// asked reports whether the user asked for a status API.
func (a *statusAPI) asked() bool {
	return a.http != "" || a.socket != "" && a.socket != NoStatus
}

// start serves the status of a framework until stop is called. If a default, which the user did not
// ask for, fails, start calls warn instead of returning an error.
func (a *statusAPI) start(f *embed.Framework, warn func(error)) (stop func(), err error) {
	describe := func() embed.Status {
		s := f.Status()
		s.Program = "netmap " + a.program
		return s
	}
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	serve := func(l net.Listener, h http.Handler) { stops = append(stops, statusapi.Serve(l, h, nil)) }
	handler := statusapi.Handler(describe, metrics.Handler(describe))
	l, err := a.listen()
	switch {
	case err != nil && a.socket != "":
		return nil, err
	case err != nil:
		warn(err)
	case l != nil:
		serve(l, handler)
	}
	if a.http == "" {
		return stop, nil
	}
	l, exposed, err := statusapi.ListenTCP(a.http)
	if err != nil {
		stop()
		return nil, err
	}
	if exposed {
		warn(fmt.Errorf("other machines can read the status at %v", l.Addr()))
	}
	serve(l, handler)
	return stop, nil
}

// listen opens the socket. It returns nil if the user wants none.
func (a *statusAPI) listen() (net.Listener, error) {
	switch a.socket {
	case NoStatus:
		return nil, nil
	case "":
		return statusapi.Announce(takeover.DefaultDir(), a.program)
	}
	return statusapi.Listen(a.socket, statusapi.Access{Mode: 0o600, UID: -1, GID: -1})
}
