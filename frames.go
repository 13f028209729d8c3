package netmap

import (
	"iter"

	"github.com/seed-48afdc40/netmap/abi"
)

// A frame longer than a buffer takes several slots, all but the last with abi.NSMoreFrag. This file
// is about whole frames: MoveTo and CopyTo pass them from ring to ring, a Reader takes them out of
// a ring, and Send puts them into one.

// Move is the outcome of moving a frame from one ring to another.
type Move int

// The outcomes of MoveTo and CopyTo.
const (
	Moved      Move = iota // the frame is in the tx ring
	NoRoom                 // the frame stays: the tx ring has too few free slots now; wait for Out
	Incomplete             // the frame stays: its last slot has not arrived yet; wait for In
	TooLong                // the frame is dropped: one of the two rings has fewer slots than it needs
	Malformed              // the frame is dropped: a slot has no valid buffer, or exceeds its buffer
)

// Stays reports whether the frame is still in the rx ring, so that it can be tried again.
func (m Move) Stays() bool { return m == NoRoom || m == Incomplete }

// maxSlotLen is the largest length of a slot, in bytes.
const maxSlotLen = 1<<16 - 1

// MoveTo moves the frame at the current slot of an rx ring's window, with all its slots, to a tx
// ring's window. It returns the frame's length in bytes. Both windows continue after the frame.
// Commit the tx window first, so that no buffer is in two slots.
//
// The slots exchange their buffers if both rings are in the same region, and both or neither have
// offsets. Then the frame is not copied and takes as many slots as before. The frame is copied
// otherwise, and also if the tx ring has too few slots or does not allow an offset as large as the
// frame's. A copy takes as many slots as its bytes need in the tx ring's buffers, from their
// offsets on.
//
// If the outcome m says that the frame stays, try it again in a later window. A dropped frame is
// skipped.
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

// CopyTo is MoveTo, but always copies: the received frame and its buffers stay as they are.
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

// pass moves the frame at the current slot. It exchanges buffers if swap permits and it is
// possible.
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

// CanSwap reports whether MoveTo to the tx ring exchanges buffers and does not copy: both rings are
// in the same region, and both or neither have offsets.
func (r *Ring) CanSwap(tx *Ring) bool {
	return r.bufs == tx.bufs && (r.shared.OffsetMask == 0) == (tx.shared.OffsetMask == 0)
}

// Measure returns how many slots and bytes of the frame at the current slot have arrived. m is the
// outcome of MoveTo to a tx ring with unlimited room.
func (w *Window) Measure() (slots, size int, m Move) {
	if w.left > 0 && w.mask == 0 {
		if word := w.Slot().Word(); word.Flags()&abi.NSMoreFrag == 0 && w.sound(word, 0) {
			return 1, int(word.Len()), Moved
		}
	}
	f, m := w.measure()
	return f.slots, f.size, m
}

// extent is the extent of a frame.
type extent struct {
	slots, size int // size in bytes
	offset      int // the largest offset in its slots
}

// measure is Measure for all frames.
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
	if int(w.left) == int(w.r.n)-1 { // the ring is full, and no more can arrive
		return f, TooLong
	}
	w.partial = true
	return f, Incomplete
}

// sound reports whether the slot has a valid buffer, and the frame fits in it from that offset on.
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

// exchange exchanges the buffers of a received slot, whose word was read before, and a tx slot. The
// offset of the rx slot stays, so that later frames start at the same place.
func exchange(tx, rx *abi.Slot, word abi.SlotWord, more uint16) {
	spare := tx.Word().BufIdx()
	tx.SetWord(abi.MakeSlotWord(word.BufIdx(), word.Len(), more|abi.NSBufChanged))
	rx.SetWord(abi.MakeSlotWord(spare, word.Len(), word.Flags()|abi.NSBufChanged))
}

// copy copies a frame, but no more bytes than were measured: others who share the memory may have
// changed it in the meantime.
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

