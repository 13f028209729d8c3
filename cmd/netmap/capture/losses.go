package capture

import (
	"cmp"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/cli"
	"github.com/seed-48afdc40/netmap/portname"
)

// loss counts frames that were lost before the capture could see them.
type loss struct {
	port  uint64 // lost in the port: its rings were full, or it had no buffers
	link  uint64 // lost in the interface before that
	known bool   // port is complete
	why   error  // why port is not complete
}

// meter counts the frames lost since it was made. It is not on the hot path.
type meter struct {
	kind  portname.Name
	port  *netmap.Port
	index int // of the interface; 0 for other ports
	base  loss
}

// newMeter starts to count. The port must be open.
func newMeter(name portname.Name, p *netmap.Port) *meter {
	m := &meter{kind: name, port: p}
	if name.Kind() == portname.Interface && !cli.IsMonitor(name) {
		if link, err := netlink.LinkByName(name.Port); err == nil {
			m.index = link.Attrs().Index
		}
	}
	m.base = m.read()
	return m
}

// losses returns the losses since the start.
func (m *meter) losses() loss {
	l := m.read()
	return loss{l.port - min(l.port, m.base.port), l.link - min(l.link, m.base.link),
		l.known && m.base.known, cmp.Or(l.why, m.base.why)}
}

func (m *meter) read() (l loss) {
	drops, err := cli.Drops(m.port)
	l.port, l.known, l.why = cli.SumDrops(drops.Rx), err == nil, err
	if m.index > 0 {
		if !l.known {
			l.port, l.known = socketDrops(m.index)
		}
		l.link = linkDrops(m.index, !l.known)
	}
	if m.kind.Kind() == portname.Pipe && !cli.IsMonitor(m.kind) {
		l.known = true // senders into a pipe wait, so a pipe loses nothing
	}
	return l
}

// linkDrops returns the number of frames that an interface lost itself. With all, it includes
// frames for which the receiver had no room: some drivers count frames there that the port had no
// room for.
func linkDrops(index int, all bool) uint64 {
	link, err := netlink.LinkByIndex(index)
	if err != nil || link.Attrs().Statistics == nil {
		return 0
	}
	s := link.Attrs().Statistics
	n := s.RxMissedErrors + s.RxFifoErrors
	if all {
		n += s.RxDropped
	}
	return n
}

// socketDrops returns the number of frames that all AF_XDP sockets of an interface lost: the kernel
// does not tell which port has a socket. Not every kernel counts them (CONFIG_XDP_SOCKETS_DIAG).
func socketDrops(index int) (n uint64, known bool) {
	sockets, err := netlink.SocketDiagXDP()
	if err != nil {
		return 0, false
	}
	for _, s := range sockets {
		if s.XDPInfo != nil && int(s.XDPInfo.Ifindex) == index && s.XDPInfo.Stats != nil {
			n += s.XDPInfo.Stats.RxDropped + s.XDPInfo.Stats.RxFull
			known = true
		}
	}
	return n, known
}
