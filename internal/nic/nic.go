//go:build linux

// Package nic is a network interface as a port: one AF_XDP socket for each queue, with the region's
// buffer pool as UMEM. It is large because the modes differ, and because drivers, links and refused
// frames each need their own handling.
//
// A slot's buffer index and a UMEM chunk are the same number. A received frame is handed over by
// writing its chunk into a slot, a sent one by writing the slot's chunk into a descriptor: nothing
// is copied here. Open chooses the mode from what the kernel reports (package nicfacts); the start
// of the first ring finds out whether it works. The modes are zero-copy, where driver and memory
// allow it; XDP in the driver with a copy by the kernel; and generic XDP, which any interface has.
//
// Frames of a queue whose rx ring is not open go to the host.
package nic

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// DefaultSlots is the number of slots of a ring, unless the rings of a direction would have more
// than manySlots together.
const DefaultSlots = 1024

// manySlots bounds the slots of all rings of a direction. Rings of an interface with many queues
// are shorter, because every slot takes a buffer, and the kernel some memory for each buffer and
// queue. No ring has fewer than fewSlots.
const (
	manySlots = 32768
	fewSlots  = 256
)

// SlotsOf returns the number of slots of each ring of an interface with that number of queues.
func SlotsOf(queues int) uint32 {
	slots := uint32(DefaultSlots)
	for slots > fewSlots && slots*uint32(queues) > manySlots {
		slots /= 2
	}
	return slots
}

// Config describes how to open an interface.
type Config struct {
	Slots    uint32        // of a ring; 0 is DefaultSlots, or fewer if there are many queues
	Mode     *xsk.Mode     // the mode to use, nil to choose automatically
	Promisc  bool          // receive frames for any address
	BusyPoll time.Duration // see SetBusyPoll
	StateDir string        // directory where changed settings are recorded, "" for takeover.DefaultDir
	Secret   uint64        // in the prefix of frames for the host, see xsk.Prefix; 0 for no prefix
	// OnEvent receives the chosen mode, changed and restored settings, notes for users, and what
	// happens to the interface; may be nil.
	OnEvent func(event.Event)
}

// Port is a network interface.
type Port struct {
	name   string         // when it was opened
	dev    *netdev.Device // nil without CAP_NET_RAW
	cfg    Config
	link   linkInfo
	choice nicfacts.Choice
	region *mem.Region
	memory xsk.Memory
	queues []*queue
	rings  [2][]*kring.Ring
	watch  *watcher
	maxTx  uint32 // bytes that can be sent from one slot

	limits    limits
	retrier   *retrier
	trouble   atomic.Pointer[fault.Error]  // why no frame can move: the interface is down, or gone
	follower  atomic.Pointer[kring.Waiter] // woken when trouble changes
	described atomic.Pointer[description]

	mu      sync.Mutex // guards the following fields
	program *xsk.Program
	mode    xsk.Mode
	chosen  bool
	first   *xsk.Socket // some open socket, whose UMEM the others share
	taken   *takeover.Taken
	below   func() error // gives back the interfaces of TakeBelow, nil if none is taken
	pinned  bool         // the region's buffers are kept in memory
	// segments is the largest number of slots of a sent packet. It does not change while any socket
	// is open.
	segments uint32
	noStamps error // why frames have no time stamps
}

// Open makes a port of the interface in the calling thread's network namespace. It does not change
// the interface; starting a ring does. ENXIO when there is no such interface, EOPNOTSUPP for a mode
// in which it would not receive. Start returns EINVAL when the interface's frames do not fit into
// the region's buffers.
func Open(region *mem.Region, name string, cfg Config) (*Port, error) {
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	choice, err := link.facts.Choose(cfg.Mode)
	if err != nil {
		return nil, fault.Wrap(err, "open", name, "")
	}
	if cfg.Slots == 0 {
		cfg.Slots = SlotsOf(max(link.queues.Tx, link.queues.Rx))
	}
	if cfg.StateDir == "" {
		cfg.StateDir = takeover.DefaultDir()
	}
	p := &Port{name: name, cfg: cfg, link: link, choice: choice, region: region}
	pool, offset, stride := region.BufPool()
	p.memory = xsk.Memory{Mem: pool, Stride: stride, Skew: offset % shm.HugePage,
		Spare: region.Spare()}
	p.maxTx = p.memory.MaxTx()
	p.limits.carrier.Store(true)
	p.limits.setMTU(link.mtu)
	p.makeRings()
	if p.dev, err = netdev.Open(link.index); errors.Is(err, syscall.ENODEV) {
		return nil, fault.New(syscall.ENXIO, "open", name, "the interface has just gone")
	}
	if p.watch, err = watch(p); err != nil {
		p.letGo()
		return nil, err
	}
	p.retrier = newRetrier(p)
	return p, nil
}

