package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// xdpFeatures are the names of the bits in the kernel's documentation.
var xdpFeatures = []string{"basic", "redirect", "ndo-xmit", "xsk-zerocopy", "hw-offload", "rx-sg",
	"ndo-xmit-sg"}

// xdpInfo describes what an interface can do with XDP.
type xdpInfo struct {
	// Known means that the kernel knows the driver's features: Linux 6.3 and later.
	Known    bool     `json:"known"`
	Features []string `json:"features,omitempty"`
	ZeroCopy bool     `json:"zero_copy"` // as far as known, like Native
	Native   bool     `json:"native"`
	// Segments is how many buffers a zero-copy frame may span.
	Segments int           `json:"zero_copy_segments,omitempty"`
	Program  *xsk.Occupant `json:"program,omitempty"` // that is attached
	Probed   []probed      `json:"probed,omitempty"`
}

// modes describes which modes work.
func (x *xdpInfo) modes() string {
	if !x.Known {
		return "generic; whether the driver can do more is known with --probe"
	}
	list := []string{"generic"}
	if x.Native {
		list = append(list, "native copy")
	}
	if x.ZeroCopy {
		list = append(list, "zero-copy")
	}
	s := strings.Join(list, ", ")
	if len(x.Features) > 0 {
		s += " (the driver has " + strings.Join(x.Features, ", ") + ")"
	}
	return s
}

// set stores the driver's features.
func (x *xdpInfo) set(driver ethtool.XDP) {
	x.Known, x.Native, x.ZeroCopy = true, driver.Native(), driver.ZeroCopy()
	for i, name := range xdpFeatures {
		if driver.Features&(1<<i) != 0 {
			x.Features = append(x.Features, name)
		}
	}
	if driver.Metadata&ethtool.XDPRxTimestamp != 0 {
		x.Features = append(x.Features, "rx-timestamp")
	}
	if x.ZeroCopy {
		x.Segments = driver.Segments
	}
}

// works reports whether the mode was tried, and worked.
func (x *xdpInfo) works(mode xsk.Mode) bool {
	return slices.ContainsFunc(x.Probed,
		func(p probed) bool { return p.Works && p.Mode == mode.String() })
}

// attached stores the program on the interface.
func (n *nicInfo) attached(x *netlink.LinkXdp) {
	var err error
	if n.XDP.Program, err = xsk.FindOccupant(x); err != nil {
		n.unseen(fmt.Sprintf("name of XDP program %d", x.ProgId), err)
	}
}

// probed is the result of trying a mode.
type probed struct {
	Mode  string `json:"mode"`
	Works bool   `json:"works"`
	Error string `json:"error,omitempty"`
}

func (p probed) String() string {
	if p.Works {
		return p.Mode + " works"
	}
	return p.Mode + " does not work: " + p.Error
}

// probe tries all modes. Meanwhile the interface's settings are changed as for use: otherwise some
// drivers refuse programs, and in generic mode the kernel itself switches off LRO for good. Changes
// are recorded in dir.
func (n *nicInfo) probe(ctx context.Context, dir string) {
	defer n.advise()
	if err := xsk.Free(n.Index); err != nil {
		n.unseen("XDP modes", err)
		return
	}
	giveBackBelow, err := nic.TakeBelow(&n.facts, dir)
	if err != nil {
		n.unseen("XDP modes", err)
		return
	}
	taken, err := takeover.Take(dir, n.Index, takeover.Needs{Off: takeover.Breaking})
	if err != nil {
		n.unseen("XDP modes", errors.Join(err, giveBackBelow()))
		return
	}
	for _, mode := range []xsk.Mode{xsk.ZeroCopy, xsk.Native, xsk.Generic} {
		if ctx.Err() != nil {
			break
		}
		p := probed{Mode: mode.String()}
		if _, err := n.facts.Choose(&mode); err != nil {
			p.Error = err.Error()
		} else if err := n.try(mode); err != nil {
			p.Error = err.Error()
		} else {
			p.Works = true
		}
		n.XDP.Probed = append(n.XDP.Probed, p)
	}
	if err := errors.Join(taken.Restore(), giveBackBelow()); err != nil {
		n.unseen("settings as they were", err)
	}
}

// try attaches a program and opens a socket on the first queue. No frame reaches the socket, so its
// memory need not meet the requirements of zero-copy.
func (n *nicInfo) try(mode xsk.Mode) (err error) {
	const size, stride = 1 << 21, 2048
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map memory for the probe of %s: %w", n.Name, err)
	}
	defer unix.Munmap(mem)
	program, err := xsk.Attach(n.Index, 1, mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	socket, err := xsk.Open(xsk.Config{
		Ifindex: n.Index, Size: 64, Rx: true, Tx: true, Mode: mode,
		Memory: &xsk.Memory{Mem: mem, Stride: stride, Contiguous: true},
	})
	if err != nil {
		return err
	}
	return socket.Close()
}
