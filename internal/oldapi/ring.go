// Package oldapi shows the rings of a port to programs of the APIs before head and tail, whose
// rings have another layout. An old-API ring is a second ring in the region, whose slots refer to
// the same buffers. Its sync is a sync of the real ring, with a step before and after:
//
//	program's ring           this package                 the framework's ring
//	slots, cur, reserved  -- Begin, before the sync --->  slots, head, cur
//	slots, avail, cur     <- Publish, after it ---------  slots, tail
//
// The layouts are data in package abi. In the old protocol, the program owns avail slots from cur
// on. It moves cur past slots that it has finished. Of the rx slots before cur, it may keep the
// last few (reserved). Only its words cur and reserved are read.
//
// Programs of other layouts may have the same ring. Each program's sync hands over what all have
// (kring.View), but does not change the words of other programs here: cur and avail are two words,
// and a program that reads one before and the other after the change would use slots that it does
// not own. The program learns in its own next sync how far the others have come.
//
// The peer is as hostile as elsewhere: each of its words is read once, checked, and only then used.
// The caller of a ring's methods holds the real ring.
package oldapi

import (
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Ring is an old-API ring.
type Ring struct {
	api    *abi.API
	dir    kring.Dir
	n      uint32
	offset uint64 // in the region, in bytes

	cur, avail *atomic.Uint32
	reserved   *atomic.Uint32 // nil if the API cannot reserve slots
	flags      *uint16
	ts         *abi.Timeval // nil if the layout has no time
	slots      []uint64     // stride words each
	stride     uint32

	users      atomic.Int32 // sessions; written under the registry's lock
	head, tail uint32       // of the real ring, as the program knows them
	moved      uint64       // of the real ring, at head
	took       uint32       // cur as read by the last Begin
	reinits    bool         // NRReinit is set
}

// newRing makes a ring at that place in the region. The program owns no slots, and the slots have
// no buffers.
func newRing(api *abi.API, region []byte, at, bufs uint64, bufSize uint32,
	dir kring.Dir, n uint32) *Ring {
	l := api.Ring
	word := func(offset int) *atomic.Uint32 {
		if offset == 0 {
			return nil
		}
		return shm.At[atomic.Uint32](region, uintptr(at)+uintptr(offset))
	}
	r := &Ring{api: api, dir: dir, n: n, offset: at, cur: word(l.Cur), avail: word(l.Avail),
		reserved: word(l.Reserved), flags: shm.At[uint16](region, uintptr(at)+uintptr(l.Flags)),
		stride: uint32(api.SlotSize) / 8}
	if l.Ts != 0 {
		r.ts = shm.At[abi.Timeval](region, uintptr(at)+uintptr(l.Ts))
	}
	r.slots = shm.Slice[uint64](region, uintptr(at)+uintptr(l.Size), int(n*r.stride))
	*shm.At[int64](region, uintptr(at)) = int64(bufs) - int64(at)
	word(8).Store(n)
	*shm.At[uint16](region, uintptr(at)+uintptr(l.BufSize)) = uint16(bufSize)
	return r
}

// size returns the bytes of a ring with n slots.
func size(api *abi.API, n uint32) uint64 {
	const align = 64
	return (uint64(api.Ring.Size) + uint64(n)*uint64(api.SlotSize) + align - 1) &^ (align - 1)
}

// Slots returns the number of slots.
func (s *Ring) Slots() uint32 { return s.n }

// slot reads the first half of a slot in one load.
func (s *Ring) slot(i uint32) abi.SlotWord {
	return abi.SlotWord(atomic.LoadUint64(&s.slots[i*s.stride]))
}

func (s *Ring) setSlot(i uint32, w abi.SlotWord) { s.slots[i*s.stride] = uint64(w) }

// put copies a slot of the program to the real ring, with the flags that its API has. It returns
// false if the slot has no valid buffer or too large a length. others means that another program
// has handed the slot over already: then the real slot stays, unless the buffer was exchanged here.
func (s *Ring) put(r *kring.Ring, i uint32, others bool) bool {
	w := s.slot(i)
	if !r.Bufs().Valid(w.BufIdx()) || uint32(w.Len()) > r.Bufs().Size() {
		return false
	}
	if others && w.Flags()&abi.NSBufChanged == 0 {
		return true
	}
	to := r.Slot(i)
	to.Ptr = 0
	if s.stride > 1 {
		to.Ptr = s.slots[i*s.stride+1]
	}
	to.SetWord(abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()&s.api.SlotFlags))
	return true
}

// get copies a slot of the real ring to the program's slot.
func (s *Ring) get(r *kring.Ring, i uint32) {
	from := r.Slot(i)
	if s.stride > 1 {
		s.slots[i*s.stride+1] = from.Ptr
	}
	w := from.Word()
	s.setSlot(i, abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()&s.api.SlotFlags))
}

// Pending reports whether the program has moved cur since the last sync.
func (s *Ring) Pending() bool { return s.cur.Load() != s.head }

// Ready reports whether the program has slots, according to its ring, in which it decreases avail.
// An impossible number counts as none.
func (s *Ring) Ready() bool { return s.avail.Load()-1 < s.n-1 }

// Shared reports whether programs of other layouts have the ring too. Then only a sync can tell
// which slots are the program's.
func (s *Ring) Shared(r *kring.Ring) bool { return r.Shared(int(s.users.Load())) }

// Begin hands over the slots that the program has finished. If its words are invalid, it calls
// reinit and returns false, and the caller must not sync.
func (s *Ring) Begin(r *kring.Ring) bool {
	s.took = s.cur.Load()
	ok := r.Enter(s)
	if !ok {
		s.reinit(r)
	}
	return ok
}

