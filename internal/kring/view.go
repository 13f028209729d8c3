package kring

import (
	"slices"

	"github.com/seed-48afdc40/netmap/abi"
)

// View is a ring in the memory of programs that know another layout than ours (package oldapi).
// Whatever the layouts, there is one ring: who syncs it takes over what the programs of all have
// handed over. Only that program's words then say how it goes on; those of other views wait for
// their own programs' syncs, and the ring's own head follows if its program has not moved it
// meanwhile, so that nobody is given a slot twice. Its methods are for whoever holds the ring.
type View interface {
	// Take says how far the view's programs have gone, as a head and a cur at or after the ring's
	// head, and copies the slots that are handed over to the ring. Those before at have been
	// handed over by somebody else. It says no to words that make no sense.
	Take(r *Ring, at uint32) (head, cur uint32, ok bool)
	// Flags are those that the view's programs have set for the ring.
	Flags() uint32
}

// views is what a ring keeps while there are some.
type views struct {
	all   []View
	moved uint64 // how many slots were handed over
	seen  uint64 // of these, before the last sync of a program that has the ring in our layout
	who   View   // whose the sync is, nil for a program that has our layout
}

// Show adds a view of the ring, Hide removes one.
func (r *Ring) Show(v View) {
	if len(r.views.all) == 0 {
		r.views.seen = r.views.moved
	}
	r.views.all = append(r.views.all, v)
}

// Hide is the other half of Show.
func (r *Ring) Hide(v View) {
	r.views.all = slices.DeleteFunc(r.views.all, func(o View) bool { return o == v })
	r.views.who = nil
}

// Moved is how many slots the programs have handed over since the ring has had views.
func (r *Ring) Moved() uint64 { return r.views.moved }

// Enter is Prologue for a program that has the ring as that view.
func (r *Ring) Enter(v View) bool { return r.merge(v) }

// flags are those of the program whose sync it is.
func (r *Ring) flags() uint32 {
	if r.views.who != nil {
		return r.views.who.Flags()
	}
	return r.shared.Flags.Load()
}

// words are head and cur in the ring's own layout.
type words struct{ head, cur uint32 }

func (r *Ring) words() words { return words{r.shared.Head.Load(), r.shared.Cur.Load()} }

// merge takes over what the programs of all layouts have handed over: the furthest head counts.
// It says no when the words of the one whose sync it is make no sense.
func (r *Ring) merge(who View) bool {
	w := &r.views
	w.who = who
	own := r.words()
	late, sane := r.catchUp(own)
	head, cur := r.head, r.head
	switch {
	case sane:
		head, cur = late.head, late.cur
	case who == nil:
		return false
	}
	if who != nil {
		cur = r.head // the other one's does not say how this one goes on
	}
	for _, v := range w.all {
		h, c, ok := v.Take(r, head)
		if ok {
			head = r.further(head, h)
		}
		if v == who {
			if cur = c; !ok {
				return false
			}
		}
	}
	from := r.head
	if !r.Accept(head, r.further(head, cur)) {
		return false
	}
	w.add(r.Dist(from, head))
	if who == nil {
		w.seen = w.moved
	}
	if sane {
		r.follow(own)
	}
	if r.shared.Tail.Load() != r.tail {
		r.shared.Tail.Store(r.tail)
	}
	return true
}

// catchUp reads words of a program that may not have seen yet what others have handed over since
// its last sync: a head before that is the ring's.
func (r *Ring) catchUp(w words) (words, bool) {
	if w.head >= r.N || w.cur >= r.N {
		return w, false
	}
	_, to := r.bounds()
	left := r.Dist(r.head, to)
	behind := uint32(min(r.views.moved-r.views.seen, uint64(r.N-1-left)))
	if r.Dist(r.head, w.head) > left {
		if r.Dist(w.head, r.head) > behind {
			return w, false
		}
		w.head = r.head
	}
	if r.Dist(w.head, w.cur) <= r.Dist(w.head, to) {
		return w, true
	}
	// cur is before head, be it that others have passed it, or that the program is about to write
	// it.
	late := r.Dist(w.cur, w.head) <= behind
	w.cur = w.head
	return w, late || r.views.who != nil
}

// follow has the ring's own words follow the agreed ones, unless the program has written them
// since they were read.
func (r *Ring) follow(was words) {
	if was.head != r.head {
		r.shared.Head.CompareAndSwap(was.head, r.head)
	}
	if _, to := r.bounds(); r.Dist(r.head, was.cur) > r.Dist(r.head, to) {
		r.shared.Cur.CompareAndSwap(was.cur, r.head)
	}
}

// further is which of two slots is further from the ring's head.
func (r *Ring) further(a, b uint32) uint32 {
	if r.Dist(r.head, b) > r.Dist(r.head, a) {
		return b
	}
	return a
}

// add counts slots that were handed over.
func (w *views) add(n uint32) { w.moved += uint64(n) }

// jump counts what Reinit has done to head. One of a tx ring may be anywhere, and all views start
// there.
func (r *Ring) jump(from uint32) {
	switch {
	case len(r.views.all) == 0:
		return
	case r.Dir == abi.DirRx:
		r.views.add(r.Dist(from, r.head))
	case r.head != from:
		r.views.add(r.N)
	}
	r.views.seen = r.views.moved
}
