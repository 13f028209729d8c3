package session

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Transparent mode: slots of an interface's rx rings that the program releases with a flag
// (NS_FORWARD) go to the other side in the program's next sync or poll: slots of hardware rings to
// the host, slots of host rings to the wire. The ring must have a flag, too (NR_FORWARD).
// Config.Forward applies to all rings and all slots without flags.

// forward forwards the slots that the program releases. The ring is held, after its prologue.
func (s *Session) forward(r *kring.Ring) {
	if s.host == nil || r.HwCur.Load() == r.Head() || !s.env.Forward && !r.WantsForward() {
		return
	}
	switch hw := len(s.target.Port.Rings(abi.DirRx)); {
	case int(r.ID) < hw:
		s.forwardUp(r)
	case s.allTx:
		s.forwardDown(r)
	}
}

// forwards reports whether a slot is to be forwarded.
func (s *Session) forwards(w abi.SlotWord) bool {
	return w.Flags()&abi.NSForward != 0 || s.env.Forward
}

// forwardUp passes frames to the host. The first slot of a frame decides whether the frame is
// passed.
func (s *Session) forwardUp(r *kring.Ring) {
	for k, end := r.HwCur.Load(), r.Head(); k != end; {
		w := r.Slot(k).Word()
		if !s.forwards(w) {
			k = packetEnd(r, k, end)
			continue
		}
		r.Slot(k).Flags = w.Flags() &^ abi.NSForward
		k = s.host.SendToHost(r, k, end)
	}
}

// packetEnd returns the slot after the packet that starts at slot k, at most end.
func packetEnd(r *kring.Ring, k, end uint32) uint32 {
	for k != end {
		more := r.Slot(k).Word().Flags()&abi.NSMoreFrag != 0
		if k = r.Next(k); !more {
			break
		}
	}
	return k
}

// forwardDown moves packets of a host ring to the tx rings, all of which the program has bound, and
// syncs the tx rings. Packets for which there is no room are lost.
func (s *Session) forwardDown(r *kring.Ring) {
	k, end := r.HwCur.Load(), r.Head()
	for _, tx := range s.rings[abi.DirTx][:len(s.target.Port.Rings(abi.DirTx))] {
		if k == end {
			return
		}
		if !tx.TryHold() {
			continue
		}
		if tx.Mapped() && tx.Prologue() {
			k = s.moveDown(r, k, end, tx)
			if tx.Sync(tx, nil) == nil { // the program gets an error at its own next sync
				tx.Publish()
			}
		}
		tx.Drop()
	}
	for ; k != end; k = packetEnd(r, k, end) {
		if s.forwards(r.Slot(k).Word()) {
			r.Drops.Add(kring.NoRoom, 1)
		}
	}
}

// moveDown moves packets from slot k on, as many as a tx ring has room for, and returns the first
// slot that remains. It exchanges buffers if the tx ring allows the offsets of r. Otherwise it
// copies, and a packet that is too long is lost.
func (s *Session) moveDown(r *kring.Ring, k, end uint32, tx *kring.Ring) uint32 {
	swap := r.HasOffsets() == tx.HasOffsets() && r.Offsets().Max <= tx.Offsets().Max
	head, _, tail := tx.Agreed()
	first := head
	for k != end {
		next := packetEnd(r, k, end)
		if !s.forwards(r.Slot(k).Word()) {
			k = next
			continue
		}
		if r.Dist(k, next) > tx.Dist(head, tail) {
			break
		}
		if !swap && !fits(r, k, next, tx, head) {
			r.Drops.Add(kring.BadLength, 1)
			k = next
			continue
		}
		for ; k != next; k = r.Next(k) {
			if from, to := r.Slot(k), tx.Slot(head); swap {
				swapSlots(r, from, tx, to)
			} else {
				s.copySlot(r, from, tx, to)
			}
			head = tx.Next(head)
		}
	}
	if head != first {
		tx.Advance(head)
	}
	return k
}

// swapSlots exchanges the buffers of two slots. The slot of r keeps its offset.
func swapSlots(r *kring.Ring, from *abi.Slot, tx *kring.Ring, to *abi.Slot) {
	w, free := from.Word(), to.Word()
	if tx.HasOffsets() {
		tx.SetOffset(to, r.OffsetOf(from))
	}
	to.SetWord(abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()&abi.NSMoreFrag|abi.NSBufChanged))
	from.SetWord(abi.MakeSlotWord(free.BufIdx(), w.Len(), abi.NSBufChanged))
}

// fits reports whether the part of a packet in each slot from k to end has room in its tx slot.
func fits(r *kring.Ring, k, end uint32, tx *kring.Ring, head uint32) bool {
	for ; k != end; k, head = r.Next(k), tx.Next(head) {
		if _, room := tx.Span(tx.Slot(head)); uint32(r.Slot(k).Word().Len()) > room {
			return false
		}
	}
	return true
}

// copySlot copies the part of a packet in one slot. It checks the length, which the program may
// have changed.
func (s *Session) copySlot(r *kring.Ring, from *abi.Slot, tx *kring.Ring, to *abi.Slot) {
	w, free := from.Word(), to.Word()
	offset, room := tx.Span(to)
	bufs := s.target.Region.Bufs
	part := bufs.Bytes(w.BufIdx())[r.OffsetOf(from):]
	n := copy(bufs.Bytes(free.BufIdx())[offset:][:room], part[:min(len(part), int(w.Len()))])
	to.SetWord(abi.MakeSlotWord(free.BufIdx(), uint16(n), w.Flags()&abi.NSMoreFrag))
}