// Title returns the current name of the interface, which may have been renamed.
func (p *Port) Title() string {
	if p.dev == nil {
		return p.name
	}
	return p.dev.Name()
}

// Device returns the interface as a network device, nil without CAP_NET_RAW, which it needs.
func (p *Port) Device() *netdev.Device { return p.dev }

func (p *Port) letGo() {
	if p.dev != nil {
		p.dev.Close()
	}
}

// Buffers returns the number of buffers that the rings of a request for an interface take, if each
// ring has slots slots; 0 means the default, as in Config. Errors are those of Open.
func Buffers(name string, req *abi.Register, slots uint32) (int, error) {
	link, err := findLink(name)
	if err != nil {
		return 0, err
	}
	if slots == 0 {
		slots = SlotsOf(max(link.queues.Tx, link.queues.Rx))
	}
	tx, rx := link.queues.Tx, link.queues.Rx
	hostTx, hostRx := int(max(req.HostTxRings, 1)), int(max(req.HostRxRings, 1))
	switch req.Mode {
	case abi.RegOneNIC:
		tx, rx, hostTx, hostRx = 1, 1, 0, 0
	case abi.RegSW, abi.RegOneSW:
		tx, rx = 0, 0
	case abi.RegNICSW:
	default:
		hostTx, hostRx = 0, 0
	}
	if req.Flags&abi.NRRxRingsOnly != 0 { // others have buffers to receive, see rxSide.fill
		tx, hostTx = 0, 0
	}
	return (tx + rx + hostTx + hostRx) * int(slots), nil
}

// AcceptOffsets returns EINVAL for offsets that leave too little room for a frame of the
// interface's MTU.
func (p *Port) AcceptOffsets(most uint32) error {
	if need := uint32(p.link.mtu) + frameOverhead; most+need > p.memory.MaxFrame() {
		return fault.New(syscall.EINVAL, "use offsets on", p.Title(),
			"behind %d bytes a frame of its MTU of %d, with %d bytes around it, has no room in a "+
				"buffer of %d; use smaller offsets or larger buffers",
			most, p.link.mtu, frameOverhead, p.memory.MaxFrame())
	}
	return nil
}

// frameOverhead is the number of bytes of a frame beyond the MTU: addresses, type, a VLAN tag.
const frameOverhead = 18

func (p *Port) makeRings() {
	for i := range max(p.link.queues.Tx, p.link.queues.Rx) {
		q := &queue{id: i}
		p.queues = append(p.queues, q)
		if i < p.link.queues.Tx {
			q.tx = newTxSide(p)
			q.tx.ring = kring.New(fmt.Sprintf("%s TX%d", p.Title(), i), abi.DirTx, uint16(i), p.cfg.Slots,
				q.tx.sync)
			q.tx.ring.News, q.tx.ring.Leaf = kring.Silent, true
			p.rings[abi.DirTx] = append(p.rings[abi.DirTx], q.tx.ring)
		}
		if i < p.link.queues.Rx {
			q.rx = newRxSide(p)
			q.rx.ring = kring.New(fmt.Sprintf("%s RX%d", p.Title(), i), abi.DirRx, uint16(i), p.cfg.Slots,
				q.rx.sync)
			q.rx.ring.News, q.rx.ring.Leaf = kring.Readable, true
			p.rings[abi.DirRx] = append(p.rings[abi.DirRx], q.rx.ring)
		}
	}
}

var (
	_ port.Port           = (*Port)(nil)
	_ port.Describer      = (*Port)(nil)
	_ port.OffsetAcceptor = (*Port)(nil)
	_ port.Stamper        = (*Port)(nil)
	_ port.Abandoner      = (*Port)(nil)
)

// Rings returns the rings of a direction.
func (p *Port) Rings(dir kring.Dir) []*kring.Ring { return p.rings[dir] }

