package monitor

import (
	"slices"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// tap shows the frames of one of the parent's rings to all monitors that watch the ring. The ring's
// holder may use it.
//
//	tx   seen    copied up to here: frames are copied before the port sends them
//	     freed   not used: what the port's sync adds to HwTail has come back
//	rx   seen    copied up to here: frames are copied when the port has them,
//	             before the program gets them
//	     freed   exchanged up to here: released slots are exchanged before the port gets them
type tap struct {
	ring   *kring.Ring
	origin origin
	copies []*inbox // copy monitors
	chain  []*inbox // zero-copy monitors; each has a pointer to the next

	seen, freed uint32
	puller      *inbox // a monitor that syncs the ring itself, not to be woken
}

// tapOf returns the tap of a ring, and makes it if there is none.
func tapOf(r *kring.Ring) *tap {
	if t, ok := r.Tap().(*tap); ok {
		return t
	}
	t := &tap{ring: r, origin: fromTx, seen: r.HwCur.Load(), freed: r.HwCur.Load()}
	if r.Dir == abi.DirRx {
		t.origin = fromRx
		t.seen = r.HwTail.Load() // frames that have arrived before are not shown
	}
	r.SetTap(t)
	return t
}

// add adds a monitor, a zero-copy one at the end of the chain.
func (t *tap) add(in *inbox) {
	if !in.port.zero {
		t.copies = append(t.copies, in)
		return
	}
	if n := len(t.chain); n > 0 {
		t.chain[n-1].next.Store(in)
	}
	t.chain = append(t.chain, in)
}

// remove removes a monitor, and the tap itself after its last monitor. The next monitor in the
// chain then follows the one before.
func (t *tap) remove(in *inbox) {
	if i := slices.Index(t.copies, in); i >= 0 {
		t.copies = slices.Delete(t.copies, i, i+1)
	}
	if i := slices.Index(t.chain, in); i >= 0 {
		if i > 0 {
			t.chain[i-1].next.Store(in.next.Load())
		}
		t.chain = slices.Delete(t.chain, i, i+1)
	}
	if len(t.copies)+len(t.chain) == 0 {
		t.ring.SetTap(nil)
	}
}

// Sync implements kring.Tap.
func (t *tap) Sync(r *kring.Ring, program kring.Memory, port kring.Sync) error {
	if r.Dir == abi.DirTx {
		return t.syncTx(program, port)
	}
	return t.syncRx(program, port)
}

func (t *tap) syncTx(program kring.Memory, port kring.Sync) error {
	r := t.ring
	t.show(r.Head())
	first := r.Next(r.HwTail.Load())
	err := port(r, program)
	t.release(first, r.Next(r.HwTail.Load()))
	return err
}

func (t *tap) syncRx(program kring.Memory, port kring.Sync) error {
	r := t.ring
	full := r.Room() == 0
	t.show(r.HwTail.Load()) // a program that reads beyond its slots may have seen them
	t.release(since(r, t.freed, r.Head()), r.Head())
	t.freed = r.Head()
	err := port(r, program)
	t.show(r.HwTail.Load())
	if full && r.Room() > 0 {
		for _, in := range t.copies {
			in.Wake() // it slept because nothing could arrive
		}
	}
	return err
}

// Tail implements kring.Tap: the program sees no frame before the monitors have.
func (t *tap) Tail(hwtail uint32) uint32 {
	if t.ring.Dir == abi.DirRx {
		return t.seen
	}
	return hwtail
}

// Fresh implements kring.Tap.
func (t *tap) Fresh() { t.seen, t.freed = 0, 0 }

// show copies the new frames, up to slot to, to the copy monitors.
func (t *tap) show(to uint32) {
	from := since(t.ring, t.seen, to)
	t.seen = to
	if from == to {
		return
	}
	for _, in := range t.copies {
		if in.take(t.ring, from, to, t.origin) && in != t.puller {
			in.ring.Waiters.Wake()
		}
	}
}

// release gives the frames in the slots that come back to the first zero-copy monitor.
func (t *tap) release(from, to uint32) {
	if from != to && len(t.chain) > 0 && t.chain[0].take(t.ring, from, to, t.origin) {
		t.chain[0].ring.Waiters.Wake()
	}
}

// since returns the slot after mark where to continue, up to slot to. A port in trouble leaves
// slots where they are, and they come again. A ring whose program wrote a wrong head may start anew
// at HwCur.
func since(r *kring.Ring, mark, to uint32) uint32 {
	cur := r.HwCur.Load()
	if r.Dist(cur, mark) <= r.Dist(cur, to) {
		return mark
	}
	return cur
}
