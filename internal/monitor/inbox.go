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
	parent [2]*kring.Ring // by direction; nil where there is none, or it is not watched

	attached bool                  // the registry's lock
	next     atomic.Pointer[inbox] // in a chain

	mu   sync.Mutex // of those who deliver
	open bool
}

func (in *inbox) setOpen(open bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.open = open
}

// attach hangs the inbox on the parent's rings.
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

// detach is the inverse; an orphan's rings have been detached before they are stopped.
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

// Wake implements kring.Waiter: something has come to the parent's rx ring, and a sync will fetch
// it.
func (in *inbox) Wake() { in.ring.Waiters.Wake() }

// sync gives back what the program read, to the next one in the chain if there is one, and fetches
// what has arrived at the parent.
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

// fetch syncs the parent's rx ring without its program, for a copy monitor. Whatever that finds,
// all copy monitors of the ring get.
func (in *inbox) fetch() {
	r := in.ring.Source.Load()
	if r == nil {
		return
	}
	r.Hold()
	defer r.Drop()
	t, ok := r.Tap().(*tap)
	if !ok || !r.Mapped() { // an orphan in a moment, or a ring that nobody has open
		return
	}
	tail := r.HwTail.Load()
	t.puller = in
	r.Sync(r, nil) // an error is for the parent's program, which will meet it
	t.puller = nil
	if r.News != kring.Called && r.HwTail.Load() != tail {
		r.Waiters.Wake() // nobody else tells the parent's program
	}
}

// origin says what becomes of a slot's flags: the monitor's has those that say something about the
// frame, not what the parent's program and the port say to each other, and where the frame was
// taken. In a chain that is known already.
type origin struct{ keep, set uint16 }

const ofFrame = 0xffff &^ (abi.NSBufChanged | abi.NSReport | abi.NSIndirect | abi.NSTxMon)

var (
	fromTx      = origin{ofFrame, abi.NSTxMon}
	fromRx      = origin{ofFrame, 0}
	fromMonitor = origin{ofFrame | abi.NSTxMon, 0}
)

// take takes the frames in a ring's slots from slot from up to slot to, as many as there is room
// for, the newest. The caller holds that ring. It says whether there is something new.
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
		case !src.Bufs().Valid(w.BufIdx()): // nor the parent's there
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

// copy copies a frame between buffers of different regions, or of rings that have offsets, and says
// how much of it there was room for.
func (in *inbox) copy(slot *abi.Slot, own abi.SlotWord, src *kring.Ring, k uint32,
	w abi.SlotWord) uint16 {
	at, room := in.ring.Span(slot)
	from := src.Bufs().Bytes(w.BufIdx())[src.OffsetOf(src.Slot(k)):]
	from = from[:min(int(w.Len()), len(from))]
	return uint16(copy(in.ring.Bufs().Bytes(own.BufIdx())[at:at+room], from))
}

// moveToStart has the frame in slot k start where its buffer does. A zero-copy monitor has no
// offsets, and gets the buffer.
func moveToStart(src *kring.Ring, k uint32, w abi.SlotWord) {
	b := src.Bufs().Bytes(w.BufIdx())
	copy(b[:min(int(w.Len()), len(b))], b[src.OffsetOf(src.Slot(k)):])
}

// skip is where to begin so that the rest finds room. Packets go whole, and are counted.
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
	if more { // its end is still to come
		lost++
	}
	in.ring.Drops.Add(kring.NoRoom, lost)
	return from
}

// length is a slot's length, no more than a buffer.
func (in *inbox) length(w abi.SlotWord) uint16 {
	return uint16(min(uint32(w.Len()), in.ring.Bufs().Size()))
}
