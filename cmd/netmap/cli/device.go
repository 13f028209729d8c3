package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/portname"
)

// Device is where a command opens its ports: a netmap device, or a framework inside its process.
type Device struct {
	path   string
	chosen bool // the command chose the path, not the user
	mode   XDPMode
	busy   BusyPoll
	status statusAPI // status API for ports inside this process

	// RxSlots is the wanted number of slots of rx rings of interfaces inside this process,
	// for commands that only receive and may pause; 0 is the default.
	RxSlots int
	// ExtraBufs is the number of extra buffers that the command will request.
	ExtraBufs int
	// Promisc makes interfaces inside this process receive frames for any address.
	Promisc bool
	// Out gets a line about where ports are opened, unless the user chose it; may be nil.
	Out io.Writer
}

// XDPMode is the flag --xdp-mode: how interfaces exchange frames with their drivers.
type XDPMode struct{ name string }

// AddFlag defines --xdp-mode.
func (m *XDPMode) AddFlag(f *pflag.FlagSet) {
	f.Var(NewValue(&m.name, parseXDPMode, "mode", nicfacts.Auto), xdpModeFlag,
		"how interfaces exchange frames with their drivers: zero-copy, native, generic, or auto, "+
			"the best in which they can receive; see netmap info")
}

const xdpModeFlag = "xdp-mode"

// Name is the chosen mode, "" if none was chosen.
func (m *XDPMode) Name() string { return m.name }

func parseXDPMode(s string) (string, error) { return oneOf("mode", nicfacts.ModeNames(), s) }

// BusyPoll is the flag --busy-poll: whether syncs poll the drivers.
type BusyPoll struct{ d time.Duration }

// AddFlag defines --busy-poll.
func (b *BusyPoll) AddFlag(f *pflag.FlagSet) {
	f.Var(NewValue(&b.d, parseBusyPoll, "duration", "0s"), busyPollFlag,
		"receive in the syncs of programs instead of in the driver's interrupts, which resume "+
			"when no program syncs for so long, such as 200us; 0 is off")
}

const busyPollFlag = "busy-poll"

// Duration is the chosen duration, 0 if none was chosen.
func (b *BusyPoll) Duration() time.Duration { return b.d }

func parseBusyPoll(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("want a duration, such as 200us")
	}
	return d, new(nic.Config).SetBusyPoll(d)
}

// embedded is the value of --device for a framework inside this process.
const embedded = "embedded"

// AddFlags defines --device, --xdp-mode, --busy-poll, --status and --http for a command.
func (d *Device) AddFlags(f *pflag.FlagSet, command string) {
	f.Var(NewValue(&d.path, parseDevice, "path", ""), deviceFlag,
		"open ports through a netmap device, that of netmap serve or of the kernel; \""+
			embedded+"\" is inside this process")
	d.mode.AddFlag(f)
	d.busy.AddFlag(f)
	d.status.program = command
	d.status.addFlags(f)
}

const deviceFlag = "device"

// noDevice is the text for --device without a path.
const noDevice = "it takes the path of a device, such as " + netmap.DevicePath

// AddDeviceFlag defines --device for commands that work only with a device.
func AddDeviceFlag(f *pflag.FlagSet, path *string, text string) {
	*path = netmap.DevicePath
	f.Var(NewValue(path, parseDevice, "path", netmap.DevicePath), deviceFlag, text)
}

// parseDevice refuses values that look like a flag: the user forgot the path.
func parseDevice(path string) (string, error) {
	if path == "" || strings.HasPrefix(path, "-") {
		return "", errors.New(noDevice)
	}
	return path, nil
}

// PreferNode chooses /dev/netmap if it exists and no flag chooses otherwise. Other programs open
// their ports there, too.
func (d *Device) PreferNode() {
	if d.path == "" && d.mode.Name() == "" && !d.status.asked() && IsNode(netmap.DevicePath) {
		d.UseNode()
	}
}

// UseNode chooses /dev/netmap unless --device is given. It is for commands whose ports other
// programs have to reach.
func (d *Device) UseNode() {
	if d.path == "" {
		d.path, d.chosen = netmap.DevicePath, true
	}
}

// IsNode reports whether a path is a device node, or a file on which something is mounted. A plain
// file is not a node: a daemon may have left it behind. A node whose daemon has died is one, so
// that the error of opening it says what to do.
func IsNode(path string) bool {
	file, err := os.Stat(path)
	if err != nil {
		return nioctl.IsDead(err)
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return false
	}
	a, aOK := file.Sys().(*syscall.Stat_t)
	b, bOK := dir.Sys().(*syscall.Stat_t)
	return file.Mode()&os.ModeCharDevice != 0 || aOK && bOK && a.Dev != b.Dev
}

