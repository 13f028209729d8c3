package gen

import (
	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

// crafted makes the frames that marked does not: of differing lengths, cut into slots, with virtio-net headers, without
// marks. Each is made in memory of its own and copied.
type crafted struct {
	build   *testframe.Builder  // of frames with marks
	blank   *testframe.Template // of frames without; neither is rubbish
	lengths lengths
	length  int // of this frame
	header  int // bytes of zeros before each frame
	cut     cut
	chain   int // so many frames, each in its slot, are one packet: txseq with -F
	memory  [][]byte
	dump    *dump
}

// cut is how frames lie in slots: all of them but the last hold size bytes.
type cut struct{ slots, size int }

// newCut finds how frames of length bytes lie in so many slots, or more, if a slot cannot hold its part.
func newCut(length, slots, most int) cut {
	c := cut{slots, length / slots}
	if rest := length - (slots-1)*c.size; c.size > most || rest > most {
		c = cut{(length + most - 1) / most, most}
	}
	return c
}

func (c *crafted) setTime(t uint64) {
	if c.build != nil {
		c.build.SetTime(t)
	}
}

func (c *crafted) put(ring *netmap.Ring, n int, seq uint64) (frames, bytes int) {
	w := ring.Window()
	for frames < n && w.Len() >= c.cut.slots*c.chain {
		for range c.chain { // packets go as a whole
			bytes += c.one(ring, &w, seq+uint64(frames))
			frames++
			if frames%c.chain != 0 {
				c.last(ring, &w).Flags |= abi.NSMoreFrag
			}
		}
	}
	if frames > 0 {
		c.last(ring, &w).Flags |= abi.NSReport
	}
	if c.dump != nil {
		c.dump.slots(ring, ring.Head(), w.Index())
	}
	w.Commit()
	return frames, bytes
}

// last is the slot before the window.
func (c *crafted) last(ring *netmap.Ring, w *netmap.Window) *abi.Slot {
	n := uint32(ring.NumSlots())
	return ring.Slot((w.Index() + n - 1) % n)
}

// one makes a frame and returns how long it is.
func (c *crafted) one(ring *netmap.Ring, w *netmap.Window, seq uint64) int {
	if c.lengths.low > 0 {
		c.draw()
	}
	memory := c.memory[0]
	if len(c.memory) > 1 { // of each slot, which the switch reads later
		memory = c.memory[(ring.ID()*ring.NumSlots()+int(w.Index()))%len(c.memory)]
	}
	switch {
	case c.build != nil:
		c.build.Put(memory[c.header:], seq)
	case c.blank != nil:
		c.blank.Put(memory[c.header:], seq)
	}
	length := c.header + c.length
	if len(c.memory) > 1 {
		slot := w.Slot()
		slot.Ptr, slot.Len, slot.Flags = address(memory), uint16(length), slot.Flags&abi.NSBufChanged|abi.NSIndirect
		w.Next()
		return length
	}
	c.place(ring, w, memory, length)
	return length
}

// draw gives the next frame a length.
func (c *crafted) draw() {
	c.length = c.lengths.draw()
	switch {
	case c.build != nil:
		c.build.SetLen(c.length)
	case c.blank != nil:
		c.blank.SetLen(c.length)
	}
}

// place copies the frame into as many slots as it takes, which a short one does not need all.
func (c *crafted) place(ring *netmap.Ring, w *netmap.Window, f []byte, length int) {
	f = f[:length]
	for slots := 1; ; slots++ {
		piece := f
		if slots < c.cut.slots {
			piece = f[:min(c.cut.size, len(f))]
		}
		slot := w.Slot()
		slot.Len, slot.Flags = uint16(len(piece)), slot.Flags&abi.NSBufChanged
		if len(w.Buf()) < len(piece) { // see marked.fill
			ring.SetOffset(slot, 0)
		}
		if c.build != nil || c.blank != nil {
			copy(w.Buf(), piece)
		} else {
			clear(w.Buf()[:c.header])
		}
		w.Next()
		if f = f[len(piece):]; len(f) == 0 {
			return
		}
		slot.Flags |= abi.NSMoreFrag
	}
}
