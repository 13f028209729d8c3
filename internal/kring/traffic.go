package kring

import "sync/atomic"

// Traffic counts frames and bytes of a ring. A tx ring counts what its program handed over,
// including lost frames; a tx ring of an interface counts what the kernel accepted. An rx ring
// counts what was put into it. The goroutine that moves frames adds the counts once for each batch.
type Traffic struct {
	Frames, Bytes atomic.Uint64 // a frame of several slots counts with its last slot

	_ [48]byte // fills a cache line: rings are synced on different cores
}

// Add adds a number of frames, and the total of their bytes.
func (t *Traffic) Add(frames, bytes uint64) {
	if frames > 0 {
		t.Frames.Add(frames)
	}
	if bytes > 0 {
		t.Bytes.Add(bytes)
	}
}
