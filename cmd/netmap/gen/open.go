package gen

import (
	"fmt"
	"math/rand/v2"
	"net"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/internal/frame"
	"github.com/seed-48afdc40/netmap/portname"
)

// bufSize is how large the buffers have to be of a framework inside this process. On an interface, frames longer than a page
// take several.
func (o *flags) bufSize() int {
	const page = 4096
	if o.port != "" && !cli.IsSoftware(o.port) {
		return min(o.length, page)
	}
	return o.length
}

// openPorts opens the port, once for each thread. Only the rings that the function uses are taken, so that the other
// direction of an interface stays with its host.
func (o *flags) openPorts(open cli.Opener) ([]*netmap.Port, error) {
	name, err := portname.Parse(o.port)
	if err != nil {
		return nil, err
	}
	var options []netmap.Option
	if name.Flags&(abi.NRRxRingsOnly|abi.NRTxRingsOnly) == 0 {
		switch o.function {
		case "tx":
			options = append(options, netmap.TxOnly())
		case "rx":
			options = append(options, netmap.RxOnly())
		}
	}
	if o.threads == 1 {
		p, err := o.openOne(open, o.port, options)
		return []*netmap.Port{p}, err
	}
	if name.Mode != abi.RegAllNIC {
		return nil, fmt.Errorf("-p gives every thread a ring of its own: name the port without a ring, not %s", o.port)
	}
	if cli.IsSoftware(o.port) && name.Conf == (portname.Conf{}) {
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
		if o.function == "rx" {
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
	switch {
	case len(tx) == 0 && o.function != "rx":
		return nil, fmt.Errorf("%s has no tx rings to %s with: open it without a flag that excludes them", name, o.function)
	case len(rx) == 0 && o.function != "tx":
		return nil, fmt.Errorf("%s has no rx rings to %s with: open it without a flag that excludes them", name, o.function)
	case o.function == "tx" || o.function == "ping":
		if err := o.fits(p); err != nil {
			return nil, err
		}
	}
	o.note("Opened %v, of %d bytes a buffer.", p, append(tx, rx...)[0].BufSize())
	return p, nil
}

// fits says whether a port that is to send them has frames of the length: in one slot or in several.
func (o *flags) fits(p *netmap.Port) error {
	r := p.Tx()[0]
	if most := min(abi.MaxFrags, r.NumSlots()-1); slotsFor(o.length, room(r)) > most {
		return fmt.Errorf("frames of %d bytes do not fit into %d buffers of %s: use -l %d or less", o.length, most, p.Name(), most*room(r))
	}
	return nil
}

// builders makes a builder for each thread, with streams that no other sender is likely to have.
func (o *flags) builders() []*frame.Builder {
	stream := uint16(rand.Uint32())
	flows := frame.Flows{SrcMAC: o.srcMAC, DstMAC: o.dstMAC, Src: o.src, Dst: o.dst}
	if flows.SrcMAC.Empty() {
		flows.SrcMAC = frame.OneMAC(o.ownMAC(stream))
	}
	o.note("Frames of %d bytes from %v, %v to %v, %v.", o.length, flows.SrcMAC, flows.Src, flows.DstMAC, flows.Dst)
	list := make([]*frame.Builder, o.threads)
	for i := range list {
		list[i] = frame.NewBuilder(flows, stream+uint16(i), o.length)
	}
	return list
}

// ownMAC is the address of the interface, or one that is made up.
func (o *flags) ownMAC(stream uint16) net.HardwareAddr {
	if name, err := portname.Parse(o.port); err == nil && !cli.IsSoftware(o.port) {
		if i, err := net.InterfaceByName(name.Port); err == nil && len(i.HardwareAddr) == 6 {
			return i.HardwareAddr
		}
	}
	return net.HardwareAddr{0x02, 0x6e, 0x6d, 0, byte(stream >> 8), byte(stream)}
}
