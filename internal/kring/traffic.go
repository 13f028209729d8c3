package kring

import "sync/atomic"

// Traffic counts what passed through a ring: of a tx ring what its program handed over, lost frames
// too, but of an interface what the kernel took, and of an rx ring what was put into it. Counts are
// added once a batch, by whoever moves the frames.
type Traffic struct {
	Frames, Bytes atomic.Uint64 // a frame of several slots counts when its last one passes

	_ [48]byte // a cache line: rings are synced on different processors
}

// Add counts frames that have so many bytes together.
func (t *Traffic) Add(frames, bytes uint64) {
	if frames > 0 {
		t.Frames.Add(frames)
	}
	if bytes > 0 {
		t.Bytes.Add(bytes)
	}
}
