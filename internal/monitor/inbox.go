package monitor

import (
	"sync"
	"sync/atomic"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// inbox is an rx ring of a monitor, to which the taps on both of the parent's rings of the same
// number deliver.
type inbox struct {
	port   *Port
	ring   *kring.Ring
	parent [2]*kring.Ring // by direction; nil for a ring that does not exist or is not watched

	attached bool                  // guarded by the registry's lock
	next     atomic.Pointer[inbox] // the next monitor in a chain

	mu   sync.Mutex // held while frames are delivered
	open bool
}

func (in *inbox) setOpen(open bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open = open
}

// attach adds the inbox to the taps of the parent's rings.
func (in *inbox) attach() {
	for _, r := range in.parent {
		if r != nil {
			r.Hold()
			tapOf(r).add(in)
			r.Drop()
		}
	}
	in.attached = true
	if r := in.parent[abi.DirRx]; r != nil && !in.port.zero {
		r.Waiters.Join(in)
		in.ring.Source.Store(r)
	}
}

// detach undoes attach. It does nothing the second time: an orphan is detached before its rings are
// stopped.
func (in *inbox) detach() {
	if !in.attached {
		return
	}
	in.attached = false
	if r := in.ring.Source.Swap(nil); r != nil {
		r.Waiters.Leave(in)
	}
	for _, r := range in.parent {
		if r != nil {
			r.Hold()
			tapOf(r).remove(in)
			r.Drop()
		}
	}
	in.next.Store(nil)
}

// Wake implements kring.Waiter. It is called when frames have come to the parent's rx ring; the
// monitor's next sync fetches them.
func (in *inbox) Wake() { in.ring.Waiters.Wake() }

// sync gives the frames that the program has read to the next monitor in the chain, if there is
// one, releases their slots, and fetches the frames that have arrived at the parent.
func (in *inbox) sync(r *kring.Ring, _ kring.Memory) error {
	if k, head := r.HwCur.Load(), r.Head(); k != head {
		if next := in.next.Load(); next != nil && next.take(r, k, head, fromMonitor) {
			next.ring.Waiters.Wake()
		}
		r.HwCur.Store(head)
	}
	in.fetch()
	if in.port.orphan.Load() {
		r.Publish() // what is queued stays readable
		return in.port.gone
	}
	return nil
}

// fetch syncs the parent's rx ring without its program, for a copy monitor. All copy monitors of
// the ring get the frames that this sync finds.
func (in *inbox) fetch() {
	r := in.ring.Source.Load()
	if r == nil {
		return
	}
	r.Hold()
	defer r.Drop()
	t, ok := r.Tap().(*tap)
	if !ok || !r.Mapped() { // the monitor is being detached, or nobody has the ring open
		return
	}
	tail := r.HwTail.Load()
	t.puller = in
	r.Sync(r, nil) // the parent's program gets an error in its own sync
	t.puller = nil
	if r.News != kring.Called && r.HwTail.Load() != tail {
		r.Waiters.Wake() // nobody else tells the parent's program
	}
}

// origin determines the flags of the monitor's slot. It keeps those flags of the parent's slot that
// describe the frame; flags that the parent's program and the port exchange are dropped. It sets a
// flag that tells in which ring the frame was taken; in a chain that flag is kept.
type origin struct{ keep, set uint16 }

const ofFrame = 0xffff &^ (abi.NSBufChanged | abi.NSReport | abi.NSIndirect | abi.NSTxMon)

var (
	fromTx      = origin{ofFrame, abi.NSTxMon}
	fromRx      = origin{ofFrame, 0}
	fromMonitor = origin{ofFrame | abi.NSTxMon, 0}
)

// take takes frames from the slots of a ring, from slot from up to slot to. If there is no room for
// all, it takes the newest. The caller holds that ring. It reports whether it took any.
func (in *inbox) take(src *kring.Ring, from, to uint32, o origin) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.open {
		return false
	}
	r := in.ring
	from = in.skip(src, from, to)
	if from == to {
		return false
	}
	tail, bad, frames, bytes := r.HwTail.Load(), uint64(0), uint64(0), uint64(0)
	plain := r.Bufs() == src.Bufs() && !r.HasOffsets() && !src.HasOffsets()
	for k := from; k != to; k = src.Next(k) {
		w, slot := src.Slot(k).Word(), r.Slot(tail)
		flags := w.Flags()&o.keep | o.set
		switch own := slot.Word(); {
		case !r.Bufs().Valid(own.BufIdx()): // the monitor's program left no buffer here
			slot.SetWord(abi.MakeSlotWord(0, 0, flags))
			bad++
		case !src.Bufs().Valid(w.BufIdx()): // the parent's program left no buffer there
			slot.SetWord(abi.MakeSlotWord(own.BufIdx(), 0, flags))
			bad++
		case in.port.zero:
			if !plain {
				moveToStart(src, k, w)
			}
			slot.SetWord(abi.MakeSlotWord(w.BufIdx(), in.length(w), flags))
			src.Slot(k).SetWord(abi.MakeSlotWord(own.BufIdx(), in.length(own), w.Flags()|abi.NSBufChanged))
		case !plain:
			slot.SetWord(abi.MakeSlotWord(own.BufIdx(), in.copy(slot, own, src, k, w), flags))
		default:
			r.Bufs().Copy(own.BufIdx(), w.BufIdx(), uint32(in.length(w)))
			slot.SetWord(abi.MakeSlotWord(own.BufIdx(), in.length(w), flags))
		}
		if bytes += uint64(slot.Word().Len()); flags&abi.NSMoreFrag == 0 {
			frames++
		}
		tail = r.Next(tail)
	}
	r.Traffic.Add(frames, bytes)
	r.Drops.Add(kring.BadBuffer, bad)
	r.HwTail.Store(tail)
	return true
}

// copy copies a frame between buffers of different regions, or of rings that have offsets. It
// returns the number of bytes that found room.
func (in *inbox) copy(slot *abi.Slot, own abi.SlotWord, src *kring.Ring, k uint32,
	w abi.SlotWord) uint16 {
	at, room := in.ring.Span(slot)
	from := src.Bufs().Bytes(w.BufIdx())[src.OffsetOf(src.Slot(k)):]
	from = from[:min(int(w.Len()), len(from))]
	return uint16(copy(in.ring.Bufs().Bytes(own.BufIdx())[at:at+room], from))
}

// moveToStart moves the frame in slot k to the start of its buffer. A zero-copy monitor gets that
// buffer, and has no offsets.
func moveToStart(src *kring.Ring, k uint32, w abi.SlotWord) {
	b := src.Bufs().Bytes(w.BufIdx())
	copy(b[:min(int(w.Len()), len(b))], b[src.OffsetOf(src.Slot(k)):])
}

// skip returns the first slot of those that the monitor has room for. It skips whole packets and
// counts them as drops.
func (in *inbox) skip(src *kring.Ring, from, to uint32) uint32 {
	n, room := src.Dist(from, to), in.ring.Room()
	if n <= room {
		return from
	}
	more, lost := false, uint64(0)
	for ; n > room || more && n > 0; n-- {
		if more = src.Slot(from).Word().Flags()&abi.NSMoreFrag != 0; !more {
			lost++
		}
		from = src.Next(from)
	}
	if more { // the packet's end comes later
		lost++
	}
	in.ring.Drops.Add(kring.NoRoom, lost)
	return from
}

// length returns the length in a slot, at most the size of a buffer.
func (in *inbox) length(w abi.SlotWord) uint16 {
	return uint16(min(uint32(w.Len()), in.ring.Bufs().Size()))
}
