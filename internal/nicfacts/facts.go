//go:build linux

// Package nicfacts is what the kernel says of a network interface, and what follows from that
// before a socket is opened on it: how many queues it has, which XDP mode can receive its frames,
// and through which interfaces they come.
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
	// MaxSegments is how many buffers a packet may have in the copy modes. The kernel makes a
	// fragment of a socket buffer of each, and drivers that send from our memory have no other
	// room than that (MAX_SKB_FRAGS).
	MaxSegments = 17
	// MaxPacket is the longest packet: drivers have 16 bits for its length.
	MaxPacket = 1<<16 - 1

	etherHead = 14
)

// Facts are what the kernel tells of an interface, as it tells it. Some of it may be missing, and
// some contradict the rest: a TAP that nobody reads has no channels, says its driver, and still one
// queue, says the kernel, with room for 256.
type Facts struct {
	Name       string
	Index, MTU int
	Address    net.HardwareAddr
	Kind       string            // as "ip -d link" says it: bond, vlan, veth; "device" is a card, or lo
	Layer      string            // link layer, as netlink calls it: "ether", "loopback", "none"
	Driver     string            // "" where it is not known
	XDP        *ethtool.XDP      // nil where the kernel does not tell: before Linux 6.3
	Room       ethtool.Queues    // queues that there is memory for; some drivers use fewer
	InUse      ethtool.Queues    // queues that the kernel uses, none where it does not tell
	Channels   *ethtool.Channels // queues in use, by the driver; nil where it does not tell
	Errs       []error           // questions that failed, other than by having no answer
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

// failed notes the error of a question. That there is no answer is none.
func (f *Facts) failed(what string, err error) {
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		f.Errs = append(f.Errs, fmt.Errorf("%s: %w", what, err))
	}
}

// AskQueues asks for those facts that may change while the interface is open.
func (f *Facts) AskQueues() error {
	f.Channels = nil
	c, err := ethtool.AskChannels(f.Index)
	if err == nil {
		f.Channels = &c
	}
	f.InUse = ethtool.AskQueues(f.Index, f.Room)
	return err
}

// Queues is how many queues there are to open sockets on in each direction, one at least.
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

// usable is how many queues of a direction can be used, of those that the driver tells of and those
// in use, of which either may be 0. A socket cannot be bound to more than are in use; drivers that
// need queues for themselves tell of fewer.
func usable(told, inUse int) int {
	switch {
	case told == 0:
		told = inUse
	case inUse > 0:
		told = min(told, inUse)
	}
	return max(told, 1)
}

// Bare says whether frames have no Ethernet header: they are IP packets, as in tunnels.
func (f *Facts) Bare() bool {
	return f.Layer != "ether" && f.Layer != "loopback" && f.Layer != ""
}

// Notes are what users of the interface have to know before they open it.
func (f *Facts) Notes() (list []string) {
	switch {
	case f.Layer == "loopback":
		list = append(list,
			"while it is open, the host does not reach itself: what it sends to 127.0.0.1, "+
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

// Longest is the longest frame that can be sent from buffers of a size, and what becomes of others
// if the MTU allows them.
func (f *Facts) Longest(bufSize uint32) (most int, problem string) {
	m := xsk.Memory{Stride: bufSize}
	if most = int(min(MaxSegments*m.MaxTx(), MaxPacket)); f.MTU+etherHead > most {
		problem = TooLong(f.MTU, most)
	}
	return most, problem
}

// TooLong says that the MTU allows frames that cannot be sent: those of more than most bytes.
func TooLong(mtu, most int) string {
	return fmt.Sprintf("its MTU is %d, but a frame of more than %d bytes cannot be sent, and is dropped",
		mtu, most)
}
