//go:build linux

package nic

import (
	"errors"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/capability"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/takeover"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// queue is a queue pair of the interface and its socket.
type queue struct {
	id     int
	socket *xsk.Socket
	tx     *txSide
	rx     *rxSide
}

// permit returns EPERM, before anything is changed, if this process lacks capabilities for the
// interface. The error names all that are missing.
func (p *Port) permit(receives bool) error {
	need := []capability.Capability{capability.NetRaw}
	tied := p.choice.Try[0] == xsk.ZeroCopy || p.cfg.Mode != nil && *p.cfg.Mode == xsk.Native
	if receives || tied || p.link.wish != nil {
		need = append(need, capability.NetAdmin, capability.BPF)
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit) == nil && limit.Cur < uint64(len(p.memory.Mem)) {
		need = append(need, capability.IPCLock)
	}
	return capability.Need("use", p.Title(), need...)
}

// openQueue opens the queue's socket. The socket has both directions, because the other one may be
// needed later and a bound socket cannot be changed.
func (p *Port) openQueue(q *queue, receives bool) (err error) {
	defer func() {
		if err != nil {
			p.tidy()
		}
	}()
	if err := p.take(takeover.Needs{Channels: p.link.wish}); err != nil {
		return err
	}
	if p.chosen && p.program == nil && (receives || p.isTied()) {
		if err := p.attach(); err != nil {
			return err
		}
	}
	if q.socket != nil {
		return nil
	}
	if err := p.pin(); err != nil {
		return err
	}
	if p.chosen {
		q.socket, err = p.openSocket(q, p.mode)
	} else {
		q.socket, err = p.choose(q, receives)
	}
	if err == nil && p.first == nil {
		p.first = q.socket
		p.report(event.Event{Kind: event.InUse, Mode: p.mode.String(), Reason: p.whyMode()})
		p.note()
	}
	return err
}

// WillBeFree reports whether an error of Start means that this process has just closed the queue
// and the kernel frees it within seconds.
func WillBeFree(err error) bool { return xsk.WillBeFree(err) }

// take prepares the interface, in addition to earlier changes. An interface with another XDP
// program is not changed; sending alone needs no change.
func (p *Port) take(needs takeover.Needs) (err error) {
	if p.program == nil && (needs.Channels != nil || len(needs.Off) > 0) {
		if err := xsk.Free(p.link.index); err != nil {
			return err
		}
	}
	var before string
	if p.taken == nil {
		p.taken, err = takeover.Take(p.cfg.StateDir, p.link.index, needs)
	} else {
		before = p.taken.Changes()
		err = p.taken.Need(needs)
	}
	if err == nil && p.taken.Changes() != before {
		p.report(event.Event{Kind: event.Changed, Setting: p.taken.Changes()})
	}
	return err
}

// pin keeps all buffers in memory, for the sockets' UMEM.
func (p *Port) pin() error {
	if p.pinned {
		return nil
	}
	if err := p.region.Pin(p.Title()); err != nil {
		return err
	}
	p.pinned, p.memory.Contiguous = true, p.region.Contiguous()
	size := uint64(len(p.memory.Mem))
	p.report(event.Event{Kind: event.Pinned, Bytes: size, Queues: len(p.queues),
		KernelBytes: p.memory.KernelBytes(size)})
	return nil
}

// tidy gives up what no open queue needs any more: the XDP program, and after the last queue the
// buffers' memory and the interface itself.
func (p *Port) tidy() {
	if p.pinned && p.first == nil {
		p.pinned = false
		p.region.Unpin()
	}
	if !p.needsProgram() {
		p.detach()
	}
	if p.first == nil && p.program == nil {
		p.giveBack()
	}
}

// giveBack gives back the interface and those below it. Those below may still exist when the
// interface is gone.
func (p *Port) giveBack() {
	if p.taken == nil && p.below == nil {
		return
	}
	changes := ""
	err := p.watch.inNamespace(func() (err error) {
		if p.taken != nil {
			changes = p.taken.Changes()
			err = p.taken.Restore()
			p.taken = nil
		}
		return errors.Join(err, p.giveBackBelow())
	})
	switch {
	case err != nil:
		p.report(event.Event{Kind: event.NotRestored, Err: err})
	case changes != "" && (p.dev == nil || !p.dev.Gone()):
		p.report(event.Event{Kind: event.Restored, Setting: changes})
	}
}

// takeBelow prepares the interfaces through which frames come, before the interface itself: when an
// interface turns LRO off, the kernel turns it off for good on the interfaces below, and nothing
// can turn it on there.
func (p *Port) takeBelow() (err error) {
	if p.below == nil {
		p.below, err = TakeBelow(p.link.facts, p.cfg.StateDir)
	}
	return err
}

// giveBackBelow gives back the interfaces that frames come through.
func (p *Port) giveBackBelow() (err error) {
	if p.below != nil {
		err = p.below()
		p.below = nil
	}
	return err
}

// roomHints are the hints for a kernel that has no memory for a queue's state.
var roomHints = fault.Hints{
	syscall.ENOMEM: "the kernel wants so much for each queue; have fewer buffers (netmap serve " +
		"--buffers, or embed.Config.Buffers) or fewer queues (ethtool -L)",
}

func (p *Port) openSocket(q *queue, mode xsk.Mode) (*xsk.Socket, error) {
	c := xsk.Config{Ifindex: p.link.index, Queue: q.id, Size: ringSize(p.cfg.Slots), Rx: true,
		Tx: true, Mode: mode,
		Memory: &p.memory, Share: p.first, BusyPoll: int(p.cfg.BusyPoll.Microseconds())}
	if q.rx != nil {
		c.Fill = q.rx.fill(mode)
	}
	err := mem.KernelRoom(p.memory.KernelBytes(uint64(len(p.memory.Mem))))
	if err != nil {
		err = roomHints.Wrap(err, "open", p.Title())
	}
	var s *xsk.Socket
	if err == nil {
		s, err = xsk.Open(c)
	}
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

// most returns the largest number of pieces of a sent packet.
func (p *Port) most(multi bool, mode xsk.Mode) uint32 {
	switch {
	case !multi:
		return 1
	case mode == xsk.ZeroCopy:
		return uint32(min(max(p.link.segments, 1), abi.MaxFrags))
	}
	return nicfacts.MaxSegments
}

// fits returns an error if the interface's frames do not fit into buffers. A packet that may take
// several buffers fits, but some drivers use only whole KiB of a buffer in zero-copy mode.
func (p *Port) fits(multi bool, mode xsk.Mode) error {
	most := p.memory.MaxFrame()
	if multi || uint32(p.link.mtu)+frameOverhead <= most {
		if mode == xsk.ZeroCopy && p.link.kilobytes && uint32(p.link.mtu)+frameOverhead > most&^1023 {
			return fault.New(syscall.EINVAL, "open", p.Title(),
				"in zero-copy mode its driver uses whole KiB of a buffer, that is %d bytes of "+
					"%d, and a frame may have %d", most&^1023, most, p.link.mtu+frameOverhead)
		}
		return nil
	}
	how := fmt.Sprintf("lower the MTU: 'ip link set dev %s mtu %d'", p.Title(), most-frameOverhead)
	large := xsk.Memory{Stride: jumboBuffer, Spare: p.memory.Spare}
	if uint32(p.link.mtu)+frameOverhead <= large.MaxFrame() {
		how = fmt.Sprintf("use buffers of %d bytes (netmap serve --buffer-size %[1]d), or ",
			jumboBuffer) + how
	}
	return fault.New(syscall.EINVAL, "open", p.Title(),
		"its MTU is %d, a buffer of %d bytes takes a frame of MTU %d, and in %v mode neither "+
			"this kernel nor the driver splits frames over several; %s",
		p.link.mtu, p.memory.Stride, most-frameOverhead, mode, how)
}

// jumboBuffer is the largest useful buffer: AF_XDP fills at most a page.
const jumboBuffer = 4096

// ringSize returns the size of AF_XDP rings for a netmap ring: the power of two that holds its
// slots.
func ringSize(slots uint32) uint32 {
	n := uint32(64)
	for n < slots {
		n *= 2
	}
	return n
}

// closeQueue closes the socket. After that the kernel does not use its buffers any more.
func (p *Port) closeQueue(q *queue) {
	if q.tx != nil {
		q.tx.leave()
	}
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