// Embedded reports whether ports are opened inside this process.
func (d *Device) Embedded() bool { return d.path == "" || d.path == embedded }

// Opener opens a port, on a device or inside this process.
type Opener func(name string, options ...netmap.Option) (*netmap.Port, error)

// Opener returns a function that opens ports, and one that closes them all. A framework in this
// process gets buffers of at least length bytes, as many as the ports need.
func (d *Device) Opener(length int,
	ports ...portname.Name) (open Opener, closeAll func(), err error) {
	d.reportChoice()
	if d.Embedded() {
		return d.openHere(length, ports)
	}
	if d.status.asked() {
		return nil, nil, Usage(fmt.Errorf("--status and --http are for ports "+
			"that are opened inside this process: those of %s are watched at its daemon", d.path))
	}
	if d.mode.Name() != "" {
		return nil, nil, d.notHere(xdpModeFlag)
	}
	if d.busy.Duration() != 0 {
		return nil, nil, d.notHere(busyPollFlag)
	}
	var opened []*netmap.Port
	open = func(name string, options ...netmap.Option) (*netmap.Port, error) {
		p, err := netmap.OpenDevice(d.path, name, options...)
		if err == nil {
			opened = append(opened, p)
		}
		return p, err
	}
	return open, func() {
		for _, p := range opened {
			p.Close()
		}
	}, nil
}

// notHere is the error for a flag that applies only to interfaces inside this process.
func (d *Device) notHere(flag string) error {
	return Usage(fmt.Errorf("--%s is for interfaces that are opened inside this process, "+
		"and ports are opened through %s here: give it to netmap serve, or use --device=%s",
		flag, d.path, embedded))
}

// openHere is Opener for a framework inside this process, with its status API.
func (d *Device) openHere(length int,
	ports []portname.Name) (open Opener, closeAll func(), err error) {
	f, err := d.newFramework(length, ports)
	if err != nil {
		return nil, nil, err
	}
	stopStatus, err := d.status.start(f, func(err error) {
		if d.Out != nil {
			fmt.Fprintln(d.Out, "netmap: warning:", err)
		}
	})
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f.Open, func() { stopStatus(); f.Close() }, nil
}

// reportChoice writes where ports are opened, unless the user chose it.
func (d *Device) reportChoice() {
	switch {
	case d.Out == nil:
	case d.path == "":
		fmt.Fprintln(d.Out, "Ports are opened inside this process; --device names a device.")
	case d.chosen:
		fmt.Fprintf(d.Out, "Ports are opened through %s.\n", d.path)
	}
}

// spin is how long a waiting thread polls its port before it sleeps, if there are several cores: a
// wake-up takes longer than most waits.
const spin = 50 * time.Microsecond

func (d *Device) newFramework(length int, ports []portname.Name) (*embed.Framework, error) {
	note := func(note string) { fmt.Fprintln(os.Stderr, "netmap:", note) }
	c := embed.Config{BufSize: embed.DefaultBufSize, Buffers: d.buffers(ports), NICSlots: d.RxSlots,
		Promisc: d.Promisc, OnNote: note, XDPMode: d.mode.Name(), BusyPoll: d.busy.Duration()}
	if runtime.GOMAXPROCS(0) > 1 && d.RxSlots == 0 { // with many slots, a late wake-up loses nothing
		c.Spin = spin
	}
	for size := 4096; c.BufSize < length; size *= 2 {
		c.BufSize = size
	}
	return embed.New(c)
}

// ParsePort parses the name of a port. It asks the kernel which interfaces exist, because their
// names may have characters that also have a meaning in port names.
func ParsePort(name string) (portname.Name, error) {
	return portname.ParseWith(name, netdev.Exists)
}

// buffers is how many buffers the ports need. It is 0 for the default number if there is no
// interface: only interfaces use all buffers from the start.
func (d *Device) buffers(ports []portname.Name) int {
	const spare, software, most = 4096, 4096, 1000000
	n, hardware := spare+d.ExtraBufs, false
	for _, p := range ports {
		if p.Kind() != portname.Interface {
			n += software
			continue
		}
		request := p.Register()
		need, err := nic.Buffers(p.Port, &request, uint32(d.RxSlots))
		if err == nil { // else opening it fails
			n, hardware = n+need, true
		}
	}
	if !hardware {
		return 0
	}
	return min(n+n/512, most) // the framework reserves some
}

// IsMonitor reports whether a port shows the frames of another port.
func IsMonitor(n portname.Name) bool {
	return n.Flags&(abi.NRMonitorTx|abi.NRMonitorRx|abi.NRZcopyMon) != 0
}

// IsSoftware reports whether a port is not an interface.
func IsSoftware(port string) bool {
	name, err := ParsePort(port)
	return err == nil && name.Kind() != portname.Interface
}
