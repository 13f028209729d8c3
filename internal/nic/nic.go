//go:build linux

// Package nic is a network interface as a port: one AF_XDP socket a queue, over the region's buffer pool as UMEM.
//
// A slot's buffer index and a UMEM chunk are the same number. A received frame is handed over by writing its chunk into
// a slot, a sent one by putting the slot's chunk into a descriptor; nothing is copied here. Which mode the kernel works
// in is found out when the first ring starts: zero-copy where driver and memory allow it, XDP in the driver with a copy
// by the kernel, or generic XDP, which any interface has.
//
// Queues whose rx ring nobody has open keep their traffic with the host.
package nic

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// DefaultSlots is the number of slots of a ring.
const DefaultSlots = 1024

// Config says how to open an interface.
type Config struct {
	Slots     uint32       // of a ring; 0 is DefaultSlots
	Mode      *xsk.Mode    // the mode to use, nil to find out
	OnState   func(string) // hears of the mode chosen, of settings changed and of link changes; may be nil
	OnTrouble func(error)  // hears of what could not be put back; may be nil
	Promisc   bool         // receive frames for any address
	StateDir  string       // directory where changed settings are recorded, "" for takeover.DefaultDir
	Prefix    uint64       // frames that start with it are for the host: see xsk.AttachGeneric
}

// Port is a network interface.
type Port struct {
	name   string
	cfg    Config
	link   linkInfo
	region *mem.Region
	memory xsk.Memory
	queues []*queue
	rings  [2][]*kring.Ring
	watch  *watcher
	maxTx  uint32 // bytes that can be sent from one slot

	trouble   atomic.Pointer[fault.Error]  // why nothing can move: down, or gone
	follower  atomic.Pointer[kring.Waiter] // hears when that changes
	described atomic.Pointer[description]

	mu      sync.Mutex // what follows
	program *xsk.Program
	mode    xsk.Mode
	chosen  bool
	first   *xsk.Socket // some open socket, whose UMEM the others share
	taken   *takeover.Taken
	// segments is how many slots a packet may have that is sent. It does not change while any socket is open.
	segments uint32
	noStamps error // why frames come without stamps
}

// queue is a queue pair of the interface and its socket.
type queue struct {
	id     int
	socket *xsk.Socket
	tx     *txSide
	rx     *rxSide
}

// Open makes a port of the interface in the calling thread's network namespace. Nothing happens to the interface before a
// ring starts. ENXIO when there is no such interface. Start says EINVAL when its frames do not fit the region's buffers.
func Open(region *mem.Region, name string, cfg Config) (*Port, error) {
	link, err := findLink(name)
	if err != nil {
		return nil, err
	}
	if cfg.Slots == 0 {
		cfg.Slots = DefaultSlots
	}
	if cfg.StateDir == "" {
		cfg.StateDir = takeover.DefaultDir()
	}
	p := &Port{name: name, cfg: cfg, link: link, region: region}
	pool, offset, stride := region.BufPool()
	p.memory = xsk.Memory{Mem: pool, Stride: stride, Contiguous: region.Contiguous(), Skew: offset % shm.HugePage, Spare: region.Spare()}
	p.maxTx = p.memory.MaxTx()
	p.makeRings()
	if p.watch, err = watch(p); err != nil {
		return nil, err
	}
	return p, nil
}

// AcceptOffsets says EINVAL for offsets behind which a frame of the interface's MTU has no room.
func (p *Port) AcceptOffsets(most uint32) error {
	if need := uint32(p.link.mtu) + frameOverhead; most+need > p.memory.MaxFrame() {
		return fault.New(syscall.EINVAL, "use offsets on", p.name, "behind %d bytes a frame of its MTU of %d, with %d bytes around it, has no room in a buffer of %d; use smaller offsets or larger buffers",
			most, p.link.mtu, frameOverhead, p.memory.MaxFrame())
	}
	return nil
}

// frameOverhead is what a frame has beyond the MTU: addresses, type, a VLAN tag.
const frameOverhead = 18

