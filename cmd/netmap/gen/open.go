package gen

import (
	"fmt"
	"strings"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/portname"
)

// openPorts opens the port once for each thread. It takes only the rings that the function uses, so
// that the host keeps the other direction of an interface.
func (j *job) openPorts(open cli.Opener) ([]*netmap.Port, error) {
	name := j.Name
	var options []netmap.Option
	if name.Flags&(abi.NRRxRingsOnly|abi.NRTxRingsOnly) == 0 {
		switch j.Function {
		case "tx", "txseq":
			options = append(options, netmap.TxOnly())
		case "rx", "rxseq":
			options = append(options, netmap.RxOnly())
		}
	}
	options = append(append(options, netmap.AcceptHeaders()), j.Config.Options()...)
	if j.Threads == 1 {
		p, err := j.openOne(open, j.Port, options)
		return []*netmap.Port{p}, err
	}
	if name.Kind() != portname.Interface && name.Conf == (portname.Conf{}) &&
		j.Config.TxRings+j.Config.RxRings == 0 {
		options = append(options, netmap.Rings(j.Threads, j.Threads))
	}
	return j.openRings(open, name, options)
}

// openRings opens one ring of the port for each thread.
func (j *job) openRings(open cli.Opener, name portname.Name,
	options []netmap.Option) ([]*netmap.Port, error) {
	var ports []*netmap.Port
	name.Mode = abi.RegOneNIC
	for i := range j.Threads {
		name.Ring = uint16(i)
		p, err := j.openOne(open, name.String(), options)
		if err != nil {
			return nil, err
		}
		rings := int(p.Request().TxRings)
		if strings.HasPrefix(j.Function, "rx") {
			rings = int(p.Request().RxRings)
		}
		if rings < j.Threads {
			return nil, fmt.Errorf("%s has %s: use -p %d or less", j.Port, cli.Count(uint64(rings), "ring"),
				rings)
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// openOne opens a port and checks that the function can work with it.
func (j *job) openOne(open cli.Opener, name string, options []netmap.Option) (*netmap.Port, error) {
	p, err := open(name, options...)
	if err != nil {
		return nil, err
	}
	tx, rx := p.Tx(), p.Rx()
	receives, sends := strings.HasPrefix(j.Function, "rx"), strings.HasPrefix(j.Function, "tx")
	switch {
	case len(tx) == 0 && !receives:
		return nil, fmt.Errorf("%s has no tx rings to %s with: open it without a flag that excludes them",
			name, j.Function)
	case len(rx) == 0 && !sends:
		return nil, fmt.Errorf("%s has no rx rings to %s with: open it without a flag that excludes them",
			name, j.Function)
	}
	if err := j.agreeHeader(p); err != nil {
		return nil, err
	}
	if sends || j.Function == "ping" {
		if err := j.checkFits(p); err != nil {
			return nil, err
		}
	}
	j.detail("Opened %v, of %d bytes a buffer.", p, append(tx, rx...)[0].BufSize())
	return p, nil
}

// agreeHeader sets the port's length of virtio-net headers to that of -H. Without -H, gen uses the
// length that the port has.
func (j *job) agreeHeader(p *netmap.Port) (err error) {
	if j.Name.Kind() != portname.VALE {
		return nil
	}
	if j.Slots.Header > 0 {
		return p.SetHeader(j.Slots.Header)
	}
	if j.Slots.Header, err = p.Header(); err == nil && j.Slots.Header > 0 {
		j.say("get_vnet_hdr_len", "Port requires virtio-net header, length = %d", j.Slots.Header)
	}
	return err
}

// checkFits returns an error if a port cannot send frames of the wanted length, in one slot or in
// several.
func (j *job) checkFits(p *netmap.Port) error {
	r, c := p.Tx()[0], j.cutFor(p)
	most := min(abi.MaxFrags, r.NumSlots()-1)
	switch {
	case (j.Slots.Indirect || j.Function == "txseq") && c.Slots > 1:
		return fmt.Errorf("frames of %d bytes do not fit into the buffers of %s: use -l %d or less",
			j.slotBytes(), p.Name(), room(r)-j.Slots.Header)
	case c.Slots > most || c.Slots*j.Slots.Fragments > most && j.Function == "txseq":
		return fmt.Errorf("frames of %d bytes would take %d slots of %s: it takes %d, use -l %d or less",
			j.slotBytes(), c.Slots, p.Name(), most, most*room(r))
	}
	return nil
}

// slotBytes returns the length of the longest frame with its virtio-net header.
func (j *job) slotBytes() int { return j.Frames.Lengths.Most + j.Slots.Header }

// bufSize returns the size of buffers that a framework inside this process needs. On an interface,
// frames longer than a page take several buffers.
func (j *job) bufSize() int {
	const page = 4096
	if j.Port != "" && j.Name.Kind() == portname.Interface {
		return min(j.slotBytes(), page)
	}
	return j.slotBytes()
}

// needs returns the ports for which a framework inside this process needs buffers.
func (j *job) needs() []portname.Name {
	if j.Port == "" {
		return nil
	}
	name := j.Name
	if strings.HasPrefix(j.Function, "rx") {
		name.Flags |= abi.NRRxRingsOnly
	}
	return []portname.Name{name}
}
