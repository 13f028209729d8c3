// Package monitor is a port that shows the frames of another one, its parent. Rx ring i of the
// monitor gets the frames of the parent's rings i, of both directions or one. The parent's program
// notices nothing but the time that this takes.
//
//	parent  TX i ── tap ──┐
//	                      ├──> monitor  RX i        and one TX ring on which nothing can be sent
//	parent  RX i ── tap ──┘
//
// The parent's host rings are shown in the monitor's host rings, in the same way.
//
// A copy monitor sees frames early: sent frames when the parent's program hands them over, and
// received frames when they arrive, even if that program does not read. The parent need not sync
// for that: a sync of the monitor syncs the parent's rx ring, too. Several copy monitors of a ring
// are independent.
//
// A zero-copy monitor sees frames late: when a sent slot comes back, and when a received slot is
// released. It exchanges an empty buffer of its own for the parent's. Several zero-copy monitors of
// a ring form a chain, in which each sees the frames that the one before has released:
//
//	parent  i ── tap ──> first  RX i ──> second  RX i ──> …
//
// A monitor never delays the parent. Frames that find no room in its ring are lost and counted
// there; of a batch, the newest frames are kept. When the parent's last user closes it, the monitor
// is an orphan: its rings keep the queued frames, and syncs return EIO.
//
// # Locks
//
// The holder of a monitor's ring may take the ring's source, the parent's rx ring; never the other
// way round. Both directions of the parent, and the monitor before in a chain, deliver to an rx
// ring under its inbox's mutex. No other lock is taken under that mutex. Taps are added to rings
// and removed (Start, Stop, Orphan) under the registry's lock, by a caller that holds the tapped
// rings.
package monitor

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// Flags are the bits of a request that make it one for a monitor.
const Flags = abi.NRMonitorTx | abi.NRMonitorRx | abi.NRZcopyMon

var (
	_ port.Port           = (*Port)(nil)
	_ port.Hosted         = (*Port)(nil)
	_ port.Describer      = (*Port)(nil)
	_ port.OffsetAcceptor = (*Port)(nil)
)

// Port is a monitor.
type Port struct {
	name    string
	region  *mem.Region
	watched [2]bool // by direction of the parent
	zero    bool    // zero-copy
	rings   [2][]*kring.Ring
	host    [2][]*kring.Ring // their numbers follow those of rings
	inboxes []*inbox

	orphan       atomic.Bool
	gone, noSend *fault.Error // made in advance, because syncs allocate nothing
}

// Config describes a monitor.
type Config struct {
	Parent           string // its name
	Serial           uint64 // tells monitors of one parent apart
	Flags            uint64 // some of Flags; zero-copy always means both directions
	TxSlots, RxSlots uint32
}

// Name returns the monitor's name: parent/zrt#serial.
func (c Config) Name() string {
	var b strings.Builder
	for _, f := range []struct {
		flag   uint64
		letter byte
	}{{abi.NRZcopyMon, 'z'}, {abi.NRMonitorRx | abi.NRZcopyMon, 'r'},
		{abi.NRMonitorTx | abi.NRZcopyMon, 't'}} {
		if c.Flags&f.flag != 0 {
			b.WriteByte(f.letter)
		}
	}
	return fmt.Sprintf("%s/%s#%d", c.Parent, b.String(), c.Serial)
}

// New makes a monitor of the parent. It sees nothing before its rings are started.
func New(region *mem.Region, parent port.Port, c Config) *Port {
	name := c.Name()
	p := &Port{name: name, region: region, zero: c.Flags&abi.NRZcopyMon != 0}
	p.watched[abi.DirTx] = p.zero || c.Flags&abi.NRMonitorTx != 0
	p.watched[abi.DirRx] = p.zero || c.Flags&abi.NRMonitorRx != 0
	p.gone = fault.New(syscall.EIO, "sync", name,
		"nobody has %s open any more; open the monitor again when somebody has", c.Parent)
	p.noSend = fault.New(syscall.EIO, "send on", name, "monitors only receive; open %s itself to send",
		c.Parent)
	p.rings = p.watch(name, parent.Rings, c)
	hosts := func(dir kring.Dir) []*kring.Ring { return port.HostRings(parent, dir) }
	if len(hosts(abi.DirTx)) > 0 {
		p.host = p.watch(name+" host", hosts, c)
	}
	return p
}