func (p *Port) makeRings() {
	for i := range max(p.link.txQueues, p.link.rxQueues) {
		q := &queue{id: i}
		p.queues = append(p.queues, q)
		if i < p.link.txQueues {
			q.tx = newTxSide(p)
			q.tx.ring = kring.New(fmt.Sprintf("%s TX%d", p.name, i), abi.DirTx, uint16(i), p.cfg.Slots, q.tx.sync)
			p.rings[abi.DirTx] = append(p.rings[abi.DirTx], q.tx.ring)
		}
		if i < p.link.rxQueues {
			q.rx = newRxSide(p)
			q.rx.ring = kring.New(fmt.Sprintf("%s RX%d", p.name, i), abi.DirRx, uint16(i), p.cfg.Slots, q.rx.sync)
			p.rings[abi.DirRx] = append(p.rings[abi.DirRx], q.rx.ring)
		}
	}
}

// Rings are the rings of a direction.
func (p *Port) Rings(dir uint16) []*kring.Ring { return p.rings[dir] }

// Trouble is why nothing can move: the interface is down, or gone. Nil is that all is well.
func (p *Port) Trouble() error {
	if t := p.trouble.Load(); t != nil {
		return t
	}
	return nil
}

// Follow has w woken when Trouble changes.
func (p *Port) Follow(w kring.Waiter) { p.follower.Store(&w) }

// Interface is the index of the interface and its MTU, as they were when the port was opened.
func (p *Port) Interface() (index, mtu int) { return p.link.index, p.link.mtu }

// MaxTx is how many bytes can be sent from one slot.
func (p *Port) MaxTx() uint32 { return p.maxTx }

// Slots is the number of slots of a ring.
func (p *Port) Slots() uint32 { return p.cfg.Slots }

// Mode is how frames travel, and whether that has been found out yet.
func (p *Port) Mode() (mode xsk.Mode, chosen bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mode, p.chosen
}

// Generic says whether a generic XDP program is on the interface.
func (p *Port) Generic() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.program != nil && p.mode == xsk.Generic
}

// Start opens the socket of the ring's queue, unless the other direction has it open, and gives the ring its memory.
//
// An rx ring is better started before the tx ring of its queue, which otherwise takes buffers for it: see rxSide.fill.
func (p *Port) Start(r *kring.Ring) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.watch.inNamespace(func() error { return p.start(r) })
}

func (p *Port) start(r *kring.Ring) error {
	q := p.queues[r.ID]
	if err := r.Alloc(p.region, true); err != nil {
		return err
	}
	fresh := q.socket == nil
	if err := p.openQueue(q, r.Dir == abi.DirRx); err != nil {
		r.Free(0, r.N)
		return err
	}
	r.FD.Store(int32(q.socket.FD()))
	if r.Dir == abi.DirTx {
		q.tx.start(q.socket)
		return nil
	}
	q.rx.start(q.socket, fresh)
	if err := p.program.Put(q.id, q.socket); err != nil {
		p.stop(r)
		return err
	}
	return nil
}

// openQueue opens the queue's socket. The socket has both directions, because the other may be wanted later and a bound
// socket cannot be changed.
func (p *Port) openQueue(q *queue, receives bool) (err error) {
	defer func() {
		if err != nil {
			p.tidy()
		}
	}()
	if err := p.take(takeover.Needs{Channels: p.link.wish}); err != nil {
		return err
	}
	if p.chosen && p.program == nil && (receives || p.mode == xsk.ZeroCopy) {
		if err := p.attach(); err != nil {
			return err
		}
	}
	if q.socket != nil {
		return nil
	}
	if p.chosen {
		q.socket, err = p.openSocket(q, p.mode)
	} else {
		q.socket, err = p.choose(q, receives)
	}
	if err == nil && p.first == nil {
		p.first = q.socket
		p.report(fmt.Sprintf("%s: %v", p.name, p.mode))
	}
	return err
}

// take readies the interface, on top of what was done before. One with an XDP program is somebody else's, and stays as it
// is; sending alone needs nothing of it.
func (p *Port) take(needs takeover.Needs) (err error) {
	if p.program == nil && (needs.Channels != nil || len(needs.Off) > 0) {
		if err := xsk.Free(p.link.index); err != nil {
			return err
		}
	}
	if p.taken == nil {
		p.taken, err = takeover.Take(p.cfg.StateDir, p.link.index, needs)
		return err
	}
	return p.taken.Need(needs)
}

// tidy gives up what no open queue needs any more: the XDP program, and in the end the interface itself.
func (p *Port) tidy() {
	if !p.needsProgram() {
		p.detach()
	}
	if p.first != nil || p.program != nil || p.taken == nil {
		return
	}
	err := p.watch.inNamespace(p.taken.Restore)
	if err != nil && p.cfg.OnTrouble != nil {
		p.cfg.OnTrouble(err)
	}
	p.taken = nil
}

