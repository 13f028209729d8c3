package engine

import (
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Transparent mode: slots of an interface's rx rings that the program releases with NS_FORWARD go to the other side, those of
// hardware rings to the host, those of host rings to the wire, in the program's next sync or poll. A ring asks for it with
// NR_FORWARD; Config.Forward asks for all rings and all slots. // NR_FORWARD, NS_FORWARD

// forward passes on what the program releases. The ring is held, and its prologue done.
func (b *Binding) forward(r *kring.Ring) {
	if b.netIf == nil || r.HwCur.Load() == r.Head() || !b.eng.cfg.Forward && !r.WantsForward() {
		return
	}
	switch hw := len(b.netIf.Rings(abi.DirRx)); {
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
		k = b.netIf.host.Send(r, k, end)
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

// forwardDown exchanges slots of a host ring with free ones of the tx rings, all of which are the program's, and sends them.
// What finds no room is lost.
func (b *Binding) forwardDown(r *kring.Ring) {
	k, end := r.HwCur.Load(), r.Head()
	for _, tx := range b.rings[abi.DirTx][:len(b.netIf.Rings(abi.DirTx))] {
		if k == end {
			return
		}
		if !hold(tx) {
			continue
		}
		if tx.Prologue() {
			k = b.exchange(r, k, end, tx)
			finish(tx) // an error is for the program, which will meet it
		}
		tx.Drop()
	}
	for ; k != end; k = packetEnd(r, k, end) {
		if b.forwards(r.Slot(k).Word()) {
			r.Drops.Add(kring.NoRoom, 1)
		}
	}
}

// exchange moves packets from slot k on, as many as a tx ring has room for, and returns the first slot that it did not look at.
func (b *Binding) exchange(r *kring.Ring, k, end uint32, tx *kring.Ring) uint32 {
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
		for ; k != next; k = r.Next(k) {
			from, to := r.Slot(k), tx.Slot(head)
			w, free := from.Word(), to.Word()
			to.SetWord(abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()&abi.NSMoreFrag|abi.NSBufChanged))
			from.SetWord(abi.MakeSlotWord(free.BufIdx(), w.Len(), abi.NSBufChanged))
			if r.HasOffsets() {
				offset := r.OffsetOf(from)
				r.SetOffset(from, tx.OffsetOf(to))
				tx.SetOffset(to, offset)
			}
			head = tx.Next(head)
		}
	}
	if head != first {
		tx.Advance(head)
	}
	return k
}