// watch makes a tx ring, and the rx rings for some of the parent's rings, all numbered
// consecutively.
func (p *Port) watch(name string, of func(kring.Dir) []*kring.Ring,
	c Config) (rings [2][]*kring.Ring) {
	noSend := func(*kring.Ring, kring.Memory) error { return p.noSend }
	rings[abi.DirTx] = []*kring.Ring{kring.New(name+" TX0", abi.DirTx, uint16(len(p.rings[abi.DirTx])),
		c.TxSlots, noSend)}
	for i := range max(len(of(abi.DirTx)), len(of(abi.DirRx))) {
		in := &inbox{port: p}
		in.ring = kring.New(fmt.Sprintf("%s RX%d", name, i), abi.DirRx, uint16(len(p.inboxes)), c.RxSlots,
			in.sync)
		for _, dir := range kring.Dirs {
			if parents := of(dir); p.watched[dir] && i < len(parents) {
				in.parent[dir] = parents[i]
			}
		}
		p.inboxes = append(p.inboxes, in)
		rings[abi.DirRx] = append(rings[abi.DirRx], in.ring)
	}
	return rings
}

// Rings returns the rings of a direction.
func (p *Port) Rings(dir kring.Dir) []*kring.Ring { return p.rings[dir] }

// HostRings returns the monitor's host rings of a direction.
func (p *Port) HostRings(dir kring.Dir) []*kring.Ring { return p.host[dir] }

// Start gives a ring its memory, and adds an rx ring to the taps of the parent's rings. ENXIO for
// an orphan.
func (p *Port) Start(r *kring.Ring) error {
	if p.orphan.Load() {
		return fault.New(syscall.ENXIO, "open", r.Name, "%s", p.gone.Hint)
	}
	if r.Dir == abi.DirTx {
		return r.Alloc(p.region, false) // nothing is ever sent, so its slots need no buffers
	}
	if err := r.Alloc(p.region, true); err != nil {
		return err
	}
	in := p.inboxes[r.ID]
	in.setOpen(true)
	in.attach()
	return nil
}

// Stop undoes Start. The next monitor in a chain loses the frames that were not read.
func (p *Port) Stop(r *kring.Ring) {
	if r.Dir == abi.DirTx {
		r.Free(0, 0)
		return
	}
	in := p.inboxes[r.ID]
	in.detach()
	in.setOpen(false)
	r.Free(0, r.N)
}

// AcceptOffsets returns EOPNOTSUPP for a zero-copy monitor: it exchanges its buffers with the
// parent, whose program decides where frames start.
func (p *Port) AcceptOffsets(uint32) error {
	if p.zero {
		return fault.New(syscall.EOPNOTSUPP, "use offsets on", p.name,
			"a zero-copy monitor has none; use one that copies")
	}
	return nil
}

// Close has nothing left to do.
func (p *Port) Close() error { return nil }

// Orphan removes the monitor from its parent, which its last user has closed, and wakes the
// programs that wait for frames.
func (p *Port) Orphan() {
	for _, in := range p.inboxes {
		in.detach()
	}
	p.orphan.Store(true)
	for _, rings := range slices.Concat(p.rings[:], p.host[:]) {
		for _, r := range rings {
			r.Waiters.Wake()
		}
	}
}

// Describe describes the frames that the monitor shows.
func (p *Port) Describe() (detail string, drops map[string]uint64) {
	switch {
	case p.orphan.Load():
		detail = "orphan"
	case p.zero:
		detail = "zero-copy"
	case !p.watched[abi.DirRx]:
		detail = "copy of tx"
	case !p.watched[abi.DirTx]:
		detail = "copy of rx"
	default:
		detail = "copy of tx and rx"
	}
	return detail, map[string]uint64{}
}
