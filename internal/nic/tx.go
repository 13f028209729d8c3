//go:build linux

package nic

import (
	"encoding/binary"
	"sync"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// txSide is a queue's sending half.
//
// Buffers come back from sending in any order, but slots come back in the order of the ring: the
// buffer that comes back first goes into the slot that was handed over first, usually the one that
// it came from. The framework keeps the slot at the tail with its buffer, so it has one slot more
// than are in flight.
//
// The kernel gets whole packets. The slots of a packet whose last slot the program has not handed
// over wait between next and HwCur.
type txSide struct {
	port    *Port
	ring    *kring.Ring
	mu      sync.Mutex    // guards the following fields, which the retrier uses, too
	socket  *xsk.Socket   // nil if none is open
	next    uint32        // the first slot that is neither sent nor dropped
	held    held          // inside: handed to the kernel and not back
	packets kring.Packets // packets of several slots
	refusal refusal
	frames  uint64 // handed to the kernel, and not counted yet
	bytes   uint64 // the bytes of these frames
	longest uint32 // largest length of a frame in this sync
}

func newTxSide(p *Port) *txSide {
	return &txSide{port: p, held: newHeld(p.memory.Buffers())}
}

func (x *txSide) start(s *xsk.Socket) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.socket, x.next = s, 0
	x.packets.Reset()
	x.held.fit(func(buf uint32) bool { return x.ring.Bufs().Valid(buf) && s.CanSend(buf) })
}

// stop frees the ring with the buffers in its slots. The kernel keeps its buffers until the socket
// closes.
func (x *txSide) stop() {
	x.mu.Lock()
	defer x.mu.Unlock()
	r := x.ring
	r.Free(x.next, r.N-x.inFlight(r))
	x.held.take(inside, strayed, func(uint32) {})
}

// leave ends the use of the socket, which the caller is about to close.
func (x *txSide) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.socket, x.frames, x.bytes = nil, 0, 0 // frames that still wait are lost
}

// freeHeld frees the kernel's buffers, after the socket has been closed.
func (x *txSide) freeHeld() {
	x.held.take(strayed, unfit, func(buf uint32) { x.port.region.FreeBuf(buf) })
}

