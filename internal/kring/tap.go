package kring

// Tap sees what passes through a ring: it is what monitors hang on the rings that they watch. Its methods are called by
// whoever holds the ring.
//
//	engine, Prologue ── Sync ──> the port's function                      without a tap
//	engine, Prologue ── Sync ──> Tap.Sync ──> the port's function         with one
//
// A ring without a tap pays for the possibility when it publishes, with one branch a sync.
type Tap interface {
	// Sync is called in place of the port's function, and calls it.
	Sync(r *Ring, program Memory, port Sync) error
	// Tail is how far the program may see when the port has got to hwtail.
	Tail(hwtail uint32) uint32
	// Fresh says that the ring has got new memory, with fresh indexes.
	Fresh()
}

// SetTap hangs a tap on the ring, nil takes it off. The caller holds the ring.
func (r *Ring) SetTap(t Tap) {
	if r.tap == nil {
		r.port = r.Sync
	}
	r.tap = t
	if t == nil {
		r.Sync = r.port
		return
	}
	r.Sync = func(r *Ring, program Memory) error { return t.Sync(r, program, r.port) }
}

// Tap is what hangs on the ring, nil for nothing. The caller holds the ring.
func (r *Ring) Tap() Tap { return r.tap }

// Flush shows a tap what has come to the ring and nobody has synced yet, before the ring's memory goes. The caller holds
// the ring.
func (r *Ring) Flush() {
	if r.tap != nil && r.Mapped() {
		r.Sync(r, nil) // an error is for a program, and that is gone
	}
}
