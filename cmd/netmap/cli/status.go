package cli

import (
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap/internal/status"
)

// NoStatus is the value of --status for no status API.
const NoStatus = "none"

// Daemon is the daemon whose status a command asks for.
type Daemon struct{ device, address string }

// AddFlags defines --device and --status.
func (d *Daemon) AddFlags(f *pflag.FlagSet) {
	AddDeviceFlag(f, &d.device, "device node whose daemon to ask")
	f.StringVar(&d.address, "status", "", "ask at this unix socket, host:port or URL instead (default that of --device)")
}

// Status is where to ask.
func (d *Daemon) Status() *status.Daemon {
	if d.address != "" {
		return status.At(d.address)
	}
	return status.At(status.DefaultSocket(d.device))
}
