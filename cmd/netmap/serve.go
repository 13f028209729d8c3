package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/daemon"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

type serveFlags struct {
	path, mode, owner, group string
	bufNum, bufSize          uint32
	ringNum, ringSize, ifNum uint32
	workers                  int
	spin                     time.Duration
	colocate                 bool
	slots                    uint32
	switches                 int
	promisc                  bool
	xdpMode                  cli.XDPMode
	busyPoll                 cli.BusyPoll
	stateDir                 string
	rxStamps                 bool
	variants                 abi.Variants
	forward                  bool
	noPipeInterfaces         bool
	log                      cli.Log
	status                   daemon.StatusConfig
}

func newServe() *cobra.Command {
	var f serveFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve /dev/netmap to other programs",
		Long: `serve makes a device node and runs the framework behind it, until it is
interrupted. Programs that use netmap open the node as they would with the
kernel module: C programs, old and new, and Go programs through package netmap.

A port name such as netmap:eth0 means the interface of the client's own network
namespace. All clients of the node share its VALE switches and pipes. A
container that has the node has netmap.

While programs receive from an interface, offloads that change frames are off
(LRO, GRO in the card, removing VLAN tags). The last close puts them back;
after a crash, the next start does, or "netmap doctor --restore".

Every node has memory of its own. Run serve several times, with other paths, to
keep users apart.

The log goes to standard error. Its lines have fields, which doc/monitoring.md
explains: as text, as JSON, or for systemd's journal, which is the default if
the journal reads it. Messages that clients or interfaces can repeat at will are
throttled, with a count of those left out.`,
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.run(cmd) },
	}
	fs := cmd.Flags()
	fs.StringVar(&f.path, "path", "/dev/netmap", "device node to make")
	fs.StringVar(&f.mode, "mode", "0660", "permissions of the node, octal")
	fs.StringVar(&f.owner, "owner", "root", "user who owns the node")
	fs.StringVar(&f.group, "group", "root", "group of the node")
	fs.Uint32Var(&f.bufNum, "buffers", 0,
		"packet buffers; memory is taken as ports open, and for all of them with the first interface "+
			"(default 278528, for 100 VALE ports and 64 queues, but at most an eighth of the memory)")
	fs.Uint32Var(&f.bufSize, "buffer-size", mem.Default.Buf.Size,
		"bytes of a buffer; 4096 for jumbo frames; 2112 is faster on some machines, "+
			"but programs from before 2012, which know no size but 2048, are refused then")
	fs.Uint32Var(&f.ringNum, "rings", mem.Default.Ring.Num, "ring objects")
	fs.Uint32Var(&f.ringSize, "ring-size", mem.Default.Ring.Size, "bytes of a ring object")
	fs.Uint32Var(&f.ifNum, "ports", 0,
		"open ports at once; without --buffers there are buffers for so many VALE ports (default 256)")
	fs.Uint32Var(&f.slots, "nic-slots", 0, "slots of a network interface's ring "+
		"(default 1024, with more than 32 queues 512, with more than 64 256)")
	fs.IntVar(&f.switches, "switches", engine.DefaultSwitches, "VALE switches at once")
	fs.BoolVar(&f.promisc, "promisc", false,
		"receive frames for any address on interfaces while programs receive from them")
	f.xdpMode.AddFlag(fs)
	f.busyPoll.AddFlag(fs)
	fs.StringVar(&f.stateDir, "state-dir", takeover.DefaultDir(),
		"where settings of interfaces are kept until they are put back")
	fs.BoolVar(&f.forward, "forward", false,
		"pass all frames that programs release on an interface to the host or the wire, "+
			"as if they had set NR_FORWARD and NS_FORWARD")
	fs.BoolVar(&f.noPipeInterfaces, "no-pipe-interfaces", false,
		"make no interface of a pipe's parent; programs look for it to learn which end is theirs")
	fs.IntVar(&f.workers, "workers", 0,
		"threads that answer requests (default: by the number of processors)")
	fs.DurationVar(&f.spin, "spin", 50*time.Microsecond,
		"how long a thread looks for the next request before it sleeps")
	fs.BoolVar(&f.colocate, "colocate", false,
		"bind clients that wait for each other to one core while that is measured to be faster; "+
			"needs CAP_SYS_NICE")
	fs.BoolVar(&f.rxStamps, "rx-timestamps", false,
		"let programs ask when each frame arrived; takes 64 bytes from every buffer")
	fs.BoolVar(&f.variants.Page, "api0-page", false,
		"give programs of the first API the ring of its manual page, which has no time stamp")
	fs.BoolVar(&f.variants.Slots8, "api4-slots8", false,
		"give programs of API 4 the slots of FreeBSD in 2013, of 8 bytes; on Linux they had 16")
	fs.StringVar(&f.status.Socket, "status", "",
		"unix socket of the status API, "+cli.NoStatus+" for none (default "+
			status.DefaultSocket(netmap.DevicePath)+", beside the node if that is elsewhere)")
	cli.AddHTTPFlag(fs, &f.status.HTTP)
	f.log.AddFlags(fs)
	cmd.MarkFlagFilename("status", "sock")
	return cmd
}

