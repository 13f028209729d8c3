//go:build linux

package nic

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/internal/ethtool"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/xsk"
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

// findLink looks an interface of the calling thread's network namespace up. ENXIO when there is
// none.
func findLink(name string) (linkInfo, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		var none netlink.LinkNotFoundError
		if errors.As(err, &none) {
			return linkInfo{}, fault.New(syscall.ENXIO, "open", name,
				"there is no such interface in this network namespace; 'netmap info' lists those there are")
		}
		return linkInfo{}, fault.Wrap(err, "look up interface", name, "")
	}
	return AskFacts(l).link()
}

// AskFacts asks the kernel about an interface of the calling thread's network namespace.
func AskFacts(l netlink.Link) *Facts {
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
	f.failed("channels", f.askQueues())
	return f
}

// failed notes the error of a question. That there is no answer is none.
func (f *Facts) failed(what string, err error) {
	if err != nil && !errors.Is(err, syscall.EOPNOTSUPP) {
		f.Errs = append(f.Errs, fmt.Errorf("%s: %w", what, err))
	}
}

// askQueues asks for those facts that may change while the interface is open.
func (f *Facts) askQueues() error {
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

// maxQueues is how many queues a port can have: numbers of rings, with those of host rings behind
// them, have 16 bits.
const maxQueues = 1 << 15

// link is what the facts mean for a port. EINVAL when there can be none.
func (f *Facts) link() (linkInfo, error) {
	info := linkInfo{
		index: f.Index, mtu: f.MTU, queues: f.Queues(), facts: f,
		kilobytes: f.Driver == "igb" || f.Driver == "ixgbe", // the 82576's and the 82599's SRRCTL.BSIZEPKT
		forgets:   f.Driver == forgetful,
	}
	if f.XDP != nil {
		info.segments = f.XDP.Segments
	}
	if f.Channels != nil {
		if info.wish = wishChannels(f.Driver, *f.Channels); info.wish != nil {
			w := info.wish
			info.queues = ethtool.Queues{Rx: usable(w.Rx+w.Combined, 0), Tx: usable(w.Tx+w.Combined, 0)}
		}
	}
	if n := max(info.queues.Rx, info.queues.Tx); n > maxQueues {
		return linkInfo{}, fault.New(syscall.EINVAL, "open", f.Name,
			"it has %d queues, and a port at most %d; "+
				"use fewer: 'ethtool -L %[3]s combined %[2]d'", n, maxQueues, f.Name)
	}
	return info, nil
}

// Bare says whether frames have no Ethernet header: they are IP packets, as in tunnels.
func (f *Facts) Bare() bool {
	return f.Layer != "ether" && f.Layer != "loopback" && f.Layer != ""
}

// Notes are what users of the interface have to know before they open it.
func (f *Facts) Notes() (list []string) {
	switch {
	case f.Layer == "loopback":
		list = append(list, "while it is open, the host does not reach itself: what it sends to 127.0.0.1, "+
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
	if most = int(min(maxSegments*m.MaxTx(), maxPacket)); f.MTU+etherHead > most {
		problem = tooLong(f.MTU, most)
	}
	return most, problem
}

func tooLong(mtu, most int) string {
	return fmt.Sprintf("its MTU is %d, but a frame of more than %d bytes cannot be sent, and is dropped",
		mtu, most)
}

// note tells users what they should know of the interface, which has just come into use.
func (p *Port) note() {
	notes := p.link.facts.Notes()
	if why := p.whyGeneric(); why != "" {
		notes = append(notes, "frames pass in generic mode, which is the slowest: "+why)
	}
	if most := int(min(p.segments*p.maxTx, maxPacket)); p.MTU()+etherHead > most {
		notes = append(notes, tooLong(p.MTU(), most)+
			fmt.Sprintf(": 'ip link set dev %s mtu %d'", p.Title(), most-etherHead))
	}
	for _, n := range notes {
		p.report(event.Event{Kind: event.Note, Reason: n})
	}
}
