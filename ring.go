package netmap

import (
	"iter"
	_ "sync/atomic" // else the compiler makes each use of a shared word a call
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Ring is a bound ring. See the package comment for which goroutines may use it.
type Ring struct {
	shared    *abi.Ring
	slots     []abi.Slot
	bufs      shm.Bufs
	n         uint32
	maxOffset int // largest offset of a frame in bytes, 0 if it is unknown
	tx        bool
}

// newRing makes a view of the ring at an offset in the memory. The ring's own words tell where its
// buffers are.
func newRing(mem []byte, at uint64, tx bool) *Ring {
	g := shm.At[abi.Ring](mem, at)
	pool := mem[int64(at)+g.BufOfs:]
	return &Ring{shared: g, n: g.NumSlots, tx: tx,
		slots: shm.Slice[abi.Slot](mem, at+abi.RingSize, int(g.NumSlots)),
		bufs:  shm.NewBufs(pool, g.BufSize)}
}

// ID is the ring's number on its port. Host rings follow the hardware rings.
func (r *Ring) ID() int { return int(r.shared.RingID) }

// IsTx reports whether it is a tx ring.
func (r *Ring) IsTx() bool { return r.tx }

// NumSlots is the number of slots. One of them always stays with the framework.
func (r *Ring) NumSlots() int { return int(r.n) }

// BufSize is the size of a buffer in bytes.
func (r *Ring) BufSize() int { return int(r.bufs.Size()) }

// Slot returns slot i, an index below NumSlots. The program may write to it if it is from head to
// before tail.
func (r *Ring) Slot(i uint32) *abi.Slot { return &r.slots[i] }

// Buf returns the whole buffer with that index. For an invalid index it returns buffer 0, which
// never holds a frame.
func (r *Ring) Buf(index uint32) []byte { return r.bufs.Bytes(index) }

// Offset returns where in its buffer the frame of a slot starts, in bytes: 0 unless the port was
// opened with Offsets.
func (r *Ring) Offset(s *abi.Slot) int { return r.offset(s, r.shared.OffsetMask) }

func (r *Ring) offset(s *abi.Slot, mask uint64) int {
	return int(min(s.Ptr&mask, uint64(r.bufs.Size())))
}

// SetOffset sets where in its buffer the frame of a slot starts, in bytes. The port must have been
// opened with Offsets, whose most is the limit.
func (r *Ring) SetOffset(s *abi.Slot, n int) {
	mask := r.shared.OffsetMask
	s.Ptr = s.Ptr&^mask | uint64(n)&mask
}

// Buffers returns the pool of buffers to which the ring's slots refer. In a loop over many slots, a
// local variable with it is faster than Buf, which looks the pool up every time.
func (r *Ring) Buffers() Buffers { return Buffers{r.bufs, r.shared.OffsetMask} }

// Buffers is a pool of buffers.
type Buffers struct {
	pool shm.Bufs
	mask uint64 // of offsets
}

// Of returns the buffer of a slot of the ring, from the slot's offset on.
func (b Buffers) Of(s *abi.Slot) []byte {
	buf := b.pool.Bytes(s.BufIdx)
	if b.mask != 0 {
		buf = buf[min(s.Ptr&b.mask, uint64(len(buf))):]
	}
	return buf
}

// At returns the whole buffer with that index. For an invalid index it returns buffer 0, which
// never holds a frame.
func (b Buffers) At(index uint32) []byte { return b.pool.Bytes(index) }

// Head is the index of the program's first slot.
func (r *Ring) Head() uint32 { return r.shared.Head.Load() }

// Cur is the index after which Poll waits for slots.
func (r *Ring) Cur() uint32 { return r.shared.Cur.Load() }

// Tail is the index after the program's last slot.
func (r *Ring) Tail() uint32 { return r.shared.Tail.Load() }

// SetHead releases all slots before index i, and makes Poll wait for slots after it. i must be from
// head to tail; the next sync refuses other values.
func (r *Ring) SetHead(i uint32) {
	r.shared.Cur.Store(i)
	r.shared.Head.Store(i)
}

// SetCur makes Poll wait for slots after index i, without releasing slots.
func (r *Ring) SetCur(i uint32) { r.shared.Cur.Store(i) }

// Len returns the number of the program's slots: free slots in a tx ring, slots with frames in an
// rx ring.
func (r *Ring) Len() int {
	_, n := r.owned()
	return int(n)
}

// owned returns the program's first slot and the number of its slots. For invalid indexes, which
// another program in the region may have written, the number is 0.
func (r *Ring) owned() (head, n uint32) {
	head, tail := r.Head(), r.Tail()
	if head >= r.n || tail >= r.n {
		return 0, 0
	}
	return head, r.dist(head, tail)
}

// Next returns the index after i.
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

// Timestamp makes the framework store the time of every sync, including those without frames
// (NR_TIMESTAMP).
func (r *Ring) Timestamp(on bool) { r.set(abi.NRTimestamp, on) }

// Forward makes the framework forward rx slots that are released with abi.NSForward set: from an
// interface's hardware ring to the host, from its host ring to the wire. The latter needs a port
// that also has all tx rings, such as "netmap:eth0*" (NR_FORWARD).
func (r *Ring) Forward(on bool) { r.set(abi.NRForward, on) }

func (r *Ring) set(flag uint32, on bool) {
	if on {
		r.shared.Flags.Or(flag)
	} else {
		r.shared.Flags.And(^flag)
	}
}

// Time is when the last sync received frames, or with Timestamp when the last sync was.
func (r *Ring) Time() time.Time { return time.Unix(r.shared.Ts.Sec, r.shared.Ts.Usec*1000) }

// Batch returns up to most of the program's slots, from head on. It is the fastest way to many
// slots. They are in two pieces because the ring may wrap around. Batch reads the shared indexes
// once. Advance releases slots, also in one step.
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

// Advance releases the next n slots. The program must own so many.
func (r *Ring) Advance(n int) { r.SetHead((r.Head() + uint32(n)) % r.n) }

// Window iterates over the slots that the program owns when the window starts. It reads the shared
// indexes once, and Commit writes them once, however many slots are in between.
//
//	for w := ring.Window(); w.Len() > 0; w.Next() {
//		w.SetLen(copy(w.Buf(), frame))
//	}
type Window struct {
	r        *Ring
	at, left uint32
	partial  bool   // it has reached a frame whose end has not arrived
	mask     uint64 // of offsets
}

// Window returns a window that starts at head.
func (r *Ring) Window() Window {
	head, n := r.owned()
	return Window{r: r, at: head, left: n, mask: r.shared.OffsetMask}
}

// Len returns the number of slots that are left, including the current one.
func (w *Window) Len() int { return int(w.left) }

// Index is the current slot's index.
func (w *Window) Index() uint32 { return w.at }

// Slot returns the current slot. The window must not be at its end.
func (w *Window) Slot() *abi.Slot { return &w.r.slots[w.at] }

// Buf returns the buffer of the current slot, from the slot's offset on.
func (w *Window) Buf() []byte {
	s := &w.r.slots[w.at]
	b := w.r.bufs.Bytes(s.BufIdx)
	if w.mask != 0 {
		b = b[w.r.offset(s, w.mask):]
	}
	return b
}

// Frame returns the frame in the current slot: its buffer up to the slot's length.
func (w *Window) Frame() []byte {
	s := &w.r.slots[w.at]
	return w.piece(s, s.Word())
}

// piece returns the slot's part of a frame. word was read before.
func (w *Window) piece(s *abi.Slot, word abi.SlotWord) []byte {
	b := w.r.bufs.Bytes(word.BufIdx())
	if w.mask != 0 {
		b = b[w.r.offset(s, w.mask):]
	}
	return b[:min(int(word.Len()), len(b))]
}

// Slots returns the number of slots of the frame at the current slot, which is more than one for a
// frame longer than a buffer. It is 0 if the frame's end is not in the window: the end is still to
// come, or, if the window has all slots of the ring, can never come.
func (w *Window) Slots() int {
	if w.left > 0 && w.r.slots[w.at].Word().Flags()&abi.NSMoreFrag == 0 {
		return 1
	}
	return w.manySlots()
}

// manySlots is a function of its own so that Slots can be inlined.
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

// SetLen sets the length of the frame in the current slot, and clears its flags.
func (w *Window) SetLen(n int) {
	s := &w.r.slots[w.at]
	s.Len, s.Flags = uint16(n), s.Flags&abi.NSBufChanged
}

// Next moves to the next slot.
func (w *Window) Next() {
	w.at = w.r.Next(w.at)
	w.left--
}

// Commit releases the slots before the current one. After a frame that is Incomplete, it makes Poll
// wait for slots after those that have arrived.
func (w *Window) Commit() {
	w.r.SetHead(w.at)
	if w.partial {
		end := *w
		end.Skip(int(w.left))
		w.r.SetCur(end.at)
	}
}

// offsetOf returns where in its buffer the frame of a slot starts.
func (w *Window) offsetOf(s *abi.Slot) int {
	if w.mask == 0 {
		return 0
	}
	return w.r.offset(s, w.mask)
}

// Frames iterates over received slots. On return, it releases every slot that it visited, including
// the one at which the loop breaks. A frame longer than a buffer comes in several slots, all but
// the last with abi.NSMoreFrag. The frame is in the ring's memory: it must not be used after the
// sync that follows the loop.
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
