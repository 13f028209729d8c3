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
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/portname"
)

// Device is where a command opens its ports: a netmap device, or a framework inside its own process.
type Device struct {
	path   string
	chosen bool // the path, by the command
	mode   XDPMode
	busy   BusyPoll
	status announcement // of ports inside this process

	// RxSlots is how many slots a ring of an interface that is opened inside this process should have, for those who
	// only receive and may be kept from it for a while; 0 is the usual number.
	RxSlots int
	// ExtraBufs are buffers that will be wanted beside those of the rings.
	ExtraBufs int
	// Promisc has such an interface receive frames for any address.
	Promisc bool
	// Out is told where ports are opened, when the user left that to the command; may be nil.
	Out io.Writer
}

// XDPMode is the flag with which users choose how interfaces exchange frames with their drivers.
type XDPMode struct{ name string }

// AddFlag defines --xdp-mode.
func (m *XDPMode) AddFlag(f *pflag.FlagSet) {
	f.Var(NewValue(&m.name, parseXDPMode, "mode", nic.Auto), xdpModeFlag,
		"how interfaces exchange frames with their drivers: zero-copy, native, generic, or auto, the best in which they can receive; see netmap info")
}

const xdpModeFlag = "xdp-mode"

// Name is the mode that was chosen, "" if none was.
func (m *XDPMode) Name() string { return m.name }

func parseXDPMode(s string) (string, error) { return oneOf("mode", nic.ModeNames(), s) }

// BusyPoll is the flag with which users have drivers polled.
type BusyPoll struct{ d time.Duration }

// AddFlag defines --busy-poll.
func (b *BusyPoll) AddFlag(f *pflag.FlagSet) {
	f.Var(NewValue(&b.d, parseBusyPoll, "duration", "0s"), busyPollFlag,
		"receive in the syncs of programs instead of in the driver's interrupts, which resume when no program looks for so long, such as 200us; 0 is not to")
}

const busyPollFlag = "busy-poll"

// Duration is what was chosen, 0 if nothing was.
func (b *BusyPoll) Duration() time.Duration { return b.d }

func parseBusyPoll(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, errors.New("want a duration, such as 200us")
	}
	return d, new(nic.Config).SetBusyPoll(d)
}

// embedded is what stands for a framework inside this process.
const embedded = "embedded"

// AddFlags defines --device, --xdp-mode, --busy-poll, --status and --http for a command of that name.
func (d *Device) AddFlags(f *pflag.FlagSet, command string) {
	f.Var(NewValue(&d.path, parseDevice, "path", ""), deviceFlag,
		"open ports through a netmap device, that of netmap serve or of the kernel; \""+embedded+"\" is inside this process")
	d.mode.AddFlag(f)
	d.busy.AddFlag(f)
	d.status.program = command
	d.status.addFlags(f)
}

const deviceFlag = "device"

// noDevice is what is wrong with --device alone.
const noDevice = "it takes the path of a device, such as " + netmap.DevicePath

// AddDeviceFlag defines --device for commands that only work with a device.
func AddDeviceFlag(f *pflag.FlagSet, path *string, text string) {
	*path = netmap.DevicePath
	f.Var(NewValue(path, parseDevice, "path", netmap.DevicePath), deviceFlag, text)
}

// parseDevice refuses what looks like a flag: then the path was forgotten.
func parseDevice(path string) (string, error) {
	if path == "" || strings.HasPrefix(path, "-") {
		return "", errors.New(noDevice)
	}
	return path, nil
}

// PreferNode takes /dev/netmap where it is there and nothing else was said, not even of interfaces
// inside this process: other programs look for ports there, too.
func (d *Device) PreferNode() {
	if d.path == "" && d.mode.Name() == "" && !d.status.asked() && IsNode(netmap.DevicePath) {
		d.UseNode()
	}
}

