//go:build linux

package nic

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// rxSide is a queue's receiving half.
//
// The framework can fill N-1 of the ring's N slots, so the kernel has N-1 buffers when the program
// has none. A slot of the framework has no buffer of its own; a received frame brings its buffer
// along.
type rxSide struct {
	port   *Port
	ring   *kring.Ring
	socket *xsk.Socket
	held   held
	stamps bool // frames come with the time of their arrival
}

func newRxSide(p *Port) *rxSide { return &rxSide{port: p, held: newHeld(p.memory.Buffers())} }

// fill lists buffers that the kernel can receive into as soon as a socket is bound: those of the
// new ring. If only the tx ring is open, it sets buffers aside, because igb without any never
// receives in zero-copy mode.
func (x *rxSide) fill(mode xsk.Mode) (bufs []uint32) {
	zeroCopy, most := mode == xsk.ZeroCopy, int(x.ring.N-1)
	if x.ring.Mapped() {
		for i := range x.ring.N {
			if buf := x.ring.Slot(i).Word().BufIdx(); len(bufs) < most &&
				x.port.memory.CanFill(buf, zeroCopy) {
				bufs = append(bufs, buf)
			}
		}
		return bufs
	}
	if !zeroCopy {
		return nil
	}
	all, _ := x.port.region.NewBufs(x.port.Title(), most) // without them the port still sends
	for _, buf := range all {
		if x.port.memory.CanFill(buf, true) {
			bufs = append(bufs, buf)
			x.held[buf] = inside
		} else {
			x.port.region.FreeBuf(buf)
		}
	}
	return bufs
}

// unfill frees buffers that fill set aside, when no socket has them. Buffers of a ring stay with
// the ring.
func (x *rxSide) unfill(bufs []uint32) {
	for _, buf := range bufs {
		if x.held.remove(buf) == inside {
			x.port.region.FreeBuf(buf)
		}
	}
}

// start gives the kernel the buffers of the new ring, unless a new socket was opened with them. If
// the socket was open before, for sending, the kernel may still have buffers of an earlier ring;
// frames that those received meanwhile are discarded.
func (x *rxSide) start(s *xsk.Socket, fresh bool) {
	x.socket = s
	x.stamps = x.port.memory.Spare > 0 && x.port.noStamps == nil
	x.discard()
	x.held.fit(func(buf uint32) bool { return x.ring.Bufs().Valid(buf) && s.CanFill(buf) })
	room, posted, n := s.FillRoom(x.ring.N-1), uint32(0), x.held.count(inside)
	for i := range x.ring.N {
		buf := x.ring.Slot(i).Word().BufIdx()
		x.ring.Slot(i).SetWord(0)
		if n == x.ring.N-1 || posted == room || x.held.of(buf) != outside {
			x.port.region.FreeBuf(buf)
			continue
		}
		if !fresh {
			s.FillAt(posted, buf)
			posted++
		}
		x.held[buf] = inside
		n++
	}
	s.FillCommit(posted)
	s.Wake()
}

// discard takes back the buffers of frames that were received for an earlier ring.
func (x *rxSide) discard() {
	n := x.socket.RxReady(x.ring.N)
	for i := range n {
		if buf, _, _, _ := x.socket.RxAt(i); x.held.remove(buf) == inside {
			x.port.region.FreeBuf(buf)
		}
	}
	x.socket.RxRelease(n)
}

// stop frees the ring with the buffers that the program has. The kernel keeps its buffers until the
// socket closes.
func (x *rxSide) stop() {
	x.ring.Free(x.ring.HwCur.Load(), x.ring.Dist(x.ring.HwCur.Load(), x.ring.HwTail.Load()))
}

// freeHeld frees the kernel's buffers, after the socket has been closed.
func (x *rxSide) freeHeld() {
	x.socket = nil
	x.held.take(inside, unfit, func(buf uint32) { x.port.region.FreeBuf(buf) })
}

// sync gives the buffers of released slots to the kernel and takes received frames.
func (x *rxSide) sync(r *kring.Ring, _ kring.Memory) error {
	if t := x.port.trouble.Load(); t != nil {
		return t
	}
	if r.HwCur.Load() != r.Head() {
		x.release(r)
	} else {
		x.socket.KickRx() // the driver may have run out of buffers
	}
	x.socket.PollDriver()
	x.receive(r)
	return nil
}

// release gives the buffers of the slots up to head to the kernel. An invalid buffer, or one that
// the kernel already has, is dropped and counted: the ring goes on with fewer.
func (x *rxSide) release(r *kring.Ring) {
	s, k, head, slots, held := x.socket, r.HwCur.Load(), r.Head(), r.Slots(), x.held
	room, posted, bad := s.FillRoom(r.N), uint32(0), uint64(0)
	fill := s.Filler()
	for ; k != head; k = r.Next(k) {
		buf := slots[k].Word().BufIdx()
		if held.of(buf) != outside || posted == room {
			bad++
			continue
		}
		held[buf] = inside
		fill.Set(posted, buf)
		posted++
	}
	r.Drops.Add(kring.BadBuffer, bad)
	s.FillCommit(posted)
	s.KickRx()
	r.HwCur.Store(head)
}

// receive writes received frames into the slots from the tail on, as long as there is room for
// whole packets. A packet has at most as many buffers as the kernel was given, which are no more
// than the slots.
func (x *rxSide) receive(r *kring.Ring) {
	s, tail := x.socket, r.HwTail.Load()
	n := s.RxWhole(s.RxReady(r.N - 1 - r.Dist(r.HwCur.Load(), tail)))
	if n == 0 {
		return
	}
	slots, offsets, frames, bytes := r.Slots(), r.HasOffsets(), uint64(0), uint64(0)
	for i := range n {
		buf, _, length, more := s.RxAt(i)
		if offsets {
			length = x.place(r, r.Slot(tail), buf, length)
		}
		flags := uint16(0)
		if more {
			flags = abi.NSMoreFrag
		} else {
			frames++
		}
		bytes += uint64(length)
		x.held.remove(buf)
		slots[tail].SetWord(abi.MakeSlotWord(buf, uint16(length), flags))
		tail = r.Next(tail)
	}
	if x.stamps && !offsets {
		x.stamp(r, n)
	}
	s.RxRelease(n)
	r.HwTail.Store(tail)
	r.Traffic.Add(frames, bytes)
}

// stamp writes the time of arrival of their frames into the n slots from the tail on.
func (x *rxSide) stamp(r *kring.Ring, n uint32) {
	k := r.HwTail.Load()
	for i := range n {
		buf, _, _, _ := x.socket.RxAt(i) // not from the slot: the program may have changed it
		r.Slot(k).Ptr = x.socket.Stamp(buf)
		k = r.Next(k)
	}
}

// place moves a frame to the offset of its slot: the kernel puts every frame at the start of a
// buffer, and could write past the buffer's end if it started later. A frame that has no room there
// leaves an empty slot.
func (x *rxSide) place(r *kring.Ring, slot *abi.Slot, buf, length uint32) uint32 {
	at, room := r.Span(slot)
	if length > room {
		r.Drops.Add(kring.BadLength, 1)
		return 0
	}
	if at > 0 {
		b := r.Bufs().Bytes(buf)
		copy(b[at:at+length], b[:length])
	}
	return length
}
