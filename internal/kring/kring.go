// Package kring is the framework's side of a ring: what it has agreed with the program, what it has done, and the checks
// that stand between the shared memory and everything else.
//
// The program owns the slots from head to tail, the framework the rest. Every sync starts with a prologue that reads
// head and cur once and checks them against what was agreed, and ends with Publish. Between the two a kind of port moves
// HwCur up to the agreed head (what the user handed over) and HwTail on (what is given back):
//
//	tx   HwCur … head    slots to send                rx   HwCur … head     slots that the program returned
//	     head … HwTail   free, the program's               head … HwTail    received, the program's
//	     HwTail … HwCur  being sent                        HwTail … HwCur   free, the framework's
//
// The peer in shared memory is hostile: it may write any value to any word at any time. Whatever it writes, indexes
// that leave this package are below the number of slots.
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

// String is the direction as users see it.
func (d Dir) String() string {
	if d == abi.DirTx {
		return "tx"
	}
	return "rx"
}

// News says how those who wait for a ring learn that a sync may find more: frames in an rx ring,
// room in a tx ring.
type News uint8

const (
	Called   News = iota // whoever brings frames or makes room calls Waiters.Wake
	Readable             // the kernel makes the ring's descriptor (FD) readable
	Silent               // nobody tells: those who wait have to look again after a while
)

// Ring is a ring of a port. A kind of port makes it with New; it has memory only while it is in use.
type Ring struct {
	Name string
	ID   uint16
	Dir  Dir
	N    uint32 // number of slots

	// Sync moves what there is to move, between prologue and Publish. The port sets it once. It is
	// called with the ring held, and must leave HwCur == Head(), whatever that is, and HwTail below N.
	// The memory is that of the program whose sync it is, nil where that cannot be reached. An error
	// is for the program: EIO from the ioctl, POLLERR from poll.
	Sync Sync

	// News and Leaf are what the port declares of the ring, once, when it makes it.
	News News
	Leaf bool // frames leave the framework in its Sync, which syncs no other ring

	// FD is the descriptor of a ring whose News is Readable, -1 while it is stopped. The port sets it
	// when it starts and stops the ring; those who wait may read it at any time.
	FD atomic.Int32

	// Source is the ring from which syncs of this one fetch, nil for most. What may come to that one may come to this
	// one, and its Waiters include ours.
	Source atomic.Pointer[Ring]

	// HwCur and HwTail are written by whoever holds the ring, and in software ports by the peer port under that
	// port's own rules; others may read them at any time.
	HwCur, HwTail atomic.Uint32

	Waiters Waiters
	Drops   Drops    // frames that were lost here, by reason
	Traffic *Traffic // a pipe's two rings of a lane share theirs

	shared *mem.Ring
	region *mem.Region
	slots  []abi.Slot
	bufs   shm.Bufs

	offsets atomic.Pointer[Offsets] // nil for none; written by who holds the ring, read by senders of a peer port, too

	tap  Tap  // whoever holds the ring, as port
	port Sync // Sync without the tap

	busy  atomic.Bool
	users atomic.Int32 // sessions; written under the registry's lock
	alone bool         // the only session is exclusive; the registry's lock

	head, cur, tail uint32 // as last agreed; whoever holds the ring
	views           views  // whoever holds the ring
}

// Sync is how a port moves the slots of one of its rings, see Ring.Sync.
type Sync func(r *Ring, program Memory) error

// New is a ring without memory.
func New(name string, dir Dir, id uint16, slots uint32, sync Sync) *Ring {
	r := &Ring{Name: name, Dir: dir, ID: id, N: slots, Sync: sync, Traffic: new(Traffic)}
	r.FD.Store(-1)
	return r
}

// Alloc gives the ring its memory: fresh indexes, and in every slot a buffer if withBufs. A ring that has memory keeps
// it. ENOMEM leaves the ring without.
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

// Free returns the memory, and the buffers in the slots from first on, count of them. A port that handed buffers to
// somebody else names only the slots that still hold theirs.
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

// Mapped says whether the ring has memory.
func (r *Ring) Mapped() bool { return r.shared != nil }

// Offset is where the ring lies in the region, in bytes.
func (r *Ring) Offset() uint64 { return r.shared.Offset }

// Slot is slot i, shared memory.
func (r *Ring) Slot(i uint32) *abi.Slot { return &r.slots[i] }

// Slots are all slots, shared memory.
func (r *Ring) Slots() []abi.Slot { return r.slots }

// Bufs is the pool that the slots' indexes point into.
func (r *Ring) Bufs() shm.Bufs { return r.bufs }

// Next is the index after i.
func (r *Ring) Next(i uint32) uint32 {
	if i++; i < r.N {
		return i
	}
	return 0
}

// Run is where a walk from k to head has to end or to wrap: slots k up to Run lie side by side.
func (r *Ring) Run(k, head uint32) uint32 {
	if head > k {
		return head
	}
	return r.N
}