// Take implements kring.View.
func (s *Ring) Take(r *kring.Ring, at uint32) (head, cur uint32, ok bool) {
	cur, held, ok := s.read(r)
	if !ok {
		return 0, 0, false
	}
	here, _, _ := r.Agreed()
	head = here
	passed := r.Moved() - s.moved // by other programs, or in their syncs
	read := r.Dist(s.head, cur)
	if uint64(read) <= passed {
		return here, here, true
	}
	if uint64(read-held) > passed {
		head = (cur + s.n - held) % s.n
	}
	for i := here; i != head; i = r.Next(i) {
		if !s.put(r, i, r.Dist(here, i) < r.Dist(here, at)) {
			return 0, 0, false
		}
		s.done(i)
	}
	return head, cur, true
}

// Flags implements kring.View.
func (s *Ring) Flags() uint32 { return uint32(*s.flags) & s.api.RingFlags }

// read reads the program's words: cur, and how many slots before cur are held back.
func (s *Ring) read(r *kring.Ring) (cur, held uint32, ok bool) {
	cur = s.cur.Load()
	if cur >= s.n || r.Dist(s.head, cur) > r.Dist(s.head, s.tail) {
		return 0, 0, false
	}
	if s.dir == abi.DirRx && s.reserved != nil {
		held = s.reserved.Load()
	}
	if uint64(held)+uint64(s.avail.Load()) >= uint64(s.n) {
		held = 0
	}
	return cur, held, held <= r.Dist(s.head, cur)
}

// done clears the flags of a slot that are for one sync only.
func (s *Ring) done(i uint32) {
	const once = abi.NSBufChanged | abi.NSReport
	if w := s.slot(i); w.Flags()&once != 0 {
		s.setSlot(i, abi.MakeSlotWord(w.BufIdx(), w.Len(), w.Flags()&^once))
	}
}

// Publish shows the slots that the program got in the sync. In an rx ring it also sets the time.
func (s *Ring) Publish(r *kring.Ring) {
	s.follow(r)
	head, cur, tail := r.Agreed()
	if cur != s.took {
		s.cur.CompareAndSwap(s.took, cur)
	}
	if held := r.Dist(head, cur); s.dir == abi.DirRx && s.reserved != nil && s.reserved.Load() > held {
		s.reserved.Store(held)
	}
	s.avail.Store(r.Dist(cur, tail))
	if s.dir == abi.DirRx && s.ts != nil {
		now := time.Now()
		*s.ts = abi.Timeval{Sec: now.Unix(), Usec: int64(now.Nanosecond() / 1000)}
	}
}

// follow copies the slots that the program does not have yet.
func (s *Ring) follow(r *kring.Ring) {
	head, _, tail := r.Agreed()
	i := s.tail
	if r.Moved()-s.moved > uint64(r.Dist(s.head, s.tail)) {
		i = head // other programs have come further
	}
	for ; i != tail; i = r.Next(i) {
		s.get(r, i)
	}
	s.know(r)
}

// know stores the position of the real ring.
func (s *Ring) know(r *kring.Ring) {
	s.head, _, s.tail = r.Agreed()
	s.moved = r.Moved()
}

// load copies the whole real ring. Programs may prepare the buffers of all slots of a tx ring at
// the start, including the one slot that they do not own yet.
func (s *Ring) load(r *kring.Ring) {
	head, _, tail := r.Agreed()
	for i := range s.n {
		if s.dir == abi.DirTx || r.Dist(head, i) < r.Dist(head, tail) {
			s.get(r, i)
		}
	}
	s.know(r)
	s.restart(r)
}

// restart moves the program to the position of the real ring.
func (s *Ring) restart(r *kring.Ring) {
	s.cur.Store(s.head)
	s.avail.Store(r.Dist(s.head, s.tail))
	if s.reserved != nil {
		s.reserved.Store(0)
	}
}

// reinit clears invalid slots and restores the indexes.
func (s *Ring) reinit(r *kring.Ring) {
	for i := range s.n {
		switch w := s.slot(i); {
		case !r.Bufs().Valid(w.BufIdx()):
			s.setSlot(i, abi.MakeSlotWord(0, 0, w.Flags()))
		case uint32(w.Len()) > r.Bufs().Size():
			s.setSlot(i, abi.MakeSlotWord(w.BufIdx(), 0, w.Flags()))
		}
	}
	s.follow(r)
	s.restart(r)
	if s.api.Reinits {
		s.reinits = true
		*s.flags |= abi.NRReinit
	}
}

// ClearReinit clears the flag of a ring that had invalid words, and reports whether it was set.
func (s *Ring) ClearReinit() bool {
	was := s.reinits
	if was {
		s.reinits = false
		*s.flags &^= abi.NRReinit
	}
	return was
}

// Join counts a session. The first one gets a copy of the real ring.
func (s *Ring) Join(r *kring.Ring) {
	if s.users.Add(1) == 1 {
		s.load(r)
		r.Show(s)
	}
}

// Leave ends a session. The last one leaves the buffers that the program exchanged between its
// slots, and has not handed over, in the real ring.
func (s *Ring) Leave(r *kring.Ring) {
	if s.users.Add(-1) > 0 {
		return
	}
	head, _, _ := r.Agreed()
	if r.Moved()-s.moved <= uint64(r.Dist(s.head, s.tail)) {
		for i := head; i != s.tail; i = r.Next(i) {
			s.put(r, i, r.Shared(1))
		}
	}
	r.Hide(s)
	s.avail.Store(0)
}
