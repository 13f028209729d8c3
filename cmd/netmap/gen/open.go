package gen

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strings"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/portname"
)

// openPorts opens the port, once for each thread. Only the rings that the function uses are taken, so that the other
// direction of an interface stays with its host.
func (o *flags) openPorts(open cli.Opener) ([]*netmap.Port, error) {
	name := o.name
	var options []netmap.Option
	if name.Flags&(abi.NRRxRingsOnly|abi.NRTxRingsOnly) == 0 {
		switch o.function {
		case "tx", "txseq":
			options = append(options, netmap.TxOnly())
		case "rx", "rxseq":
			options = append(options, netmap.RxOnly())
		}
	}
	options = append(append(options, netmap.AcceptHeaders()), o.config.options()...)
	if o.threads == 1 {
		p, err := o.openOne(open, o.port, options)
		return []*netmap.Port{p}, err
	}
	if name.Kind() != portname.Interface && name.Conf == (portname.Conf{}) && o.config.txRings+o.config.rxRings == 0 {
		options = append(options, netmap.Rings(o.threads, o.threads))
	}
	return o.openRings(open, name, options)
}

// openRings opens a port for each thread, bound to one ring.
func (o *flags) openRings(open cli.Opener, name portname.Name, options []netmap.Option) ([]*netmap.Port, error) {
	var ports []*netmap.Port
	name.Mode = abi.RegOneNIC
	for i := range o.threads {
		name.Ring = uint16(i)
		p, err := o.openOne(open, name.String(), options)
		if err != nil {
			return nil, err
		}
		rings := int(p.Request().TxRings)
		if strings.HasPrefix(o.function, "rx") {
			rings = int(p.Request().RxRings)
		}
		if rings < o.threads {
			return nil, fmt.Errorf("%s has %s: use -p %d or less", o.port, cli.Count(uint64(rings), "ring"), rings)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// openOne opens a port and sees to it that the function can work on it.
func (o *flags) openOne(open cli.Opener, name string, options []netmap.Option) (*netmap.Port, error) {
	p, err := open(name, options...)
	if err != nil {
		return nil, err
	}
	tx, rx := p.Tx(), p.Rx()
	receives, sends := strings.HasPrefix(o.function, "rx"), strings.HasPrefix(o.function, "tx")
	switch {
	case len(tx) == 0 && !receives:
		return nil, fmt.Errorf("%s has no tx rings to %s with: open it without a flag that excludes them", name, o.function)
	case len(rx) == 0 && !sends:
		return nil, fmt.Errorf("%s has no rx rings to %s with: open it without a flag that excludes them", name, o.function)
	}
	if err := o.agreeHeader(p); err != nil {
		return nil, err
	}
	if sends || o.function == "ping" {
		if err := o.fits(p); err != nil {
			return nil, err
		}
	}
	o.note("Opened %v, of %d bytes a buffer.", p, append(tx, rx...)[0].BufSize())
	return p, nil
}

// agreeHeader has the port know the length of virtio-net headers, or learns it from the port.
func (o *flags) agreeHeader(p *netmap.Port) (err error) {
	if o.name.Kind() != portname.VALE {
		return nil
	}
	if o.slots.header > 0 {
		return p.SetHeader(o.slots.header)
	}
	if o.slots.header, err = p.Header(); err == nil && o.slots.header > 0 {
		o.say("get_vnet_hdr_len", "Port requires virtio-net header, length = %d", o.slots.header)
	}
	return err
}

// fits says whether a port that is to send them has room for frames of the length: in one slot or in several.
func (o *flags) fits(p *netmap.Port) error {
	r, c := p.Tx()[0], o.cutFor(p)
	most := min(abi.MaxFrags, r.NumSlots()-1)
	switch {
	case (o.slots.indirect || o.function == "txseq") && c.slots > 1:
		return fmt.Errorf("frames of %d bytes do not fit into the buffers of %s: use -l %d or less", o.slotBytes(), p.Name(), room(r)-o.slots.header)
	case c.slots > most || c.slots*o.slots.fragments > most && o.function == "txseq":
		return fmt.Errorf("frames of %d bytes would take %d slots of %s: it takes %d, use -l %d or less", o.slotBytes(), c.slots, p.Name(), most, most*room(r))
	}
	return nil
}

// slotBytes is how many bytes the slots of a frame hold together.
func (o *flags) slotBytes() int { return o.frames.lengths.most + o.slots.header }

// bufSize is how large the buffers have to be of a framework inside this process. On an interface, frames longer than a page
// take several.
func (o *flags) bufSize() int {
	const page = 4096
	if o.port != "" && o.name.Kind() == portname.Interface {
		return min(o.slotBytes(), page)
	}
	return o.slotBytes()
}

// needs are the ports for which a framework inside this process has to have buffers.
func (o *flags) needs() []portname.Name {
	if o.port == "" {
		return nil
	}
	name := o.name
	if strings.HasPrefix(o.function, "rx") {
		name.Flags |= abi.NRRxRingsOnly
	}
	return []portname.Name{name}
}

// cutFor is how frames lie in the slots of a port.
func (o *flags) cutFor(p *netmap.Port) cut {
	size, slots := room(p.Tx()[0]), o.slots.fragments
	if o.slots.size > 0 && o.function == "tx" {
		size = min(size, o.slots.size)
	}
	if o.function != "tx" {
		slots = 1
	}
	return newCut(o.slotBytes(), slots, size)
}

// builders makes a builder for each thread, with streams that no other sender is likely to have. Those of frames that are
// too short for marks are nil.
func (o *flags) builders() []*testframe.Builder {
	stream := uint16(rand.Uint32())
	f := &o.frames
	o.flows = testframe.Flows{SrcMAC: f.srcMAC, DstMAC: f.dstMAC, Src: f.src, Dst: f.dst, RandomSrc: f.randomSrc, RandomDst: f.randomDst}
	if o.flows.SrcMAC.Empty() {
		o.flows.SrcMAC = testframe.OneMAC(o.ownMAC(stream))
	}
	o.note("Frames of %d bytes from %v, %v to %v, %v.", f.lengths.most, o.flows.SrcMAC, o.flows.Src, o.flows.DstMAC, o.flows.Dst)
	list := make([]*testframe.Builder, o.threads)
	for i := range list {
		if f.lengths.least() >= f.least() {
			list[i] = testframe.NewBuilder(o.flows, stream+uint16(i), f.lengths.most)
		}
	}
	return list
}

// makers makes what makes the frames of each thread.
func (o *flags) makers(ports []*netmap.Port) []maker {
	var list []maker
	for i, b := range o.builders() {
		list = append(list, o.maker(ports[i], b))
	}
	return list
}

func (o *flags) maker(p *netmap.Port, build *testframe.Builder) maker {
	f := &o.frames
	c := &crafted{lengths: f.lengths, length: f.lengths.most, header: o.slots.header, cut: o.cutFor(p), chain: 1, dump: o.newDump()}
	switch {
	case f.rubbish:
	case f.verbatim != nil:
		c.blank = testframe.Verbatim(f.verbatim)
	case o.function == "txseq":
		c.chain, c.blank = o.slots.fragments, testframe.NewTemplate(o.flows, f.lengths.most, true)
	case build == nil:
		c.blank = testframe.NewTemplate(o.flows, f.lengths.most, false)
	default:
		c.build = build
	}
	plain := c.header == 0 && f.lengths.low == 0 && c.cut.slots == 1 && !o.slots.indirect && c.dump == nil
	if c.build != nil && plain && !o.flows.IPv6() {
		return marked{c.build}
	}
	c.memory = make([][]byte, 1)
	if o.slots.indirect {
		c.memory = make([][]byte, len(p.Tx())*p.Tx()[0].NumSlots())
	}
	for i := range c.memory {
		c.memory[i] = make([]byte, c.header+max(f.lengths.most, testframe.MinLen6)+8) // a Builder may write a little more than the frame
	}
	return c
}

// newDump is what -X writes with, nil without.
func (o *flags) newDump() *dump {
	if !o.show.dump {
		return nil
	}
	return &dump{w: o.out}
}

// ownMAC is the address of the interface, or one that is made up.
func (o *flags) ownMAC(stream uint16) net.HardwareAddr {
	if o.port != "" && o.name.Kind() == portname.Interface {
		if l, err := netlink.LinkByName(o.name.Port); err == nil && len(l.Attrs().HardwareAddr) == 6 {
			return l.Attrs().HardwareAddr
		}
	}
	return net.HardwareAddr{0x02, 0x6e, 0x6d, 0, byte(stream >> 8), byte(stream)}
}

// room is how much of a frame fits into a slot.
func room(r *netmap.Ring) int { return max(1, r.BufSize()-r.Offset(r.Slot(0))) }