// UseNode has ports opened through the usual device node where --device named none: for commands whose ports are to be reached
// by other programs.
func (d *Device) UseNode() {
	if d.path == "" {
		d.path, d.chosen = netmap.DevicePath, true
	}
}

// IsNode says whether a path is a device, or a file that somebody serves: one that something is
// mounted on. A plain file may be left over from somebody who does no more. A node whose daemon has
// died is one, too: opening it tells what to do.
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

// Embedded says whether ports are opened inside this process.
func (d *Device) Embedded() bool { return d.path == "" || d.path == embedded }

// Opener opens a port. What a command does with it does not depend on who did.
type Opener func(name string, options ...netmap.Option) (*netmap.Port, error)

// Opener says who opens ports, and how to close them all. A framework in this process has buffers that take frames of
// length bytes whole, as many as the ports need.
func (d *Device) Opener(length int, ports ...portname.Name) (open Opener, closeAll func(), err error) {
	d.tellChoice()
	if d.Embedded() {
		return d.openHere(length, ports)
	}
	if d.status.asked() {
		return nil, nil, Usage(fmt.Errorf("--status and --http are for ports that are opened inside this process: "+
			"those of %s are watched at its daemon", d.path))
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

// notHere is the error of a flag that says how interfaces are opened, which is the daemon's affair.
func (d *Device) notHere(flag string) error {
	return Usage(fmt.Errorf("--%s is for interfaces that are opened inside this process, and ports are opened through %s here: "+
		"give it to netmap serve, or use --device=%s", flag, d.path, embedded))
}

// openHere is Opener for a framework inside this process, which others can watch.
func (d *Device) openHere(length int, ports []portname.Name) (open Opener, closeAll func(), err error) {
	f, err := d.newFramework(length, ports)
	if err != nil {
		return nil, nil, err
	}
	hide, err := d.status.start(f, func(err error) {
		if d.Out != nil {
			fmt.Fprintln(d.Out, "netmap: warning:", err)
		}
	})
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return f.Open, func() { hide(); f.Close() }, nil
}

// tellChoice says where ports are opened, unless the user has said it himself.
func (d *Device) tellChoice() {
	switch {
	case d.Out == nil:
	case d.path == "":
		fmt.Fprintln(d.Out, "Ports are opened inside this process; --device names a device.")
	case d.chosen:
		fmt.Fprintf(d.Out, "Ports are opened through %s.\n", d.path)
	}
}

// spin is how long a port is watched before its thread sleeps, where there is a core to spare: a wake-up takes longer than
// most waits.
const spin = 50 * time.Microsecond

func (d *Device) newFramework(length int, ports []portname.Name) (*embed.Framework, error) {
	note := func(note string) { fmt.Fprintln(os.Stderr, "netmap:", note) }
	c := embed.Config{BufSize: embed.DefaultBufSize, Buffers: d.buffers(ports), NICSlots: d.RxSlots,
		Promisc: d.Promisc, OnNote: note, XDPMode: d.mode.Name(), BusyPoll: d.busy.Duration()}
	if runtime.GOMAXPROCS(0) > 1 && d.RxSlots == 0 { // who has many slots can wait
		c.Spin = spin
	}
	for size := 4096; c.BufSize < length; size *= 2 {
		c.BufSize = size
	}
	return embed.New(c)
}

// ParsePort takes the name of a port apart. It asks the kernel which characters belong to an
// interface's name.
func ParsePort(name string) (portname.Name, error) { return portname.ParseWith(name, netdev.Exists) }

// buffers is how many buffers the ports take; 0 says the usual number, which costs nothing where no
// interface is: that one takes all of them.
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
		if err == nil { // else opening it says what is wrong
			n, hardware = n+need, true
		}
	}
	if !hardware {
		return 0
	}
	return min(n+n/512, most) // some are reserved
}

// IsSoftware says whether the name is that of a port that exists in memory only.
func IsSoftware(port string) bool {
	name, err := ParsePort(port)
	return err == nil && name.Kind() != portname.Interface
}
