package gen

import (
	"math/rand/v2"
	"net"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/cmd/netmap/gen/frames"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
	"github.com/seed-48afdc40/netmap/portname"
)

// makers returns a maker of frames for each thread.
func (j *job) makers(ports []*netmap.Port) []frames.Maker {
	var list []frames.Maker
	for i, b := range j.builders() {
		list = append(list, j.maker(ports[i], b))
	}
	return list
}

// builders returns a builder for each thread. Their streams start at a random number, so that other
// senders hardly use the same. If frames are too short for marks, the builders are nil.
func (j *job) builders() []*testframe.Builder {
	stream := uint16(rand.Uint32())
	f := &j.Frames
	j.flows = testframe.Flows{
		SrcMAC: f.SrcMAC, DstMAC: f.DstMAC, Src: f.Src, Dst: f.Dst,
		RandomSrc: f.RandomSrc, RandomDst: f.RandomDst,
	}
	if j.flows.SrcMAC.Empty() {
		j.flows.SrcMAC = testframe.OneMAC(j.ownMAC(stream))
	}
	j.detail("Frames of %d bytes from %v, %v to %v, %v.",
		f.Lengths.Most, j.flows.SrcMAC, j.flows.Src, j.flows.DstMAC, j.flows.Dst)
	list := make([]*testframe.Builder, j.Threads)
	for i := range list {
		if f.Lengths.Least() >= f.MarkedLen() {
			list[i] = testframe.NewBuilder(j.flows, stream+uint16(i), f.Lengths.Most)
		}
	}
	return list
}

// maker returns a maker of frames for a port. build is nil for frames without marks.
func (j *job) maker(p *netmap.Port, build *testframe.Builder) frames.Maker {
	f := &j.Frames
	c := frames.Config{
		IPv6: j.flows.IPv6(), Lengths: f.Lengths, Header: j.Slots.Header, Cut: j.cutFor(p), Chain: 1,
		Dump: j.newDump(),
	}
	switch {
	case f.Rubbish:
	case f.Verbatim != nil:
		c.Blank = testframe.Verbatim(f.Verbatim)
	case j.Function == "txseq":
		c.Chain, c.Blank = j.Slots.Fragments, testframe.NewTemplate(j.flows, f.Lengths.Most, true)
	case build == nil:
		c.Blank = testframe.NewTemplate(j.flows, f.Lengths.Most, false)
	default:
		c.Build = build
	}
	if j.Slots.Indirect {
		c.Indirect = len(p.Tx()) * p.Tx()[0].NumSlots()
	}
	return frames.New(c)
}

// cutFor returns how frames are divided among the slots of a port.
func (j *job) cutFor(p *netmap.Port) frames.Cut {
	size, slots := room(p.Tx()[0]), j.Slots.Fragments
	if j.Slots.Size > 0 && j.Function == "tx" {
		size = min(size, j.Slots.Size)
	}
	if j.Function != "tx" {
		slots = 1
	}
	return frames.NewCut(j.slotBytes(), slots, size)
}

// room returns the number of bytes of a frame that fit into a slot.
func room(r *netmap.Ring) int { return max(1, r.BufSize()-r.Offset(r.Slot(0))) }

// newDump returns the writer for -X, nil without -X.
func (j *job) newDump() *frames.Dump {
	if !j.Show.Dump {
		return nil
	}
	return frames.NewDump(j.out)
}

// ownMAC returns the address of the interface. Other ports have no address: they get one from the
// stream's random number.
func (j *job) ownMAC(stream uint16) net.HardwareAddr {
	if j.Port != "" && j.Name.Kind() == portname.Interface {
		if l, err := netlink.LinkByName(j.Name.Port); err == nil && len(l.Attrs().HardwareAddr) == 6 {
			return l.Attrs().HardwareAddr
		}
	}
	return net.HardwareAddr{0x02, 0x6e, 0x6d, 0, byte(stream >> 8), byte(stream)}
}
