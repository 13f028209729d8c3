package kring

import (
	"slices"

	"github.com/seed-48afdc40/netmap/abi"
)

// View is a ring in the memory of programs that use another layout (package oldapi). There is one
// ring for all layouts, and each sync takes over the slots that programs of all layouts have handed
// over.
//
// After that, only the words of the syncing program determine cur. The words of other views wait
// for syncs of their own programs. The ring's own head follows if its program has not moved it in
// the meantime, so that no slot is given to two programs. The caller of each method holds the ring.
type View interface {
	// Take returns how far the view's programs have gone: a head and a cur that are not before the
	// ring's head. It copies the slots that are handed over to the ring. Other programs have
	// already handed over the slots before at. ok is false if the view's words are invalid.
	Take(r *Ring, at uint32) (head, cur uint32, ok bool)
	// Flags returns the flags that the view's programs have set for the ring.
	Flags() uint32
}

// views is the state of a ring that has views.
type views struct {
	all   []View
	moved uint64 // how many slots were handed over
	seen  uint64 // moved at the last sync of a program with today's layout
	who   View   // the view of the syncing program; nil for today's layout
}

// Show adds a view of the ring.
func (r *Ring) Show(v View) {
	if len(r.views.all) == 0 {
		r.views.seen = r.views.moved
	}
	r.views.all = append(r.views.all, v)
}

// Hide removes a view.
func (r *Ring) Hide(v View) {
	r.views.all = slices.DeleteFunc(r.views.all, func(o View) bool { return o == v })
	r.views.who = nil
}

// Moved returns how many slots programs have handed over since the ring first had a view.
func (r *Ring) Moved() uint64 { return r.views.moved }

// Enter is Prologue for a program that uses the view v.
func (r *Ring) Enter(v View) bool { return r.merge(v) }

// flags returns the flags of the syncing program.
func (r *Ring) flags() uint32 {
	if r.views.who != nil {
		return r.views.who.Flags()
	}
	return r.shared.Flags.Load()
}

// words are head and cur in today's layout.
type words struct{ head, cur uint32 }

func (r *Ring) words() words { return words{r.shared.Head.Load(), r.shared.Cur.Load()} }

// merge takes over the slots that programs of all layouts have handed over: the furthest head
// counts. It returns false if the words of the syncing program are invalid.
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
		cur = r.head // the words of today's layout do not apply to this program
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

// catchUp checks the words of a program that may not know yet which slots others have handed over
// since its last sync. If the program's head is before the ring's head for that reason, catchUp
// replaces it by the ring's head.
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
	// cur is before head, either because other programs have passed it or because the program is
	// about to write it.
	late := r.Dist(w.cur, w.head) <= behind
	w.cur = w.head
	return w, late || r.views.who != nil
}

// follow sets the ring's own words to the agreed ones, unless the program has written them since
// they were read.
func (r *Ring) follow(was words) {
	if was.head != r.head {
		r.shared.Head.CompareAndSwap(was.head, r.head)
	}
	if _, to := r.bounds(); r.Dist(r.head, was.cur) > r.Dist(r.head, to) {
		r.shared.Cur.CompareAndSwap(was.cur, r.head)
	}
}

// further returns the one of two slots that is further from the ring's head.
func (r *Ring) further(a, b uint32) uint32 {
	if r.Dist(r.head, b) > r.Dist(r.head, a) {
		return b
	}
	return a
}

// add counts slots that were handed over.
func (w *views) add(n uint32) { w.moved += uint64(n) }

// jump counts the slots by which Reinit moved head. The head of a tx ring may jump anywhere, and
// then all views restart there.
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
