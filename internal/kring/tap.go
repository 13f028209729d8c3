package kring

// Tap sees what passes through a ring. Monitors attach taps to the rings that they watch. The
// caller of each method holds the ring.
//
//	engine, Prologue ── Sync ──> the port's function                      without a tap
//	engine, Prologue ── Sync ──> Tap.Sync ──> the port's function         with a tap
//
// A ring without a tap pays one branch for each sync, in Publish.
type Tap interface {
	// Sync is called instead of the port's function, and calls it.
	Sync(r *Ring, program Memory, port Sync) error
	// Tail returns how far the program may see if the port has got to hwtail.
	Tail(hwtail uint32) uint32
	// Fresh is called when the ring has new memory, whose indexes start anew.
	Fresh()
}

// SetTap attaches a tap to the ring, or detaches it if t is nil. The caller holds the ring.
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

// Tap returns the attached tap, or nil. The caller holds the ring.
func (r *Ring) Tap() Tap { return r.tap }

// Flush shows the tap the remaining frames before the ring's memory is freed. The caller holds the
// ring.
func (r *Ring) Flush() {
	if r.tap != nil && r.Mapped() {
		r.Sync(r, nil) // the program that would get the error is gone
	}
}
