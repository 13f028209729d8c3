//go:build linux

package nic

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// txSide is a queue's sending half.
//
// Frames come back from sending in any order, but slots in theirs: the buffer that comes back first goes into the slot
// that was handed over first. Mostly that is where it came from. The slot at the tail, one more than is in flight, stays
// with the framework and has its buffer.
type txSide struct {
	port   *Port
	ring   *kring.Ring
	socket *xsk.Socket
	held   held // sent from this ring and not back
	stray  held // sent from an earlier ring that was stopped
	bad    bool // dropping the rest of a packet of several slots
}

func newTxSide(p *Port) *txSide {
	n := p.memory.Buffers()
	return &txSide{port: p, held: newHeld(n), stray: newHeld(n)}
}

func (x *txSide) start(s *xsk.Socket) { x.socket, x.bad = s, false }

// stop frees the ring with the buffers that are in its slots; the kernel's stay with it until the socket closes.
func (x *txSide) stop() {
	r := x.ring
	r.Free(r.HwCur.Load(), r.N-x.inFlight(r))
	x.held.take(func(buf uint32) { x.stray.add(buf) })
}

// freeHeld takes the kernel's buffers, after the socket has been closed.
func (x *txSide) freeHeld() {
	x.socket = nil
	x.stray.take(func(buf uint32) { x.port.region.FreeBuf(buf) })
}

// sync hands the slots up to head to the kernel and takes back those whose frames are out.
func (x *txSide) sync(r *kring.Ring) error {
	if t := x.port.trouble.Load(); t != nil {
		return t
	}
	if r.HwCur.Load() != r.Head() {
		x.send(r)
	}
	var err error
	if x.socket.TxPending() > 0 {
		if e := x.socket.KickTx(); e != nil {
			err = fault.New(syscall.EIO, "send on", x.port.name, "the kernel says: %v; bring the interface up, or open it again", e)
		}
	}
	x.reclaim(r)
	return err
}

// send puts the slots up to head into the kernel's ring. A frame that cannot be sent is dropped, and its buffer takes the
// next slot to be given back.
func (x *txSide) send(r *kring.Ring) {
	s, bufs, k, head := x.socket, r.Bufs(), r.HwCur.Load(), r.Head()
	room, posted := s.TxRoom(r.Dist(k, head)), uint32(0)
	for ; k != head; k = r.Next(k) {
		slot := r.Slot(k)
		w := slot.Word()
		if why, bad := x.check(w, bufs.Valid(w.BufIdx()), bufs.Size()); bad || posted == room {
			if !bad {
				why = kring.NoRoom
			}
			r.Drops.Add(why, 1)
			x.giveBack(r, w.BufIdx())
			continue
		}
		if w.Flags()&(abi.NSBufChanged|abi.NSReport) != 0 {
			slot.Flags = w.Flags() &^ (abi.NSBufChanged | abi.NSReport)
		}
		x.held.add(w.BufIdx())
		s.TxAt(posted, w.BufIdx(), 0, uint32(w.Len()))
		posted++
	}
	s.TxCommit(posted)
	r.HwCur.Store(head)
}

// check finds what is wrong with a slot. AF_XDP sends a frame from one buffer.
func (x *txSide) check(w abi.SlotWord, valid bool, size uint32) (kring.Reason, bool) {
	more := w.Flags()&abi.NSMoreFrag != 0
	fragment := more || x.bad
	x.bad = more
	switch {
	case fragment:
		return kring.TooManyFrags, true
	case !valid:
		return kring.BadBuffer, true
	case uint32(w.Len()) > size:
		return kring.BadLength, true
	case w.Len() < etherHead:
		return kring.TooShort, true
	}
	return 0, false
}

const etherHead = 14

// inFlight is how many slots wait for a buffer to come back.
func (x *txSide) inFlight(r *kring.Ring) uint32 {
	return r.Dist(r.Next(r.HwTail.Load()), r.HwCur.Load())
}

// reclaim takes back the buffers of frames that are out.
func (x *txSide) reclaim(r *kring.Ring) {
	s := x.socket
	n := s.Done(r.N)
	for i := range n {
		switch buf := s.DoneAt(i); {
		case x.held.remove(buf):
			x.giveBack(r, buf)
		case x.stray.remove(buf):
			x.port.region.FreeBuf(buf)
		case x.inFlight(r) > 0: // the program sent one buffer from two slots
			x.giveBack(r, buf)
		}
	}
	s.DoneRelease(n)
}

// giveBack puts a buffer into the slot that is due to be given back.
func (x *txSide) giveBack(r *kring.Ring, buf uint32) {
	k := r.Next(r.HwTail.Load())
	if w := r.Slot(k).Word(); w.BufIdx() != buf {
		if r.Tap() != nil {
			x.bringFrame(r, k, buf)
			w = r.Slot(k).Word()
		}
		r.Slot(k).SetWord(abi.MakeSlotWord(buf, w.Len(), w.Flags()|abi.NSBufChanged))
	}
	r.HwTail.Store(k)
}

// farthest is how far a frame may have overtaken others for a monitor to see it with its own length.
const farthest = 64

// bringFrame exchanges slot k with the one from which the buffer was sent, so that the frame's length and flags stay with
// it: a monitor looks at what is given back. Programs do not.
func (x *txSide) bringFrame(r *kring.Ring, k, buf uint32) {
	w := r.Slot(k).Word()
	for j, n := r.Next(k), 0; j != r.Head() && n < farthest; j, n = r.Next(j), n+1 {
		if o := r.Slot(j).Word(); o.BufIdx() == buf {
			r.Slot(k).SetWord(o)
			r.Slot(j).SetWord(abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()|abi.NSBufChanged))
			return
		}
	}
}