// Trouble returns the reason why no frame can move: the interface is down, or gone. Nil means that
// it works.
func (p *Port) Trouble() error {
	if t := p.trouble.Load(); t != nil {
		return t
	}
	return nil
}

// Follow makes the port wake w when Trouble or Title changes.
func (p *Port) Follow(w kring.Waiter) { p.follower.Store(&w) }

// Index returns the index of the interface.
func (p *Port) Index() int { return p.link.index }

// Bare reports whether the interface's frames have no Ethernet header.
func (p *Port) Bare() bool { return p.link.facts.Bare() }

// Prefix returns the prefix of frames for the host while Generic returns true.
func (p *Port) Prefix() xsk.Prefix { return xsk.Prefix{Secret: p.cfg.Secret, Bare: p.Bare()} }

// Address returns the link-layer address of the interface.
func (p *Port) Address() net.HardwareAddr { return p.link.facts.Address }

// MaxTx returns the number of bytes that can be sent from one slot.
func (p *Port) MaxTx() uint32 { return p.maxTx }

// Slots returns the number of slots of a ring.
func (p *Port) Slots() uint32 { return p.cfg.Slots }

// Mode returns the mode, and whether it has been chosen yet.
func (p *Port) Mode() (mode xsk.Mode, chosen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.chosen
}

// Generic reports whether a generic XDP program is on the interface.
func (p *Port) Generic() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.program != nil && p.mode == xsk.Generic
}

// Start opens the socket of the ring's queue, unless the other direction has it open, and gives the
// ring its memory.
//
// Start an rx ring before the tx ring of its queue: a tx ring that starts first sets buffers aside
// for the rx ring, see rxSide.fill.
func (p *Port) Start(r *kring.Ring) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.watch.inNamespace(func() error { return p.start(r) })
}

func (p *Port) start(r *kring.Ring) error {
	q := p.queues[r.ID]
	if err := p.permit(r.Dir == abi.DirRx); err != nil {
		return err
	}
	if err := r.Alloc(p.region, true); err != nil {
		return err
	}
	fresh := q.socket == nil
	if err := p.openQueue(q, r.Dir == abi.DirRx); err != nil {
		r.Free(0, r.N)
		return err
	}
	if r.Dir == abi.DirTx {
		q.tx.start(q.socket)
		return nil
	}
	r.FD.Store(int32(q.socket.FD()))
	q.rx.start(q.socket, fresh)
	if err := p.program.Put(q.id, q.socket); err != nil {
		p.stop(r)
		return err
	}
	return nil
}

// Stop frees the ring's memory, gives the queue of an rx ring back to the host, and closes what is
// no longer used.
func (p *Port) Stop(r *kring.Ring) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stop(r)
}

func (p *Port) stop(r *kring.Ring) {
	q := p.queues[r.ID]
	r.FD.Store(-1)
	if r.Dir == abi.DirTx {
		q.tx.stop()
	} else {
		if p.program != nil {
			p.program.Remove(q.id)
		}
		q.rx.stop()
	}
	if (q.tx == nil || !q.tx.ring.Mapped()) && (q.rx == nil || !q.rx.ring.Mapped()) {
		p.closeQueue(q)
	}
	p.tidy()
}

// Abandon gives up an interface that is gone. An interface that was moved to another network
// namespace belongs to the host there, and its index may belong to another interface now.
func (p *Port) Abandon() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.detach()
	p.giveBack()
}

// Close ends the port. All rings must be stopped.
func (p *Port) Close() error {
	p.retrier.close()
	p.watch.close()
	p.letGo()
	return nil
}

// report passes on what happened to the interface.
func (p *Port) report(e event.Event) {
	if p.cfg.OnEvent != nil {
		e.Interface = p.Title()
		p.cfg.OnEvent(e)
	}
}

// fail records why nothing can move any more, or nil if the interface works again, and wakes all
// waiters.
func (p *Port) fail(kind *event.Kind, why *fault.Error) {
	p.trouble.Store(why)
	e := event.Event{Kind: kind}
	if why != nil {
		e.Reason = why.Hint
	}
	p.report(e)
	for _, rings := range p.rings {
		for _, r := range rings {
			r.Waiters.Wake()
		}
	}
	p.tellFollower()
}

func (p *Port) tellFollower() {
	if f := p.follower.Load(); f != nil {
		(*f).Wake()
	}
}
