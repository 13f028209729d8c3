//go:build linux

// Package nicfacts asks the kernel about a network interface, and derives what must be known before
// a socket is opened on it: how many queues the interface has, which XDP mode can receive its
// frames, and which interfaces the frames come through.
package nicfacts

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

const (
	// MaxSegments is the maximum number of buffers of a packet in the copy modes. The kernel makes
	// each buffer a fragment of a socket buffer, which has room for 17 (MAX_SKB_FRAGS).
	MaxSegments = 17
	// MaxPacket is the length of the longest packet: drivers have 16 bits for a length.
	MaxPacket = 1<<16 - 1

	etherHead = 14
)

// Facts are the kernel's answers about an interface, unchanged. Some may be missing, and some
// contradict others. For a TAP that nobody reads, the driver reports no channels, but the kernel
// reports one queue in use and room for 256.
type Facts struct {
	Name       string
	Index, MTU int
	Address    net.HardwareAddr
	Kind       string            // as in "ip -d link": bond, vlan, veth; "device" is a card, or lo
	Layer      string            // link layer, as in netlink: "ether", "loopback", "none"
	Driver     string            // "" if unknown
	XDP        *ethtool.XDP      // nil before Linux 6.3, which does not report it
	Room       ethtool.Queues    // queues that have memory; some drivers use fewer
	InUse      ethtool.Queues    // queues that the kernel uses; 0 if it does not report them
	Channels   *ethtool.Channels // queues that the driver uses; nil if it does not report them
	Errs       []error           // errors of the questions, except EOPNOTSUPP
}

// Ask asks the kernel about an interface of the calling thread's network namespace.
func Ask(l netlink.Link) *Facts {
	a := l.Attrs()
	f := &Facts{
		Name: a.Name, Index: a.Index, MTU: a.MTU, Address: a.HardwareAddr,
		Kind: l.Type(), Layer: a.EncapType,
		Room: ethtool.Queues{Rx: a.NumRxQueues, Tx: a.NumTxQueues},
	}
	var err error
	f.Driver, err = ethtool.AskDriver(f.Name)
	f.failed("driver", err)
	x, err := ethtool.AskXDP(f.Index)
	if err == nil {
		f.XDP = &x
	}
	f.failed("XDP features", err)
	f.failed("channels", f.AskQueues())
	return f
}

// failed records the error of a question. EOPNOTSUPP means that the kernel has no answer, which is
// not an error.
func (f *Facts) failed(what string, err error) {
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		f.Errs = append(f.Errs, fmt.Errorf("%s: %w", what, err))
	}
}

// AskQueues asks again for the facts that may change while the interface is open: its queues.
func (f *Facts) AskQueues() error {
	f.Channels = nil
	c, err := ethtool.AskChannels(f.Index)
	if err == nil {
		f.Channels = &c
	}
	f.InUse = ethtool.AskQueues(f.Index, f.Room)
	return err
}

// Queues returns the number of queues of each direction on which a socket can be opened. It is at
// least 1.
func (f *Facts) Queues() ethtool.Queues {
	c := f.Channels
	if c == nil {
		c = &ethtool.Channels{Rx: f.Room.Rx, Tx: f.Room.Tx}
		if f.InUse != (ethtool.Queues{}) {
			c.Rx, c.Tx = f.InUse.Rx, f.InUse.Tx
		}
	}
	return ethtool.Queues{
		Rx: usable(c.Rx+c.Combined, f.InUse.Rx),
		Tx: usable(c.Tx+c.Combined, f.InUse.Tx),
	}
}

// usable returns the smaller of told, which the driver reports, and inUse. 0 means unknown. The
// result is at least 1. A socket can be bound only to a queue in use. Drivers that need queues for
// themselves report fewer.
func usable(told, inUse int) int {
	switch {
	case told == 0:
		told = inUse
	case inUse > 0:
		told = min(told, inUse)
	}
	return max(told, 1)
}

// Bare reports whether frames have no Ethernet header: they are IP packets, as in tunnels.
func (f *Facts) Bare() bool {
	return f.Layer != "ether" && f.Layer != "loopback" && f.Layer != ""
}

// Notes returns facts that users should know before they open the interface.
func (f *Facts) Notes() (list []string) {
	switch {
	case f.Layer == "loopback":
		list = append(list,
			"while the port is open, the host does not reach itself: what the host sends to 127.0.0.1, "+
				"::1 and its own addresses goes to the host rings, and is lost unless somebody forwards it "+
				"('netmap bridge -i netmap:"+f.Name+"')")
	case f.Bare():
		list = append(list, fmt.Sprintf("its frames have no Ethernet header (link layer %q): "+
			"slots hold bare packets, which start with the IP header", f.Layer))
	}
	if why := silent[f.Kind]; why != "" {
		list = append(list, "nothing arrives here in any mode: "+why)
	}
	if f.isUntagged() {
		list = append(list, "the kernel takes the VLAN tag out of frames before they arrive here; "+
			"open a VLAN's own interface to receive its frames")
	}
	return list
}

// Longest returns the length of the longest frame that can be sent from buffers of a size. If the
// MTU allows longer frames, problem tells what happens to those frames.
func (f *Facts) Longest(bufSize uint32) (most int, problem string) {
	m := xsk.Memory{Stride: bufSize}
	if most = int(min(MaxSegments*m.MaxTx(), MaxPacket)); f.MTU+etherHead > most {
		problem = TooLong(f.MTU, most)
	}
	return most, problem
}

// TooLong returns the text about an MTU that allows frames of more than most bytes: these cannot be
// sent.
func TooLong(mtu, most int) string {
	return fmt.Sprintf("its MTU is %d, but a frame of more than %d bytes cannot be sent, "+
		"and is dropped", mtu, most)
}