func (p *Port) openSocket(q *queue, mode xsk.Mode) (*xsk.Socket, error) {
	c := xsk.Config{Ifindex: p.link.index, Queue: q.id, Size: ringSize(p.cfg.Slots), Rx: true, Tx: true, Mode: mode, Memory: &p.memory, Share: p.first}
	if q.rx != nil {
		c.Fill = q.rx.fill(mode)
	}
	s, err := xsk.Open(c)
	if err != nil {
		q.rx.unfill(c.Fill)
		return nil, err
	}
	if err := p.fits(s.Multi(), mode); err != nil {
		s.Close()
		q.rx.unfill(c.Fill)
		return nil, err
	}
	if p.first == nil {
		p.segments = p.most(s.Multi(), mode)
	}
	return s, nil
}

// most is how many pieces a packet may have that is sent.
func (p *Port) most(multi bool, mode xsk.Mode) uint32 {
	switch {
	case !multi:
		return 1
	case mode == xsk.ZeroCopy:
		return uint32(min(max(p.link.segments, 1), abi.MaxFrags))
	}
	return maxSegments
}

// maxSegments is how many pieces a packet may have in the copy modes. The kernel makes a fragment of a socket buffer of
// each, and drivers that send from our memory have no other room than that. // MAX_SKB_FRAGS
const maxSegments = 17

// fits says whether the interface's frames fit: into buffers, or where a packet may take several of them, in any case.
func (p *Port) fits(multi bool, mode xsk.Mode) error {
	most := p.memory.MaxFrame()
	if multi || uint32(p.link.mtu)+frameOverhead <= most {
		if mode == xsk.ZeroCopy && p.link.kilobytes && uint32(p.link.mtu)+frameOverhead > most&^1023 {
			return fault.New(syscall.EINVAL, "open", p.name, "in zero-copy mode its driver uses whole KiB of a buffer, that is %d bytes of %d, and a frame may have %d", most&^1023, most, p.link.mtu+frameOverhead)
		}
		return nil
	}
	how := fmt.Sprintf("lower the MTU: 'ip link set dev %s mtu %d'", p.name, most-frameOverhead)
	large := xsk.Memory{Stride: jumboBuffer, Spare: p.memory.Spare}
	if uint32(p.link.mtu)+frameOverhead <= large.MaxFrame() {
		how = fmt.Sprintf("use buffers of %d bytes (netmap serve --buffer-size %[1]d), or ", jumboBuffer) + how
	}
	return fault.New(syscall.EINVAL, "open", p.name, "its MTU is %d, a buffer of %d bytes takes a frame of MTU %d, and in %v mode neither this kernel nor the driver splits frames over several; %s",
		p.link.mtu, p.memory.Stride, most-frameOverhead, mode, how)
}

// jumboBuffer is the largest buffer that is of use: AF_XDP wants what it fills to be no larger than a page.
const jumboBuffer = 4096

// ringSize is the size of AF_XDP rings for a netmap ring: the power of two that holds its slots.
func ringSize(slots uint32) uint32 {
	n := uint32(64)
	for n < slots {
		n *= 2
	}
	return n
}

// choose finds the best mode that works, opens the first socket in it, and attaches the XDP program where the mode or the
// direction needs it.
func (p *Port) choose(q *queue, receives bool) (*xsk.Socket, error) {
	var err error
	for _, p.mode = range p.candidates() {
		var s *xsk.Socket
		if s, err = p.try(q, p.mode, receives); err == nil {
			p.chosen = true
			return s, nil
		}
		if hopeless(err) {
			break
		}
	}
	return nil, err
}

func (p *Port) candidates() []xsk.Mode {
	if p.cfg.Mode != nil {
		return []xsk.Mode{*p.cfg.Mode}
	}
	return []xsk.Mode{xsk.ZeroCopy, xsk.Native} // attach falls back from native to generic
}

