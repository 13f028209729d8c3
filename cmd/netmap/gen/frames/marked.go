package frames

import (
	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

// marked makes IPv4 frames of one length with marks, each in one slot. These are the most common
// frames, and fast to make.
type marked struct{ *testframe.Builder }

func (m marked) Put(ring *netmap.Ring, n int, seq uint64) (frames, bytes int) {
	one, two := ring.Batch(n)
	m.fill(ring, one, seq)
	m.fill(ring, two, seq+uint64(len(one)))
	frames = len(one) + len(two)
	ring.Advance(frames)
	return frames, frames * m.Len()
}

func (m marked) fill(ring *netmap.Ring, slots []abi.Slot, seq uint64) {
	build, length, bufs := m.Builder, uint16(m.Len()), ring.Buffers()
	for i := range slots {
		slot := &slots[i]
		word := slot.Word()
		buf := bufs.Of(slot)
		if len(buf) < int(length) { // the other end of a pipe has released it with a larger offset
			ring.SetOffset(slot, 0)
			buf = bufs.Of(slot)
		}
		build.Put4(buf, seq+uint64(i))
		slot.SetWord(abi.MakeSlotWord(word.BufIdx(), length, word.Flags()&abi.NSBufChanged))
	}
	if n := len(slots); n > 0 {
		slots[n-1].Flags |= abi.NSReport // one report for a batch: a driver need not report each frame
	}
}
