package engine

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Transparent mode: slots of an interface's rx rings that the program releases with a flag
// (NS_FORWARD) go to the other side, those of hardware rings to the host, those of host rings to
// the wire, in the program's next sync or poll. A ring asks for it with a flag, too (NR_FORWARD);
// Config.Forward asks for all rings and all slots.

// forward passes on what the program releases. The ring is held, and its prologue done.
func (b *Binding) forward(r *kring.Ring) {
	if b.host == nil || r.HwCur.Load() == r.Head() || !b.eng.cfg.Forward && !r.WantsForward() {
		return
	}
	switch hw := len(b.entry.port.Rings(abi.DirRx)); {
	case int(r.ID) < hw:
		b.forwardUp(r)
	case b.allTx:
		b.forwardDown(r)
	}
}

// forwards says whether a slot is to be passed on.
func (b *Binding) forwards(w abi.SlotWord) bool {
	return w.Flags()&abi.NSForward != 0 || b.eng.cfg.Forward
}

// forwardUp has the host receive frames. Of one in several slots the first says whether.
func (b *Binding) forwardUp(r *kring.Ring) {
	for k, end := r.HwCur.Load(), r.Head(); k != end; {
		w := r.Slot(k).Word()
		if !b.forwards(w) {
			k = packetEnd(r, k, end)
			continue
		}
		r.Slot(k).Flags = w.Flags() &^ abi.NSForward
		k = b.host.SendToHost(r, k, end)
	}
}

// packetEnd is the slot after the packet that starts at slot k, or end.
func packetEnd(r *kring.Ring, k, end uint32) uint32 {
	for k != end {
		more := r.Slot(k).Word().Flags()&abi.NSMoreFrag != 0
		if k = r.Next(k); !more {
			break
		}
	}
	return k
}

// forwardDown moves packets of a host ring to the tx rings, all of which are the program's, and
// sends them. What finds no room is lost.
func (b *Binding) forwardDown(r *kring.Ring) {
	k, end := r.HwCur.Load(), r.Head()
	for _, tx := range b.rings[abi.DirTx][:len(b.entry.port.Rings(abi.DirTx))] {
		if k == end {
			return
		}
		if !hold(tx) {
			continue
		}
		if tx.Prologue() {
			k = b.moveDown(r, k, end, tx)
			finish(tx, nil) // an error is for the program, which will meet it
		}
		tx.Drop()
	}
	for ; k != end; k = packetEnd(r, k, end) {
		if b.forwards(r.Slot(k).Word()) {
			r.Drops.Add(kring.NoRoom, 1)
		}
	}
}

// moveDown moves packets from slot k on, as many as a tx ring has room for, and returns the first
// slot that it did not look at. A packet goes in its buffers if what stands before it may stand
// there in the tx ring; else it is copied, and lost if it is too long for that.
func (b *Binding) moveDown(r *kring.Ring, k, end uint32, tx *kring.Ring) uint32 {
	swap := r.HasOffsets() == tx.HasOffsets() && r.Offsets().Max <= tx.Offsets().Max
	head, _, tail := tx.Agreed()
	first := head
	for k != end {
		next := packetEnd(r, k, end)
		if !b.forwards(r.Slot(k).Word()) {
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
				b.copySlot(r, from, tx, to)
			}
			head = tx.Next(head)
		}
	}
	if head != first {
		tx.Advance(head)
	}
	return k
}

// swapSlots exchanges the buffers of two slots. Frames that the first receives next start where
// they did.
func swapSlots(r *kring.Ring, from *abi.Slot, tx *kring.Ring, to *abi.Slot) {
	w, free := from.Word(), to.Word()
	if tx.HasOffsets() {
		tx.SetOffset(to, r.OffsetOf(from))
	}
	to.SetWord(abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()&abi.NSMoreFrag|abi.NSBufChanged))
	from.SetWord(abi.MakeSlotWord(free.BufIdx(), w.Len(), abi.NSBufChanged))
}

// fits says whether each slot's part of the packet in slots k to end has room in the tx slot that
// it would be copied to.
func fits(r *kring.Ring, k, end uint32, tx *kring.Ring, head uint32) bool {
	for ; k != end; k, head = r.Next(k), tx.Next(head) {
		if _, room := tx.Span(tx.Slot(head)); uint32(r.Slot(k).Word().Len()) > room {
			return false
		}
	}
	return true
}

// copySlot copies one slot's part of a packet. It trusts no length: the program may have changed it
// since.
func (b *Binding) copySlot(r *kring.Ring, from *abi.Slot, tx *kring.Ring, to *abi.Slot) {
	w, free := from.Word(), to.Word()
	offset, room := tx.Span(to)
	bufs := b.entry.region.Bufs
	part := bufs.Bytes(w.BufIdx())[r.OffsetOf(from):]
	n := copy(bufs.Bytes(free.BufIdx())[offset:][:room], part[:min(len(part), int(w.Len()))])
	to.SetWord(abi.MakeSlotWord(free.BufIdx(), uint16(n), w.Flags()&abi.NSMoreFrag))
}