// try opens a socket in a mode. In the copy modes one that only sends needs no program, and leaves an interface that has
// a program already alone.
func (p *Port) try(q *queue, mode xsk.Mode, receives bool) (*xsk.Socket, error) {
	if mode == xsk.ZeroCopy && !p.link.zeroCopy && p.cfg.Mode == nil {
		return nil, fault.New(syscall.EOPNOTSUPP, "open", p.name, "its driver has no zero-copy")
	}
	if receives || mode == xsk.ZeroCopy {
		if err := p.attach(); err != nil {
			return nil, err
		}
	}
	s, err := p.openSocket(q, mode)
	if err != nil {
		p.detach()
	}
	return s, err
}

// attach attaches the XDP program, and has the interface receive frames as they are on the wire. Sockets are the same in both copy modes, so generic is what is left where the driver
// has no XDP, or not with these queues or this MTU.
func (p *Port) attach() (err error) {
	if err := p.take(takeover.Needs{Off: takeover.Breaking, Promisc: p.cfg.Promisc}); err != nil {
		return err
	}
	if p.memory.Spare > 0 {
		if p.program, p.noStamps = xsk.AttachStamping(p.link.index, len(p.queues), p.mode); p.noStamps == nil {
			return nil
		}
	}
	p.program, err = p.attachAs(p.mode)
	if err == nil || p.mode != xsk.Native || p.cfg.Mode != nil || hopeless(err) {
		return err
	}
	if p.program, err = p.attachAs(xsk.Generic); err == nil {
		p.mode = xsk.Generic
	}
	return err
}

// Stamps says why received frames do not come with the time of their arrival; nil if they do. Some rx ring is started.
func (p *Port) Stamps() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.memory.Spare == 0:
		return fault.New(syscall.EOPNOTSUPP, "open", p.name, "there is no room for time stamps in the region; use netmap serve --rx-timestamps, or embed.Config.RxTimestamps")
	case p.program == nil:
		return fault.New(syscall.EOPNOTSUPP, "open", p.name, "no rx ring is open, and time stamps are of received frames")
	}
	return p.noStamps
}

// attachAs attaches a program. Only generic XDP sees what host rings give to the host.
func (p *Port) attachAs(mode xsk.Mode) (*xsk.Program, error) {
	if mode == xsk.Generic && p.cfg.Prefix != 0 {
		return xsk.AttachGeneric(p.link.index, len(p.queues), p.cfg.Prefix)
	}
	return xsk.Attach(p.link.index, len(p.queues), mode)
}

// hopeless says whether no other mode would fare better.
func hopeless(err error) bool { return errors.Is(err, syscall.EBUSY) || errors.Is(err, syscall.EPERM) }

func (p *Port) detach() {
	if p.program != nil {
		p.program.Close()
		p.program = nil
	}
}

// Stop takes the ring's memory, gives an rx queue back to the host, and closes what nobody uses any more.
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
		p.program.Remove(q.id)
		q.rx.stop()
	}
	if (q.tx == nil || !q.tx.ring.Mapped()) && (q.rx == nil || !q.rx.ring.Mapped()) {
		p.closeQueue(q)
	}
	p.tidy()
}

// closeQueue closes the socket. The kernel is done with its buffers then.
func (p *Port) closeQueue(q *queue) {
	q.socket.Close()
	if p.first == q.socket {
		p.first = nil
	}
	q.socket = nil
	if q.tx != nil {
		q.tx.freeHeld()
	}
	if q.rx != nil {
		q.rx.freeHeld()
	}
	for _, o := range p.queues {
		if p.first == nil {
			p.first = o.socket
		}
	}
}

// needsProgram says whether any ring receives, or any socket is there in zero-copy mode, which drivers tie to a program.
func (p *Port) needsProgram() bool {
	for _, q := range p.queues {
		if q.rx != nil && q.rx.ring.Mapped() || q.socket != nil && p.mode == xsk.ZeroCopy {
			return true
		}
	}
	return false
}

// Close ends the port; all rings are stopped.
func (p *Port) Close() error {
	p.watch.close()
	return nil
}

func (p *Port) report(what string) {
	if p.cfg.OnState != nil {
		p.cfg.OnState(what)
	}
}

// fail notes why nothing moves any more, or that all is well again, and wakes everybody so that they see it.
func (p *Port) fail(why *fault.Error) {
	p.trouble.Store(why)
	if why != nil {
		p.report(why.Error())
	} else {
		p.report(p.name + ": up again")
	}
	for _, rings := range p.rings {
		for _, r := range rings {
			r.Waiters.Wake()
		}
	}
	if f := p.follower.Load(); f != nil {
		(*f).Wake()
	}
}