func (f *serveFlags) run(cmd *cobra.Command) error {
	cfg, err := f.config()
	if err != nil {
		return cli.Usage(err)
	}
	if err := f.serve(cmd.Context(), cfg); err != nil {
		event.Event{Kind: event.Failed, Device: f.path, Err: err}.Log(cfg.Log)
		return cli.Logged(err)
	}
	return nil
}

// serve runs the daemon until the context ends, or the device fails.
func (f *serveFlags) serve(ctx context.Context, cfg daemon.Config) error {
	d, err := daemon.Start(cfg)
	if err != nil {
		return err
	}
	defer d.Close()
	socket, err := f.serveStatus(d)
	if err != nil {
		return err
	}
	d.Say(event.Event{Kind: event.Serving, Device: f.path, Version: cli.Version(), PID: os.Getpid(),
		Socket: socket, Address: d.Address()})
	notify("READY=1")
	err = d.Wait(ctx)
	notify("STOPPING=1")
	return err
}

// serveStatus serves the status API, and returns its socket. Clients do not need the API, so an
// error at the default socket does not end the daemon.
func (f *serveFlags) serveStatus(d *daemon.Daemon) (socket string, err error) {
	cfg := f.status
	switch cfg.Socket {
	case cli.NoStatus:
		cfg.Socket = ""
	case "":
		socket = status.DefaultSocket(f.path)
		if err := d.ServeStatus(daemon.StatusConfig{Socket: socket}); err != nil {
			d.Say(event.Event{Kind: event.StatusMissing, Socket: socket, Err: err})
			socket = ""
		}
	}
	return cmp.Or(cfg.Socket, socket), d.ServeStatus(cfg)
}

func (f *serveFlags) config() (daemon.Config, error) {
	mode, err := strconv.ParseUint(f.mode, 8, 32)
	if err != nil || mode > 0o777 {
		return daemon.Config{}, fmt.Errorf("--mode %s: want permissions in octal, such as 0660", f.mode)
	}
	uid, err := lookupID(f.owner, func(s string) (string, error) {
		u, err := user.Lookup(s)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return daemon.Config{}, fmt.Errorf("--owner: %w", err)
	}
	gid, err := lookupID(f.group, func(s string) (string, error) {
		g, err := user.LookupGroup(s)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	if err != nil {
		return daemon.Config{}, fmt.Errorf("--group: %w", err)
	}
	logger, err := f.log.Logger(os.Stderr)
	if err != nil {
		return daemon.Config{}, err
	}
	nic := engine.NICConfig{Slots: f.slots, Promisc: f.promisc, StateDir: f.stateDir}
	if err := nic.SetMode(f.xdpMode.Name()); err != nil {
		return daemon.Config{}, err
	}
	if err := nic.SetBusyPoll(f.busyPoll.Duration()); err != nil {
		return daemon.Config{}, err
	}
	if err := f.checkNumbers(); err != nil {
		return daemon.Config{}, err
	}
	region := mem.Config{
		If: mem.Pool{Num: f.ifNum}, Ring: mem.Pool{Num: f.ringNum, Size: f.ringSize},
		Buf: mem.Pool{Num: f.bufNum, Size: f.bufSize}, Stamps: f.rxStamps,
	}
	if err := region.FitsPort(); err != nil {
		return daemon.Config{}, err
	}
	return daemon.Config{
		Engine: engine.Config{
			Region: region,
			NIC:    nic,

			MaxSwitches: f.switches,

			PipeInterfaces: !f.noPipeInterfaces,
			Forward:        f.forward,
		},
		Policy: control.Policy{Variants: f.variants},
		Path:   f.path, Mode: uint32(mode), UID: uid, GID: gid, Workers: f.workers, Spin: f.spin,
		Colocate: f.colocate,
		Log:      logger,
	}, nil
}

// checkNumbers rejects numbers with which the daemon would start, but could not open some ports.
func (f *serveFlags) checkNumbers() error {
	switch {
	case f.slots > mem.MaxSlots:
		return fmt.Errorf("--nic-slots %d: a ring has at most %d slots", f.slots, mem.MaxSlots)
	case f.switches < 1:
		return fmt.Errorf("--switches %d: want at least 1", f.switches)
	case f.workers < 0 || f.workers > maxWorkers:
		return fmt.Errorf("--workers %d: want 1 to %d, or 0 to choose", f.workers, maxWorkers)
	case f.spin < 0:
		return fmt.Errorf("--spin %v: want no less than 0", f.spin)
	}
	return nil
}

// maxWorkers is well below 10000: Go ends a process with more threads.
const maxWorkers = 1000

// lookupID returns a numeric ID as it is, and looks a name up. Root is 0 even in a container
// without a list of users.
func lookupID(s string, byName func(string) (string, error)) (uint32, error) {
	if s == "root" {
		return 0, nil
	}
	if _, err := strconv.ParseUint(s, 10, 32); err != nil {
		if s, err = byName(s); err != nil {
			return 0, err
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err
}

// notify tells the state to the service manager that started us, if there is one (sd_notify(3)).
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	if c, err := net.Dial("unixgram", path); err == nil {
		defer c.Close()
		c.Write([]byte(state))
	}
}
