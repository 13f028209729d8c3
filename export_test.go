package netmap

// SetTail does what the framework does when frames arrive.
func (r *Ring) SetTail(i uint32) { r.shared.Tail.Store(i) }