// cutter distributes written bytes over the slots of a tx ring. It stops at the end of the window.
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

// space returns the room for a frame in the current slot of a tx ring. An offset that leaves no
// room becomes 0.
func (w *Window) space() []byte {
	b := w.Buf()
	if len(b) == 0 {
		w.r.SetOffset(w.Slot(), 0)
		b = w.Buf()
	}
	return b[:min(len(b), maxSlotLen)]
}

// slotsFor returns how many slots a frame of that size takes. If those of the window do not
// suffice, it returns a larger number.
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

// Skip skips the next n slots. The window must have so many.
func (w *Window) Skip(n int) {
	if w.at += uint32(n); w.at >= w.r.n {
		w.at -= w.r.n
	}
	w.left -= uint32(n)
}

// Send copies frames into a tx ring, as many as fit, and returns their number. A frame longer than
// a buffer takes several slots. The next TxSync or Poll sends the frames. Send stops at a frame
// that is empty or longer than MaxFrame.
func (r *Ring) Send(frames ...[]byte) (sent int) {
	w := r.Window()
	defer w.Commit()
	for _, f := range frames {
		switch n := len(f); {
		case n == 0:
			return sent
		case w.left > 0 && w.mask == 0 && n <= min(r.BufSize(), maxSlotLen): // nearly all frames
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

// MaxFrame returns the length in bytes of the longest frame that Send can put into the ring when
// all slots are free. One slot always stays with the framework; in the others, the frame starts at
// their offsets.
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

// Reader takes whole frames out of an rx ring, one after the other. It keeps the beginning of a
// frame whose end has not arrived, so that frames may have more slots than the ring. Only the
// goroutine that uses the ring may use its Reader. It does not allocate once it has seen its
// longest frame.
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
	joined []byte // the kept bytes of an unfinished frame in several slots
	begun  bool
	size   int
	ptr    uint64
}

// Reader returns a reader of the ring. Of a frame in several slots it keeps the first keep bytes. A
// frame in one slot is complete.
func (r *Ring) Reader(keep int) *Reader { return &Reader{w: Window{r: r}, keep: keep} }

// Fill starts a batch with the program's slots, at most most, and returns their number. It includes
// slots of the batch before that were not committed.
func (d *Reader) Fill(most int) int {
	d.w = d.w.r.Window()
	d.w.left = min(d.w.left, uint32(max(most, 0)))
	return d.w.Len()
}

// Next returns the next frame that ends in this batch, or false if there is none. The frame is in
// the ring or in the reader's memory. It is valid until the next call of Next or Commit. A slot
// without a valid buffer has a frame of zeros.
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

// Size is the full length in bytes of the frame that Next returned, even if Next kept only a part.
func (d *Reader) Size() int { return d.size }

// Ptr is the ptr of the frame's first slot. On a port opened with RxTimestamps it is the frame's
// time of arrival, in nanoseconds.
func (d *Reader) Ptr() uint64 { return d.ptr }

// Commit releases the slots that Next has read.
func (d *Reader) Commit() { d.w.Commit() }

// Frames iterates over the frames that end in the program's slots. At the end of the loop it
// releases the slots of all frames that the loop visited. A frame is valid until the loop
// continues.
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

// Swap exchanges the buffers of two slots of ports in the same region, so that a received frame can
// be sent without copying it. The tx slot gets the frame's length, and the flag for a next slot.
// Offsets are exchanged too, so both rings or neither must have them. Window.MoveTo does this for
// whole frames, and copies if it is impossible.
func Swap(tx, rx *abi.Slot) {
	t, r := tx.Word(), rx.Word()
	tx.SetWord(abi.MakeSlotWord(r.BufIdx(), r.Len(), r.Flags()&abi.NSMoreFrag|abi.NSBufChanged))
	rx.SetWord(abi.MakeSlotWord(t.BufIdx(), r.Len(), r.Flags()|abi.NSBufChanged))
	tx.Ptr, rx.Ptr = rx.Ptr, tx.Ptr
}
