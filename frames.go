package netmap

import (
	"iter"

	"github.com/seed-48afdc40/netmap/abi"
)

// A frame longer than a buffer lies in several slots, all but the last with abi.NSMoreFrag. What
// follows knows whole frames: MoveTo and CopyTo pass them from ring to ring, a Reader takes them
// out of a ring, and Send puts them in.

// Move says what became of a frame that was to go from one ring to another.
type Move int

// The outcomes of MoveTo and CopyTo.
const (
	Moved      Move = iota // the frame is in the tx ring
	NoRoom                 // it stays: the tx ring has too few free slots just now; wait for Out
	Incomplete             // it stays: its last slot has not arrived yet; wait for In
	TooLong                // it is dropped: one of the two rings has fewer slots than it takes
	Malformed              // it is dropped: a slot names no buffer, or more bytes than are left of one
)

// Stays says whether the frame is still in the rx ring, to be tried again.
func (m Move) Stays() bool { return m == NoRoom || m == Incomplete }

// maxSlotLen is the largest length in bytes that a slot can say.
const maxSlotLen = 1<<16 - 1

// MoveTo passes the frame at the current slot of an rx ring's window, all slots of it, to a tx
// ring's, and returns its length in bytes. Both windows go on behind it; Commit the tx ring's
// first, so that nobody has a buffer twice.
//
// The slots exchange their buffers if both rings are in the same region, and both have offsets or
// none: the frame is not copied and lies in as many slots as before. Otherwise, and where the tx
// ring has too few slots or does not allow an offset as large as the frame's, it is copied, and
// takes as many slots as it needs in the tx ring's buffers, from their offsets on.
//
// A frame that stays is tried again in a later window. One that is dropped counts as gone over.
func (w *Window) MoveTo(tx *Window) (size int, m Move) {
	if w.left > 0 && tx.left > 0 && w.mask|tx.mask == 0 && w.r.bufs == tx.r.bufs {
		from, to := w.Slot(), tx.Slot()
		if word := from.Word(); word.Flags()&abi.NSMoreFrag == 0 && w.sound(word, 0) {
			exchange(to, from, word, 0)
			w.Next()
			tx.Next()
			return int(word.Len()), Moved
		}
	}
	return w.pass(tx, true)
}

// CopyTo is MoveTo that always copies: the received frame and its buffers stay as they are.
func (w *Window) CopyTo(tx *Window) (size int, m Move) {
	if w.left > 0 && tx.left > 0 && w.mask|tx.mask == 0 {
		word := w.Slot().Word()
		n, more := int(word.Len()), word.Flags()&abi.NSMoreFrag != 0
		if !more && w.sound(word, 0) && n <= tx.r.BufSize() {
			copy(tx.Buf(), w.r.bufs.Bytes(word.BufIdx())[:n])
			tx.SetLen(n)
			w.Next()
			tx.Next()
			return n, Moved
		}
	}
	return w.pass(tx, false)
}

// pass passes the frame at the current slot on, in its buffers if it may and they can go.
func (w *Window) pass(tx *Window, swap bool) (int, Move) {
	f, m := w.measure()
	if m == Moved {
		swap = swap && w.r.CanSwap(tx.r) && f.offset <= tx.r.maxOffset && f.slots < int(tx.r.n)
		need := f.slots
		if !swap {
			need = tx.slotsFor(f.size)
		}
		if need > int(tx.left) {
			m = NoRoom
			if most := int(tx.r.n) - 1; need > most || int(tx.left) == most {
				m = TooLong
			}
		}
	}
	switch {
	case m.Stays():
	case m != Moved:
		w.Skip(f.slots)
	case swap:
		w.swap(tx, f.slots)
	default:
		w.copy(tx, f)
	}
	return f.size, m
}

// CanSwap says whether frames of the ring go to a tx ring in their buffers, and are not copied:
// both are in the same region, and both have offsets or none.
func (r *Ring) CanSwap(tx *Ring) bool {
	return r.bufs == tx.bufs && (r.shared.OffsetMask == 0) == (tx.shared.OffsetMask == 0)
}

// Measure looks at the frame that starts at the current slot: how many slots and bytes of it there
// are. The outcome is what MoveTo would say of it, if the tx ring had room without end.
func (w *Window) Measure() (slots, size int, m Move) {
	if w.left > 0 && w.mask == 0 {
		if word := w.Slot().Word(); word.Flags()&abi.NSMoreFrag == 0 && w.sound(word, 0) {
			return 1, int(word.Len()), Moved
		}
	}
	f, m := w.measure()
	return f.slots, f.size, m
}

// extent is how much there is of a frame.
type extent struct {
	slots, size int // size in bytes
	offset      int // the largest in its slots
}

