package netmap

import (
	"iter"
	_ "sync/atomic" // else the compiler makes each use of a shared word a call
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Ring is a bound ring.
type Ring struct {
	shared    *abi.Ring
	slots     []abi.Slot
	bufs      shm.Bufs
	n         uint32
	maxOffset int // of its frames, in bytes, as far as is known: else 0
	tx        bool
}

// newRing views the ring at that place in the memory. The ring's own words say where its buffers are.
func newRing(mem []byte, at uint64, tx bool) *Ring {
	g := shm.At[abi.Ring](mem, at)
	pool := mem[int64(at)+g.BufOfs:]
	return &Ring{shared: g, n: g.NumSlots, tx: tx, slots: shm.Slice[abi.Slot](mem, at+abi.RingSize, int(g.NumSlots)), bufs: shm.NewBufs(pool, g.BufSize)}
}

// ID is the ring's number on its port; host rings follow the hardware rings.
func (r *Ring) ID() int { return int(r.shared.RingID) }

// IsTx says whether the ring sends.
func (r *Ring) IsTx() bool { return r.tx }

// NumSlots is the number of slots, of which one always stays with the framework.
func (r *Ring) NumSlots() int { return int(r.n) }

// BufSize is the size of a buffer in bytes.
func (r *Ring) BufSize() int { return int(r.bufs.Size()) }

// Slot is slot i. It is the program's to write if it lies from head to tail.
func (r *Ring) Slot(i uint32) *abi.Slot { return &r.slots[i] }

// Buf is the whole buffer of that index. An index that is none gives buffer 0, which holds no frame.
func (r *Ring) Buf(index uint32) []byte { return r.bufs.Bytes(index) }

// Offset is how far into its buffer the frame of a slot starts: 0 unless the ring was opened with Offsets.
func (r *Ring) Offset(s *abi.Slot) int { return r.offset(s, r.shared.OffsetMask) }

func (r *Ring) offset(s *abi.Slot, mask uint64) int {
	return int(min(s.Ptr&mask, uint64(r.bufs.Size())))
}

// SetOffset says how far into its buffer the frame of a slot starts, in a ring that was opened with Offsets, up to the most
// that was agreed on then.
func (r *Ring) SetOffset(s *abi.Slot, n int) {
	mask := r.shared.OffsetMask
	s.Ptr = s.Ptr&^mask | uint64(n)&mask
}

// Buffers is the pool of buffers that the ring's slots point into. A loop over many slots is faster with it in a local
// variable than with Buf, which looks it up every time.
func (r *Ring) Buffers() Buffers { return Buffers{r.bufs, r.shared.OffsetMask} }

// Buffers is a pool of buffers.
type Buffers struct {
	pool shm.Bufs
	mask uint64 // of offsets
}

// Of is the buffer of a slot of the ring, whole, or from the slot's offset on.
func (b Buffers) Of(s *abi.Slot) []byte {
	buf := b.pool.Bytes(s.BufIdx)
	if b.mask != 0 {
		buf = buf[min(s.Ptr&b.mask, uint64(len(buf))):]
	}
	return buf
}

// At is the whole buffer of that index. An index that is none gives buffer 0, which holds no frame.
func (b Buffers) At(index uint32) []byte { return b.pool.Bytes(index) }

// Head, Cur and Tail are the ring's shared indexes.
func (r *Ring) Head() uint32 { return r.shared.Head.Load() }

// Cur is where Poll looks for news.
func (r *Ring) Cur() uint32 { return r.shared.Cur.Load() }

// Tail is the first slot that is not the program's.
func (r *Ring) Tail() uint32 { return r.shared.Tail.Load() }

// SetHead hands over all slots before index i, which must lie from head to tail, and has Poll wait for news after it.
func (r *Ring) SetHead(i uint32) {
	r.shared.Cur.Store(i)
	r.shared.Head.Store(i)
}

// SetCur has Poll report the ring only when slots after index i are the program's, without handing any over.
func (r *Ring) SetCur(i uint32) { r.shared.Cur.Store(i) }

// Len is the number of slots that are the program's: room in a tx ring, slots with frames in an rx ring.
func (r *Ring) Len() int {
	_, n := r.owned()
	return int(n)
}

// owned are the program's slots: the first one and how many. Indexes that make no sense, which somebody else in the
// region may have written, give none.
func (r *Ring) owned() (head, n uint32) {
	head, tail := r.Head(), r.Tail()
	if head >= r.n || tail >= r.n {
		return 0, 0
	}
	return head, r.dist(head, tail)
}

// Next is the index after i.
func (r *Ring) Next(i uint32) uint32 {
	if i++; i < r.n {
		return i
	}
	return 0
}

func (r *Ring) dist(a, b uint32) uint32 {
	if b >= a {
		return b - a
	}
	return b + r.n - a
}

// Timestamp has the framework note the time of every sync, also of those that bring nothing. // NR_TIMESTAMP
func (r *Ring) Timestamp(on bool) { r.set(abi.NRTimestamp, on) }

// Forward has the framework pass slots on that are handed back with abi.NSForward set: from an interface's hardware ring to the
// host, from its host ring to the wire. The latter needs a port that has all tx rings, too, such as "netmap:eth0*".
// // NR_FORWARD
func (r *Ring) Forward(on bool) { r.set(abi.NRForward, on) }

func (r *Ring) set(flag uint32, on bool) {
	if on {
		r.shared.Flags.Or(flag)
	} else {
		r.shared.Flags.And(^flag)
	}
}

// Time is when the last sync took in frames.
func (r *Ring) Time() time.Time { return time.Unix(r.shared.Ts.Sec, r.shared.Ts.Usec*1000) }

// Batch is the fastest way to many slots: up to most of those that are the program's, from head on, in two pieces because
// the ring may wrap between them. The shared indexes are read once. Advance hands slots over, again in one step.
//
//	first, rest := ring.Batch(512)
//	for _, slots := range [2][]abi.Slot{first, rest} {
//		for i := range slots {
//			slots[i].Len = uint16(copy(ring.Buf(slots[i].BufIdx), frame))
//		}
//	}
//	ring.Advance(len(first) + len(rest))
func (r *Ring) Batch(most int) (first, rest []abi.Slot) {
	head, n := r.owned()
	n = min(n, uint32(max(most, 0)))
	side := min(n, r.n-head)
	return r.slots[head : head+side], r.slots[:n-side]
}

// Advance hands over the next n slots, of which the program must have as many.
func (r *Ring) Advance(n int) { r.SetHead((r.Head() + uint32(n)) % r.n) }

// Window is a walk over the slots that are the program's when it starts. The shared indexes are read once, and written
// once by Commit, however many slots lie between.
//
//	for w := ring.Window(); w.Len() > 0; w.Next() {
//		w.SetLen(copy(w.Buf(), frame))
//	}
type Window struct {
	r        *Ring
	at, left uint32
	partial  bool   // it has come to a frame whose end is not there
	mask     uint64 // of offsets
}

// Window starts a walk at head.
func (r *Ring) Window() Window {
	head, n := r.owned()
	return Window{r: r, at: head, left: n, mask: r.shared.OffsetMask}
}

// Len is the number of slots that are left, the current one included.
func (w *Window) Len() int { return int(w.left) }

// Index is the current slot's index.
func (w *Window) Index() uint32 { return w.at }

// Slot is the current slot. The walk must not be at its end.
func (w *Window) Slot() *abi.Slot { return &w.r.slots[w.at] }

// Buf is the buffer of the current slot, whole, or from the slot's offset on.
func (w *Window) Buf() []byte {
	s := &w.r.slots[w.at]
	b := w.r.bufs.Bytes(s.BufIdx)
	if w.mask != 0 {
		b = b[w.r.offset(s, w.mask):]
	}
	return b
}

// Frame is the frame in the current slot: its buffer, as far as the slot's length goes.
func (w *Window) Frame() []byte {
	s := &w.r.slots[w.at]
	return w.piece(s, s.Word())
}

// piece is what a slot has of a frame. Its word was read before.
func (w *Window) piece(s *abi.Slot, word abi.SlotWord) []byte {
	b := w.r.bufs.Bytes(word.BufIdx())
	if w.mask != 0 {
		b = b[w.r.offset(s, w.mask):]
	}
	return b[:min(int(word.Len()), len(b))]
}

// Slots is the number of slots of the frame that starts at the current one: more than one for a
// frame longer than a buffer, 0 when its end is not among the slots that are left: it is still to
// come, or, if the window has all slots of the ring, never will.
func (w *Window) Slots() int {
	if w.left > 0 && w.r.slots[w.at].Word().Flags()&abi.NSMoreFrag == 0 {
		return 1
	}
	return w.manySlots()
}

// manySlots is apart so that Slots can be compiled into its callers.
func (w *Window) manySlots() int {
	at := w.at
	for n := uint32(1); n <= w.left; n++ {
		if w.r.slots[at].Word().Flags()&abi.NSMoreFrag == 0 {
			return int(n)
		}
		at = w.r.Next(at)
	}
	return 0
}

// SetLen says how long the frame in the current slot is, and that it has no flags.
func (w *Window) SetLen(n int) {
	s := &w.r.slots[w.at]
	s.Len, s.Flags = uint16(n), s.Flags&abi.NSBufChanged
}

// Next goes on to the next slot.
func (w *Window) Next() {
	w.at = w.r.Next(w.at)
	w.left--
}

// Commit hands over the slots that the walk has gone over. If it came to a frame that is
// Incomplete, Poll then waits for more than there is.
func (w *Window) Commit() {
	w.r.SetHead(w.at)
	if w.partial {
		end := *w
		end.Skip(int(w.left))
		w.r.SetCur(end.at)
	}
}

// offsetOf is where the frame of a slot starts in its buffer.
func (w *Window) offsetOf(s *abi.Slot) int {
	if w.mask == 0 {
		return 0
	}
	return w.r.offset(s, w.mask)
}

// Frames walks over received slots and hands those that it came to over at the end of the loop; one that breaks off keeps
// the rest, and hands over the one it broke off at. A frame longer than a buffer comes in several slots, all but the last
// with abi.NSMoreFrag. The frame is the ring's memory: it must not be used after the sync that follows the loop.
func (r *Ring) Frames() iter.Seq2[*abi.Slot, []byte] {
	return func(yield func(*abi.Slot, []byte) bool) {
		w := r.Window()
		defer w.Commit()
		for w.Len() > 0 {
			slot, frame := w.Slot(), w.Frame()
			w.Next()
			if !yield(slot, frame) {
				return
			}
		}
	}
}
