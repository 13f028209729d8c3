package cli

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/statusapi"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

// askTime bounds how long a framework may take to answer if all are asked: one that is stopped must
// not stopStatus the others.
const askTime = time.Second

// NoStatus is the value of --status that turns off the status API.
const NoStatus = "none"

// Frameworks are the frameworks whose status a command asks for: the one that the user names, or
// all on the machine.
type Frameworks struct {
	device, address string
	flags           *pflag.FlagSet
	named           *statusapi.Source // nil before the first Get
}

// AddFlags defines --device and --status.
func (f *Frameworks) AddFlags(fs *pflag.FlagSet) {
	f.flags = fs
	AddDeviceFlag(fs, &f.device, "device node whose daemon to ask")
	fs.StringVar(&f.address, "status", "",
		"ask at this unix socket, host:port or URL only (default all that are found)")
}

// Named reports whether the user has named a framework.
func (f *Frameworks) Named() bool { return f.address != "" || f.flags.Changed(deviceFlag) }

// Found is a framework that answered.
type Found struct {
	Address string
	*status.Status
}

// Get asks all frameworks at the same time. It fails if none answers.
func (f *Frameworks) Get(ctx context.Context) ([]Found, error) {
	if !f.Named() {
		return Find(ctx)
	}
	if f.named == nil {
		f.named = statusapi.At(cmp.Or(f.address, status.DefaultSocket(f.device)))
	}
	s, err := f.named.Get(ctx)
	if err != nil {
		return nil, err
	}
	return []Found{{f.named.Address(), s}}, nil
}

// Close closes the connection to a named framework.
func (f *Frameworks) Close() {
	if f.named != nil {
		f.named.Close()
	}
}

// Find asks all frameworks on this machine. The result has the daemon of /dev/netmap first, then
// other daemons, then commands with ports inside their own process; the oldest first. Frameworks
// that do not answer are left out. If none answers, the error is that of the first daemon.
func Find(ctx context.Context) ([]Found, error) {
	ctx, stop := context.WithTimeout(ctx, askTime)
	defer stop()
	sockets := statusSockets()
	answers, errs := make([]*status.Status, len(sockets)), make([]error, len(sockets))
	var asked sync.WaitGroup
	for i, at := range sockets {
		asked.Go(func() { answers[i], errs[i] = status.Ask(ctx, at) })
	}
	asked.Wait()
	var all []Found
	for i, s := range answers {
		if s != nil {
			all = append(all, Found{sockets[i], s})
		}
	}
	if len(all) == 0 {
		return nil, noneFound(errs[0])
	}
	slices.SortStableFunc(all, func(a, b Found) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), a.Started.Compare(b.Started))
	})
	return all, nil
}

// rank orders frameworks: 0 is first.
func (f Found) rank() int {
	switch {
	case f.Address == status.DefaultSocket(netmap.DevicePath):
		return 0
	case f.Device != "":
		return 1
	}
	return 2
}

// noneFound adds what to do to the error of the first daemon.
func noneFound(err error) error {
	if errno := fault.Errno(err); errno == syscall.ENOENT || errno == syscall.ECONNREFUSED {
		return fault.New(errno, "ask for the status at", status.DefaultSocket(netmap.DevicePath),
			"no daemon is there, and no command such as netmap bridge runs: "+
				"start netmap serve, or name a socket with --status")
	}
	return err
}

// statusSockets are the sockets of frameworks on this machine. The first one is that of
// /dev/netmap's daemon, even if it does not exist.
func statusSockets() []string {
	all := []string{status.DefaultSocket(netmap.DevicePath)}
	for _, s := range foundSockets() {
		if !slices.Contains(all, s) {
			all = append(all, s)
		}
	}
	return all
}

// foundSockets are the sockets that exist.
func foundSockets() (all []string) {
	dirs := []string{"/run/netmap", takeover.DefaultDir()}
	for _, dir := range slices.Compact(dirs) {
		all = append(all, statusapi.Sockets(dir)...)
	}
	return all
}

// CompleteSocket completes a flag that names a socket.
func CompleteSocket(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return foundSockets(), cobra.ShellCompDirectiveDefault
}