// measure is Measure of any frame.
func (w *Window) measure() (f extent, m Move) {
	for at := w.at; f.slots < int(w.left); at = w.r.Next(at) {
		s := &w.r.slots[at]
		word, offset := s.Word(), w.offsetOf(s)
		if f.slots++; !w.sound(word, offset) {
			m = Malformed
		}
		f.size += int(word.Len())
		f.offset = max(f.offset, offset)
		if word.Flags()&abi.NSMoreFrag == 0 {
			return f, m
		}
	}
	if int(w.left) == int(w.r.n)-1 { // nothing more can arrive
		return f, TooLong
	}
	w.partial = true
	return f, Incomplete
}

// sound says whether a slot names a buffer that has as many bytes from that offset on.
func (w *Window) sound(word abi.SlotWord, offset int) bool {
	return w.r.bufs.Valid(word.BufIdx()) && offset+int(word.Len()) <= int(w.r.bufs.Size())
}

// swap exchanges the buffers of n slots.
func (w *Window) swap(tx *Window, n int) {
	for ; n > 0; n-- {
		from, to := w.Slot(), tx.Slot()
		if w.mask != 0 {
			tx.r.SetOffset(to, w.offsetOf(from))
		}
		more := uint16(abi.NSMoreFrag)
		if n == 1 {
			more = 0
		}
		exchange(to, from, from.Word(), more)
		w.Next()
		tx.Next()
	}
}

// exchange gives the buffer of a received slot, whose word was read before, to a tx slot, and that
// slot's to it. The offset of the rx slot stays: frames that it receives next start where they
// did.
func exchange(tx, rx *abi.Slot, word abi.SlotWord, more uint16) {
	spare := tx.Word().BufIdx()
	tx.SetWord(abi.MakeSlotWord(word.BufIdx(), word.Len(), more|abi.NSBufChanged))
	rx.SetWord(abi.MakeSlotWord(spare, word.Len(), word.Flags()|abi.NSBufChanged))
}

// copy copies a frame, but no more of it than was measured: whoever shares the memory may have
// changed it meanwhile.
func (w *Window) copy(tx *Window, f extent) {
	c, left := cutter{w: tx}, f.size
	for range f.slots {
		piece := w.Frame()
		piece = piece[:min(len(piece), left)]
		left -= len(piece)
		c.write(piece)
		w.Next()
	}
	c.end()
}

// cutter cuts what is written into the slots of a tx ring. It stops at the end of the window.
type cutter struct {
	w    *Window
	used int // bytes in the current slot
}

func (c *cutter) write(b []byte) {
	for len(b) > 0 && c.w.left > 0 {
		space := c.w.space()
		if c.used >= len(space) {
			c.w.SetLen(c.used)
			c.w.Slot().Flags |= abi.NSMoreFrag
			c.w.Next()
			c.used = 0
			continue
		}
		n := copy(space[c.used:], b)
		b, c.used = b[n:], c.used+n
	}
}

// end ends the frame.
func (c *cutter) end() {
	if c.w.left > 0 {
		c.w.SetLen(c.used)
		c.w.Next()
	}
}

// space is where a frame can be written in the current slot of a tx ring. An offset that leaves no
// room becomes 0.
func (w *Window) space() []byte {
	b := w.Buf()
	if len(b) == 0 {
		w.r.SetOffset(w.Slot(), 0)
		b = w.Buf()
	}
	return b[:min(len(b), maxSlotLen)]
}

// slotsFor is how many slots a frame of that size takes: if those of the window do not suffice,
// more than there are.
func (w Window) slotsFor(size int) int {
	if whole := min(w.r.BufSize(), maxSlotLen); w.mask == 0 {
		return max((size+whole-1)/whole, 1)
	}
	for n := 1; w.left > 0; n++ {
		if size -= len(w.space()); size <= 0 {
			return n
		}
		w.Next()
	}
	return int(w.r.n)
}

// Skip goes on behind the next n slots, of which there must be as many.
func (w *Window) Skip(n int) {
	if w.at += uint32(n); w.at >= w.r.n {
		w.at -= w.r.n
	}
	w.left -= uint32(n)
}

// Send copies frames into a tx ring, as many as there is room for, and returns how many. A frame
// longer than a buffer is cut into several slots. They are out after the next TxSync or Poll. An
// empty frame cannot be sent, nor one longer than MaxFrame.
func (r *Ring) Send(frames ...[]byte) (sent int) {
	w := r.Window()
	defer w.Commit()
	for _, f := range frames {
		switch n := len(f); {
		case n == 0:
			return sent
		case w.left > 0 && w.mask == 0 && n <= min(r.BufSize(), maxSlotLen): // nearly all
			copy(w.Buf(), f)
			w.SetLen(n)
			w.Next()
		case w.slotsFor(n) > w.Len():
			return sent
		default:
			c := cutter{w: &w}
			c.write(f)
			c.end()
		}
		sent++
	}
	return sent
}

