// Package kring is the framework's side of a ring: what program and framework have agreed on, how
// far the framework has come, and the checks of words in shared memory.
//
// The program owns the slots from head to tail, the framework the other slots. Every sync starts
// with a prologue, which reads head and cur once and checks them against the agreed values, and
// ends with Publish. In between, a port moves HwCur up to the agreed head (the slots that the
// program handed over), and advances HwTail (the slots that the program gets back):
//
//	tx   HwCur … head    slots to send           rx   HwCur … head     slots that are returned
//	     head … HwTail   free, the program's          head … HwTail    received, the program's
//	     HwTail … HwCur  being sent                   HwTail … HwCur   free, the framework's
//
// The peer in shared memory is hostile: it may write any value to any word at any time. Whatever it
// writes, indexes that leave this package are less than the number of slots.
package kring

import (
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Dir is a direction: abi.DirTx or abi.DirRx.
type Dir uint16

// Dirs are both directions, in the order of netmap_if: tx first.
var Dirs = [...]Dir{abi.DirTx, abi.DirRx}

// String returns "tx" or "rx".
func (d Dir) String() string {
	if d == abi.DirTx {
		return "tx"
	}
	return "rx"
}

// News is how the waiters of a ring learn that a sync may find more: frames in an rx ring, room in
// a tx ring.
type News uint8

const (
	Called   News = iota // the source of frames or room calls Waiters.Wake
	Readable             // the kernel makes the ring's descriptor (FD) readable
	Silent               // there is no signal: waiters have to look again after a while
)

// Ring is a ring of a port, made with New. It has memory only while it is in use.
type Ring struct {
	Name string
	ID   uint16
	Dir  Dir
	N    uint32 // number of slots

	// Sync moves slots, between the prologue and Publish. The port sets it once. The caller holds the
	// ring. Sync must leave HwCur equal to Head, even if the head jumped, and HwTail below N. The
	// memory is that of the syncing program, or nil if it cannot be reached. The program gets an
	// error as EIO from the ioctl or POLLERR from poll.
	Sync Sync

	// The port sets News and Leaf when it makes the ring.
	News News
	Leaf bool // in its Sync, frames leave the framework, and no other ring is synced

	// FD is the descriptor of a ring whose News is Readable, and -1 while the ring is stopped. The
	// port sets it when it starts and stops the ring. Waiters may read it at any time.
	FD atomic.Int32

	// Source is the ring from which syncs of this ring fetch frames; nil for most rings. News of
	// Source may be news of this ring, and its Waiters include those of this ring.
	Source atomic.Pointer[Ring]

	// The holder of the ring writes HwCur and HwTail. In software ports the peer port writes them
	// too, by rules of its own. Others may read them at any time.
	HwCur, HwTail atomic.Uint32

	Waiters Waiters
	Drops   Drops    // frames that were lost here, by reason
	Traffic *Traffic // both rings of a pipe's lane share it

	shared *mem.Ring
	region *mem.Region
	slots  []abi.Slot
	bufs   shm.Bufs

	// offsets is nil if there are none. The ring's holder writes it, and senders of a peer port
	// read it.
	offsets atomic.Pointer[Offsets]

	tap  Tap  // used only by the holder, like port
	port Sync // the port's own Sync, without the tap

	busy  atomic.Bool
	users atomic.Int32 // sessions; written under the registry's lock
	alone bool         // the only session is exclusive; under the registry's lock

	head, cur, tail uint32 // as last agreed; used only by the holder
	views           views  // used only by the holder
}

// Sync is how a port moves the slots of one of its rings, see Ring.Sync.
type Sync func(r *Ring, program Memory) error

// New makes a ring without memory.
func New(name string, dir Dir, id uint16, slots uint32, sync Sync) *Ring {
	r := &Ring{Name: name, Dir: dir, ID: id, N: slots, Sync: sync, Traffic: new(Traffic)}
	r.FD.Store(-1)
	return r
}

// Alloc gives the ring memory and resets all indexes. If withBufs is set, every slot has a buffer.
// A ring that has memory keeps it. After ENOMEM the ring has none.
func (r *Ring) Alloc(region *mem.Region, withBufs bool) error {
	if r.shared != nil {
		return nil
	}
	g, err := region.NewRing(r.Name, r.ID, uint16(r.Dir), r.N)
	if err != nil {
		return err
	}
	if withBufs {
		if err := region.FillRing(r.Name, g); err != nil {
			region.FreeRing(g)
			return err
		}
	}
	r.shared, r.slots, r.region, r.bufs = g, g.Slots, region, region.Bufs
	r.head, r.cur, r.tail = 0, 0, 0
	r.offsets.Store(nil)
	if r.Dir == abi.DirTx {
		r.tail = r.N - 1
	}
	r.HwCur.Store(0)
	r.HwTail.Store(r.tail)
	g.Tail.Store(r.tail)
	if r.tap != nil {
		r.tap.Fresh()
	}
	return nil
}

// Free frees the memory, and the buffers in count slots from first on. A port whose buffers are
// partly in use elsewhere passes only the slots that still hold their buffers.
func (r *Ring) Free(first, count uint32) {
	if r.shared == nil {
		return
	}
	for i := range count {
		r.region.FreeBuf(r.slots[(first+i)%r.N].Word().BufIdx())
	}
	r.region.FreeRing(r.shared)
	r.shared, r.slots = nil, nil
}

// Mapped reports whether the ring has memory.
func (r *Ring) Mapped() bool { return r.shared != nil }

// Offset returns where the ring starts in the region, in bytes.
func (r *Ring) Offset() uint64 { return r.shared.Offset }

// Slot returns slot i, in shared memory.
func (r *Ring) Slot(i uint32) *abi.Slot { return &r.slots[i] }

// Slots returns all slots, in shared memory.
func (r *Ring) Slots() []abi.Slot { return r.slots }

// Bufs returns the pool to which the buffer indexes of slots refer.
func (r *Ring) Bufs() shm.Bufs { return r.bufs }

// Next returns the index after i.
func (r *Ring) Next(i uint32) uint32 {
	if i++; i < r.N {
		return i
	}
	return 0
}

// Run returns the end of the adjacent slots from k to head: head, or N if the slots wrap around.
func (r *Ring) Run(k, head uint32) uint32 {
	if head > k {
		return head
	}
	return r.N
}

// Room returns how many slots of an rx ring the framework can still fill.
func (r *Ring) Room() uint32 { return r.N - 1 - r.Dist(r.HwCur.Load(), r.HwTail.Load()) }

// Dist returns the number of steps from a to b.
func (r *Ring) Dist(a, b uint32) uint32 {
	if b >= a {
		return b - a
	}
	return b + r.N - a
}

// Head returns the head that the last prologue agreed on: the program has handed over the slots
// before it.
func (r *Ring) Head() uint32 { return r.head }

// Advance moves head and cur for a trusted program in this process: a switch to which a NIC is
// attached. It takes the place of a prologue, and the caller holds the ring. The shared words are
// written, and not read.
func (r *Ring) Advance(head uint32) {
	if len(r.views.all) != 0 {
		r.views.add(r.Dist(r.head, head))
	}
	r.head, r.cur = head, head
	r.shared.Cur.Store(head)
	r.shared.Head.Store(head)
}

// Ready reports whether poll reports the ring: the program has slots at or after its cur.
func (r *Ring) Ready() bool { return r.cur != r.tail }

// Idle reports whether the program has handed over nothing since the last sync. It reads one shared
// word.
func (r *Ring) Idle() bool { return r.shared.Head.Load() == r.HwCur.Load() }

// TryHold takes the ring for a sync, and returns false if another goroutine holds it. In that case
// the caller usually skips the sync. The holder may use all fields of the ring.
func (r *Ring) TryHold() bool { return !r.busy.Load() && r.busy.CompareAndSwap(false, true) }

// Hold waits until it holds the ring. It sleeps in between, because syncs are short.
func (r *Ring) Hold() {
	for !r.TryHold() {
		time.Sleep(10 * time.Microsecond)
	}
}

// Drop releases a ring that TryHold or Hold took.
func (r *Ring) Drop() { r.busy.Store(false) }

// Users returns how many sessions have the ring, and whether one has it exclusively. The caller
// holds the registry's lock.
func (r *Ring) Users() (n int, alone bool) { return int(r.users.Load()), r.alone }

// SetUsers sets what Users returns. The caller holds the registry's lock.
func (r *Ring) SetUsers(n int, alone bool) {
	r.users.Store(int32(n))
	r.alone = alone
}

// Shared reports whether more than n sessions have the ring. It needs no lock.
func (r *Ring) Shared(n int) bool { return int(r.users.Load()) > n }

// Prologue reads head and cur of the program, and agrees on them if they are valid:
//
//	tx  old head ≤ head ≤ old tail,  head ≤ cur ≤ old tail
//	rx  HwCur    ≤ head ≤ HwTail,    head ≤ cur ≤ HwTail
//
// in circular order, and all less than N. If Prologue returns false, the caller calls Reinit. If
// the program overwrote the tail, Prologue restores it.
func (r *Ring) Prologue() bool {
	if len(r.views.all) != 0 {
		return r.merge(nil)
	}
	if !r.Accept(r.shared.Head.Load(), r.shared.Cur.Load()) {
		return false
	}
	if r.shared.Tail.Load() != r.tail {
		r.shared.Tail.Store(r.tail)
	}
	return true
}

// Accept is Prologue for a head and a cur that the program wrote elsewhere, in the CSB. It does not
// touch the ring's own words.
func (r *Ring) Accept(head, cur uint32) bool {
	if head >= r.N || cur >= r.N || !r.owns(head) {
		return false
	}
	if _, to := r.bounds(); r.Dist(head, cur) > r.Dist(head, to) {
		return false
	}
	r.head, r.cur = head, cur
	return true
}

// bounds returns the first and the last valid head.
func (r *Ring) bounds() (from, to uint32) {
	if r.Dir == abi.DirRx {
		return r.HwCur.Load(), r.HwTail.Load()
	}
	return r.head, r.tail
}

// owns reports whether a head hands over only slots that the program owns.
func (r *Ring) owns(head uint32) bool {
	from, to := r.bounds()
	return from < r.N && to < r.N && r.Dist(from, head) <= r.Dist(from, to)
}

// Reinit is called after a refused prologue. It clears invalid buffer indexes and lengths in slots,
// and restores the tail. If head and cur can be accepted, it agrees on them unchanged, and the next
// prologue checks them again: a program may have forgotten cur, or set a tx ring's head too far.
// Upstream's lb does the latter, which causes no harm if the slots have come back by then.
// Otherwise Reinit sets head and cur to where the last sync left them, and returns true.
//
// Unlike upstream, Reinit never accepts an invalid head of an rx ring: it would return slots
// without a frame, and the framework would lose the buffers that fill them, for example those of a
// pipe's sender.
func (r *Ring) Reinit() (reset bool) {
	defer r.jump(r.head)
	head, cur := r.shared.Head.Load(), r.shared.Cur.Load()
	for i := range r.slots {
		s := &r.slots[i]
		switch w := s.Word(); {
		case !r.bufs.Valid(w.BufIdx()):
			s.SetWord(abi.MakeSlotWord(0, 0, w.Flags()))
		case uint32(w.Len()) > r.bufs.Size():
			s.SetWord(abi.MakeSlotWord(w.BufIdx(), 0, w.Flags()))
		}
	}
	r.shared.Tail.Store(r.tail)
	if head < r.N && cur < r.N && (r.Dir == abi.DirTx || r.owns(head)) {
		r.head, r.cur = head, cur
		return false
	}
	r.head = r.HwCur.Load()
	r.cur = r.head
	r.shared.Head.Store(r.head)
	r.shared.Cur.Store(r.cur)
	return true
}

// Publish ends a sync: the program sees the new tail. It reports whether the tail moved.
func (r *Ring) Publish() (moved bool) {
	t, moved := r.Settle()
	if moved {
		r.shared.Tail.Store(t)
	}
	return moved
}

// Settle is Publish for a tail that the program reads elsewhere, in the CSB.
func (r *Ring) Settle() (tail uint32, moved bool) {
	t := r.HwTail.Load()
	if r.tap != nil {
		t = r.tap.Tail(t)
	}
	moved = t != r.tail
	r.tail = t
	return t, moved
}

// Agreed returns head, cur and tail as of the last sync.
func (r *Ring) Agreed() (head, cur, tail uint32) { return r.head, r.cur, r.tail }

// WantsStamp reports whether the program asked for the time of each sync (NR_TIMESTAMP).
func (r *Ring) WantsStamp() bool { return r.flags()&abi.NRTimestamp != 0 }

// WantsForward reports whether the program asked for transparent mode (NR_FORWARD).
func (r *Ring) WantsForward() bool { return r.flags()&abi.NRForward != 0 }

// Stamp writes the time of a sync that ends now.
func (r *Ring) Stamp() {
	t := ringClock.now()
	r.shared.Ts = abi.Timeval{Sec: t.Unix(), Usec: int64(t.Nanosecond() / 1000)}
}