// Room is how many slots of an rx ring the framework can still fill.
func (r *Ring) Room() uint32 { return r.N - 1 - r.Dist(r.HwCur.Load(), r.HwTail.Load()) }

// Dist is how many steps lead from a to b.
func (r *Ring) Dist(a, b uint32) uint32 {
	if b >= a {
		return b - a
	}
	return b + r.N - a
}

// Head is what the program handed over, as agreed in the last prologue.
func (r *Ring) Head() uint32 { return r.head }

// Advance moves head and cur for a program that is in this process and trusted, a switch that a NIC is attached to. It
// takes the place of a prologue; whoever holds the ring may call it. The shared words show it, and are not read.
func (r *Ring) Advance(head uint32) {
	if len(r.views.all) != 0 {
		r.views.add(r.Dist(r.head, head))
	}
	r.head, r.cur = head, head
	r.shared.Cur.Store(head)
	r.shared.Head.Store(head)
}

// Ready says whether poll reports the ring: the program has slots at or after its cur.
func (r *Ring) Ready() bool { return r.cur != r.tail }

// Idle says whether the program has handed over nothing since the last sync. It reads one shared word.
func (r *Ring) Idle() bool { return r.shared.Head.Load() == r.HwCur.Load() }

// TryHold takes the ring for a sync. It says no when somebody else has it: the framework lets the second of two threads
// go on without a sync. The holder may use everything in the ring.
func (r *Ring) TryHold() bool { return !r.busy.Load() && r.busy.CompareAndSwap(false, true) }

// Hold waits for the ring: a sync is short.
func (r *Ring) Hold() {
	for !r.TryHold() {
		time.Sleep(10 * time.Microsecond)
	}
}

// Drop lets the ring go.
func (r *Ring) Drop() { r.busy.Store(false) }

// Users and SetUsers keep how many sessions have the ring and whether one has it alone, under the registry's lock.
func (r *Ring) Users() (n int, alone bool) { return int(r.users.Load()), r.alone }

// SetUsers is the other half of Users.
func (r *Ring) SetUsers(n int, alone bool) {
	r.users.Store(int32(n))
	r.alone = alone
}

// Shared says whether more than n sessions have the ring. It needs no lock.
func (r *Ring) Shared(n int) bool { return int(r.users.Load()) > n }

// Prologue reads what the program wrote and agrees to it, or says no. Valid is
//
//	tx  old head ≤ head ≤ old tail,  head ≤ cur ≤ old tail
//	rx  HwCur    ≤ head ≤ HwTail,    head ≤ cur ≤ HwTail
//
// on the circle, everything below N. After a no the caller does Reinit. A tail that the program overwrote is put back.
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

// Accept is Prologue for a head and a cur that the program wrote elsewhere: a sync loop's. The ring's own words are left
// alone.
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

// bounds are the first and the last value that head may have.
func (r *Ring) bounds() (from, to uint32) {
	if r.Dir == abi.DirRx {
		return r.HwCur.Load(), r.HwTail.Load()
	}
	return r.head, r.tail
}

// owns says whether a head hands over nothing but slots that are the program's.
func (r *Ring) owns(head uint32) bool {
	from, to := r.bounds()
	return from < r.N && to < r.N && r.Dist(from, head) <= r.Dist(from, to)
}

// Reinit is what follows a refused prologue. It mends slots that are out of bounds, and puts back the tail, and head and cur
// to where the last sync left them unless they can be taken over, which is for the next prologue to accept: a program may
// have forgotten cur, or set a tx ring's head too far. Upstream's lb does the latter, and is no worse for it when the slots
// have come back by then. It says whether head was put back.
//
// An rx ring's head that is out of order is never accepted, other than by the kernel module: it would return slots that
// hold no frame, and whoever is to fill them would lose his buffers, the sender of a pipe for one.
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

// Publish ends a sync: the program sees the new tail. It says whether the tail moved.
func (r *Ring) Publish() (moved bool) {
	t, moved := r.Settle()
	if moved {
		r.shared.Tail.Store(t)
	}
	return moved
}

// Settle is Publish for a tail that the program reads elsewhere: a sync loop's.
func (r *Ring) Settle() (tail uint32, moved bool) {
	t := r.HwTail.Load()
	if r.tap != nil {
		t = r.tap.Tail(t)
	}
	moved = t != r.tail
	r.tail = t
	return t, moved
}

// Agreed are head, cur and tail as of the last sync.
func (r *Ring) Agreed() (head, cur, tail uint32) { return r.head, r.cur, r.tail }

// WantsStamp says whether the program asked for the time of each sync (NR_TIMESTAMP).
func (r *Ring) WantsStamp() bool { return r.flags()&abi.NRTimestamp != 0 }

// WantsForward says whether the program asked for transparent mode (NR_FORWARD).
func (r *Ring) WantsForward() bool { return r.flags()&abi.NRForward != 0 }

// Stamp writes the time of a sync.
func (r *Ring) Stamp(t time.Time) {
	r.shared.Ts = abi.Timeval{Sec: t.Unix(), Usec: int64(t.Nanosecond() / 1000)}
}