// MaxFrame is how long in bytes a frame can be that Send puts into the ring when all slots are
// free: it then lies in all but the one that stays with the framework, in each from its offset on.
func (r *Ring) MaxFrame() int {
	whole := min(r.BufSize(), maxSlotLen)
	if r.shared.OffsetMask == 0 {
		return (r.NumSlots() - 1) * whole
	}
	sum, most := 0, 0
	for i := range r.slots {
		room := min(r.BufSize()-r.Offset(&r.slots[i]), maxSlotLen)
		if room == 0 {
			room = whole
		}
		sum, most = sum+room, max(most, room)
	}
	return sum - most
}

// Reader takes the frames out of an rx ring, one after the other, whole. It remembers the
// beginning of a frame whose end has not arrived, so that a ring may be shorter than the frames.
// It is for the goroutine that has the ring, and allocates nothing once it has seen its longest
// frame.
//
//	reader := ring.Reader(9000)
//	for {
//		port.Poll(ctx, netmap.In, -1)
//		for frame := range reader.Frames() {
//			use(frame)
//		}
//	}
type Reader struct {
	w      Window
	keep   int
	joined []byte // what is kept of the frame in several slots that has begun
	begun  bool
	size   int
	ptr    uint64
}

// Reader reads the ring. Of a frame in several slots it keeps the first bytes, keep at most; of
// one in one slot all are there.
func (r *Ring) Reader(keep int) *Reader { return &Reader{w: Window{r: r}, keep: keep} }

// Fill starts a batch: at most so many slots of those that are the program's now. It returns how
// many. Slots of the batch before that were not committed are in it again.
func (d *Reader) Fill(most int) int {
	d.w = d.w.r.Window()
	d.w.left = min(d.w.left, uint32(max(most, 0)))
	return d.w.Len()
}

// Next is the next frame that ends in this batch; false says that there is none. The frame lies in
// the ring, or in memory of the reader's: it is valid until the next call, and not after Commit. A
// slot that names no buffer has a frame of zeros.
func (d *Reader) Next() (frame []byte, ok bool) {
	for d.w.left > 0 {
		s := d.w.Slot()
		word, ptr := s.Word(), s.Ptr
		more, piece := word.Flags()&abi.NSMoreFrag != 0, d.w.piece(s, word)
		d.w.Next()
		if !more && !d.begun {
			d.size, d.ptr = len(piece), ptr
			return piece, true
		}
		if d.join(piece, ptr); !more {
			d.begun = false
			return d.joined, true
		}
	}
	return nil, false
}

// join adds a piece to a frame of several slots.
func (d *Reader) join(piece []byte, ptr uint64) {
	if !d.begun {
		d.begun, d.joined, d.size, d.ptr = true, d.joined[:0], 0, ptr
	}
	d.size += len(piece)
	d.joined = append(d.joined, piece[:min(len(piece), d.keep-len(d.joined))]...)
}

// Size is the length in bytes of the frame that Next returned last, which may have only the first
// of them.
func (d *Reader) Size() int { return d.size }

// Ptr is that of the frame's first slot: on a port opened with RxTimestamps, the time of its
// arrival in nanoseconds.
func (d *Reader) Ptr() uint64 { return d.ptr }

// Commit hands over the slots that Next has gone over.
func (d *Reader) Commit() { d.w.Commit() }

// Frames walks over the frames that end in the slots that are the program's now, and hands these
// over at the end of the loop; one that breaks off keeps the rest. Each frame is valid until the
// loop goes on.
func (d *Reader) Frames() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		d.Fill(d.w.r.NumSlots())
		defer d.Commit()
		for {
			frame, ok := d.Next()
			if !ok || !yield(frame) {
				return
			}
		}
	}
}

// Swap exchanges the buffers of two slots of ports in the same region: a frame that was received
// in one is ready to be sent from the other, uncopied. The tx slot takes the length of the frame
// and whether it goes on in the next slot. Offsets go along, so either both rings have them or
// none. Window.MoveTo does this for whole frames, and copies where it cannot be done.
func Swap(tx, rx *abi.Slot) {
	t, r := tx.Word(), rx.Word()
	tx.SetWord(abi.MakeSlotWord(r.BufIdx(), r.Len(), r.Flags()&abi.NSMoreFrag|abi.NSBufChanged))
	rx.SetWord(abi.MakeSlotWord(t.BufIdx(), r.Len(), r.Flags()|abi.NSBufChanged))
	tx.Ptr, rx.Ptr = rx.Ptr, tx.Ptr
}