// sync hands the slots up to head to the kernel and takes back those whose frames have been sent.
func (x *txSide) sync(r *kring.Ring, _ kring.Memory) error {
	if t := x.port.trouble.Load(); t != nil {
		return t
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if r.HwCur.Load() != r.Head() {
		x.send(r)
	}
	err := x.kick()
	if x.inFlight(r) > 0 {
		x.socket.PollSent()
	}
	x.reclaim(r)
	return err
}

// send puts the slots up to head into the kernel's ring. A frame that cannot be sent is dropped,
// and its buffer goes into the next slot to be given back.
func (x *txSide) send(r *kring.Ring) {
	s, bufs, k, head := x.socket, r.Bufs(), x.next, r.Head()
	room, posted, offset, most := s.TxRoom(r.Dist(k, head)), uint32(0), uint32(0), x.port.maxTx
	offsets, frames, bytes := r.HasOffsets(), uint64(0), uint64(0)
	x.longest = x.port.longest(s)
	limit := min(most, x.longest)
	for k != head {
		if !offsets && !x.packets.InRest() {
			if k, posted = x.sendPlain(r, k, posted, room, limit); k == head {
				break
			}
		}
		slot := r.Slot(k)
		w := slot.Word()
		if w.Flags()&abi.NSMoreFrag != 0 || x.packets.InRest() {
			slots, sent := x.sendPacket(r, k, posted, room)
			if slots == 0 {
				break // the packet's end comes later
			}
			k, posted = (k+slots)%r.N, posted+sent
			continue
		}
		k = r.Next(k)
		if offsets {
			offset, most = x.place(r, slot)
			limit = min(most, x.longest)
		}
		if x.held.of(w.BufIdx()) != outside || uint32(w.Len()) > limit || w.Len() < etherHead ||
			posted == room {
			if why, bad := x.check(bufs, w, offset, most); bad || posted == room {
				if !bad {
					why = kring.NoRoom
				}
				r.Drops.Add(why, 1)
				x.giveBack(r, w.BufIdx())
				continue
			}
		}
		frames++
		bytes += uint64(w.Len())
		x.post(slot, w, posted, offset)
		posted++
	}
	s.TxCommit(posted)
	x.next = k
	r.HwCur.Store(head)
	x.frames, x.bytes = x.frames+frames, x.bytes+bytes
}

// sendPlain puts frames into the kernel's ring as long as they are plain: each is one slot, its
// buffer is outside, it is not longer than the limit, and there is room. It returns the first slot
// that it leaves to send, and the number of entries in the kernel's ring.
func (x *txSide) sendPlain(r *kring.Ring, k, posted, room, limit uint32) (uint32, uint32) {
	head, slots, held, entries := r.Head(), r.Slots(), x.held, x.socket.Sender()
	before, bytes := posted, uint64(0)
	for k != head && posted != room {
		slot := &slots[k]
		w := slot.Word()
		buf, length, flags := w.BufIdx(), uint32(w.Len()), w.Flags()
		if held.of(buf) != outside || length < etherHead || length > limit || flags&abi.NSMoreFrag != 0 {
			break
		}
		if flags&(abi.NSBufChanged|abi.NSReport) != 0 {
			slot.Flags = flags &^ (abi.NSBufChanged | abi.NSReport)
		}
		held[buf] = inside
		entries.Set(posted, buf, length)
		posted++
		bytes += uint64(length)
		k = r.Next(k)
	}
	x.frames += uint64(posted - before)
	x.bytes += bytes
	return k, posted
}

// post writes a slot's frame into entry i of the kernel's ring.
func (x *txSide) post(slot *abi.Slot, w abi.SlotWord, i, offset uint32) {
	if w.Flags()&(abi.NSBufChanged|abi.NSReport) != 0 {
		slot.Flags = w.Flags() &^ (abi.NSBufChanged | abi.NSReport)
	}
	if x.held[w.BufIdx()] == outside { // else it was sent from two slots, or from an old ring
		x.held[w.BufIdx()] = inside
	}
	x.socket.TxAt(i, w.BufIdx(), offset, uint32(w.Len()), w.Flags()&abi.NSMoreFrag != 0)
}

// check returns what is wrong with a frame in one slot. The frame starts at an offset in its buffer
// and has room for most bytes.
func (x *txSide) check(bufs shm.Bufs, w abi.SlotWord, offset, most uint32) (kring.Reason, bool) {
	switch length := uint32(w.Len()); {
	case x.held.of(w.BufIdx()) == unfit:
		return kring.BadBuffer, true
	case length > most:
		return kring.BadLength, true
	case length < etherHead:
		return kring.TooShort, true
	case x.exceeds(length, bufs.Bytes(w.BufIdx())[offset:]):
		return kring.TooLongForMTU, true
	}
	return 0, false
}

// exceeds reports whether a frame is longer than what may be sent. start is the frame's first
// bytes: the MTU does not count a second VLAN tag, either.
func (x *txSide) exceeds(length uint32, start []byte) bool {
	return length > x.longest && (length > x.longest+vlanTag || len(start) < etherHead+vlanTag ||
		!isTag(start[12:]) || !isTag(start[16:]))
}

const vlanTag = 4

// isTag reports whether p starts with a VLAN tag: IEEE 802.1Q, or 802.1ad.
func isTag(p []byte) bool {
	kind := binary.BigEndian.Uint16(p)
	return kind == 0x8100 || kind == 0x88a8
}

// sendPacket puts the packet that starts at slot k into the kernel's ring, all of it or nothing. It
// returns the number of slots that are processed, 0 if the packet's end has not been handed over,
// and the number of entries written.
func (x *txSide) sendPacket(r *kring.Ring, k, posted, room uint32) (slots, sent uint32) {
	packet, state := x.packets.Next(r, k, x.port.segments)
	n := uint32(len(packet))
	why, bad := kring.TooManyFrags, true
	switch state {
	case kring.Pending:
		return 0, 0
	case kring.Whole:
		if why, bad = x.checkPacket(packet, r.Bufs()); !bad && n > room-posted {
			why, bad = kring.NoRoom, true
		}
	}
	switch {
	case !bad:
		x.frames++
	case state != kring.Rest: // the rest was counted when the packet's start was dropped
		r.Drops.Add(why, 1)
	}
	for i, p := range packet {
		if bad {
			x.giveBack(r, p.BufIdx())
			continue
		}
		x.bytes += uint64(p.Len())
		x.post(r.Slot((k+uint32(i))%r.N), p.SlotWord, posted+uint32(i), p.Offset)
		sent++
	}
	return n, sent
}

// place returns where the frame in a slot starts, and its largest length.
func (x *txSide) place(r *kring.Ring, slot *abi.Slot) (offset, most uint32) {
	offset = r.OffsetOf(slot)
	return offset, min(x.port.maxTx, r.Bufs().Size()-offset)
}

// checkPacket returns what is wrong with a packet of several slots. Its first slot must hold the
// Ethernet header, where drivers look for it. The kernel takes no empty piece.
func (x *txSide) checkPacket(packet []kring.Fragment, bufs shm.Bufs) (kring.Reason, bool) {
	first, length := packet[0], uint32(0)
	for _, p := range packet {
		if x.held.of(p.BufIdx()) == unfit {
			return kring.BadBuffer, true
		}
		if p.Len() == 0 || uint32(p.Len()) > min(p.Room, x.port.maxTx) {
			return kring.BadLength, true
		}
		length += uint32(p.Len())
	}
	switch {
	case first.Len() < etherHead:
		return kring.TooShort, true
	case length > nicfacts.MaxPacket:
		return kring.BadLength, true
	case x.exceeds(length, bufs.Bytes(first.BufIdx())[first.Offset:][:first.Len()]):
		return kring.TooLongForMTU, true
	}
	return 0, false
}

const etherHead = 14

// inFlight returns the number of slots that wait for a buffer to come back.
func (x *txSide) inFlight(r *kring.Ring) uint32 {
	return r.Dist(r.Next(r.HwTail.Load()), x.next)
}

// reclaim takes back the buffers of frames that have been sent.
func (x *txSide) reclaim(r *kring.Ring) {
	s, tail, slots, held := x.socket, r.HwTail.Load(), r.Slots(), x.held
	n := s.Done(r.N)
	for i := range n {
		buf := s.DoneAt(i)
		// Buffers usually come back in the order in which they were sent.
		if next := r.Next(tail); held.of(buf) == inside && slots[next].Word().BufIdx() == buf {
			held[buf], tail = outside, next
			continue
		}
		switch was := x.held.remove(buf); {
		case was == inside:
			tail = x.giveBackAfter(r, tail, buf)
		case was == strayed:
			x.port.region.FreeBuf(buf)
		case r.Dist(r.Next(tail), x.next) > 0: // the program sent one buffer from two slots
			tail = x.giveBackAfter(r, tail, buf)
		}
	}
	s.DoneRelease(n)
	r.HwTail.Store(tail)
}

// giveBack puts a buffer into the next slot to be given back.
func (x *txSide) giveBack(r *kring.Ring, buf uint32) {
	r.HwTail.Store(x.giveBackAfter(r, r.HwTail.Load(), buf))
}

// giveBackAfter is giveBack for a caller that stores the tail once for many buffers. It takes the
// tail, and returns the next one.
func (x *txSide) giveBackAfter(r *kring.Ring, tail, buf uint32) uint32 {
	k := r.Next(tail)
	if w := r.Slot(k).Word(); w.BufIdx() != buf {
		if r.Tap() != nil {
			x.bringFrame(r, k, buf)
			w = r.Slot(k).Word()
		}
		r.Slot(k).SetWord(abi.MakeSlotWord(buf, w.Len(), w.Flags()|abi.NSBufChanged))
	}
	return k
}

// farthest is the largest number of frames that a frame may overtake so that a monitor still sees
// it with its own length.
const farthest = 64

// bringFrame exchanges slot k with the slot from which the buffer was sent, so that the frame's
// length, flags and offset stay with the buffer. Monitors read slots that are given back; programs
// do not.
func (x *txSide) bringFrame(r *kring.Ring, k, buf uint32) {
	w := r.Slot(k).Word()
	for j, n := r.Next(k), 0; j != r.Head() && n < farthest; j, n = r.Next(j), n+1 {
		if o := r.Slot(j).Word(); o.BufIdx() == buf {
			r.Slot(k).Ptr, r.Slot(j).Ptr = r.Slot(j).Ptr, r.Slot(k).Ptr
			r.Slot(k).SetWord(o)
			r.Slot(j).SetWord(abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()|abi.NSBufChanged))
			return
		}
	}
}
