package lb

import (
	"sync/atomic"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// output is a pipe: its tx ring, and the frames that wait for room in it.
type output struct {
	name   string
	port   *netmap.Port
	ring   *netmap.Ring
	room   netmap.Window // the free slots at the last sync
	wait   queue
	dirty  bool // frames were put into the ring since the last sync
	synced bool // in this round
	n      counters
}

// counters are the counts of a pipe. The balancer writes them once a round; the reporter reads
// them.
type counters struct {
	frames, bytes    atomic.Uint64 // put into the ring
	full             atomic.Uint64 // frames dropped: no room in the ring, and no extra buffer
	revoked          atomic.Uint64 // frames dropped from the queue for newer ones
	droppedBytes     atomic.Uint64
	waiting          atomic.Uint64 // slots in the queue
	pending, dropped tally
	_                [64]byte // the counters of two pipes share no cache line
}

// tally has the counts of the current round.
type tally struct{ frames, bytes, revoked uint64 }

// endRound adds the counts of the round to the counters.
func (o *output) endRound() {
	n := &o.n
	n.frames.Add(n.pending.frames)
	n.bytes.Add(n.pending.bytes)
	n.full.Add(n.dropped.frames)
	n.revoked.Add(n.dropped.revoked)
	n.droppedBytes.Add(n.dropped.bytes)
	n.waiting.Store(uint64(o.wait.n))
	n.pending, n.dropped = tally{}, tally{}
}

// queue holds slots of whole frames, first in, first out.
type queue struct {
	slots   []abi.SlotWord
	head, n int
}

func (q *queue) push(w abi.SlotWord) {
	at := q.head + q.n
	if at >= len(q.slots) {
		at -= len(q.slots)
	}
	q.slots[at] = w
	q.n++
}

func (q *queue) pop() abi.SlotWord {
	w := q.slots[q.head]
	if q.head++; q.head == len(q.slots) {
		q.head = 0
	}
	q.n--
	return w
}

// first returns the number of slots of the first frame, 0 if the queue is empty.
func (q *queue) first() int {
	for i := range q.n {
		if q.slots[(q.head+i)%len(q.slots)].Flags()&abi.NSMoreFrag == 0 {
			return i + 1
		}
	}
	return 0
}

// sync hands over the frames in the ring, and finds the free slots.
func (o *output) sync() error {
	if o.dirty {
		o.room.Commit()
	}
	o.dirty, o.synced = false, true
	err := o.port.TxSync()
	o.room = o.ring.Window()
	return err
}

// move puts the frame at the window, or a copy of it, into the ring, unless other frames wait for
// room in it. What happens to the window depends on the outcome, as for Window.MoveTo.
func (o *output) move(r *netmap.Window, swap bool) (m netmap.Move) {
	if o.wait.n > 0 {
		return netmap.NoRoom
	}
	var size int
	if swap {
		size, m = r.MoveTo(&o.room)
	} else {
		size, m = r.CopyTo(&o.room)
	}
	if m == netmap.Moved {
		o.dirty = true
		o.n.pending.frames++
		o.n.pending.bytes += uint64(size)
	}
	return m
}

// drain puts waiting frames into the ring while there is room. It appends the buffers that become
// free to the list.
func (o *output) drain(free []uint32) []uint32 {
	for n := o.wait.first(); n > 0 && n <= o.room.Len(); n = o.wait.first() {
		o.dirty = true
		o.n.pending.frames++
		for range n {
			slot, w := o.room.Slot(), o.wait.pop()
			free = append(free, slot.Word().BufIdx())
			slot.SetWord(w)
			o.ring.SetOffset(slot, 0)
			o.n.pending.bytes += uint64(w.Len())
			o.room.Next()
		}
	}
	return free
}

// dropOldest drops the oldest waiting frame, and appends its buffers to the list.
func (o *output) dropOldest(free []uint32) []uint32 {
	for range o.wait.first() {
		w := o.wait.pop()
		o.n.dropped.bytes += uint64(w.Len())
		free = append(free, w.BufIdx())
	}
	o.n.dropped.revoked++
	return free
}
