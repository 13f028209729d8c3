// Package frames puts the frames of netmap gen into the slots of tx rings.
package frames

import (
	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/cmd/netmap/internal/testframe"
)

// Maker makes frames in the slots of tx rings.
type Maker interface {
	// SetTime sets the time that the next frames carry, Unix time in nanoseconds.
	SetTime(t uint64)
	// Put makes up to n frames in a ring, the first of them with sequence number seq. It returns
	// the numbers of frames and of bytes.
	Put(ring *netmap.Ring, n int, seq uint64) (frames, bytes int)
}

// Config describes what a Maker makes.
type Config struct {
	Build *testframe.Builder // makes frames with marks
	// Blank makes frames without marks. If both are nil, frames are what the buffers contain.
	Blank *testframe.Template

	IPv6    bool
	Lengths Lengths
	Header  int // bytes of zeros before each frame
	Cut     Cut // how frames are put into slots
	Chain   int // number of frames that make one packet, each in its slot: txseq with -F
	// Indirect is the number of slots whose frames stay in the program's memory. 0 copies frames
	// into buffers.
	Indirect int
	Dump     *Dump // writes the frames; may be nil
}

// New returns the Maker for a config. Marked IPv4 frames of one length, each in one slot, have a
// fast Maker of their own.
func New(c Config) Maker {
	isPlain := c.Header == 0 && c.Lengths.Low == 0 && c.Cut.Slots == 1 && c.Indirect == 0 &&
		c.Dump == nil
	if c.Build != nil && isPlain && !c.IPv6 {
		return marked{c.Build}
	}
	m := &crafted{Config: c, length: c.Lengths.Most, memory: make([][]byte, max(c.Indirect, 1))}
	for i := range m.memory {
		// A Builder may write a few bytes behind the frame.
		m.memory[i] = make([]byte, c.Header+max(c.Lengths.Most, testframe.MinLen6)+8)
	}
	return m
}

// crafted makes the frames that marked cannot make: with random lengths, in several slots, with
// virtio-net headers, or without marks. It makes each frame in memory and copies it.
type crafted struct {
	Config
	length int      // of the current frame
	memory [][]byte // for one frame, or one for each slot
}

// Cut divides a frame among Slots slots: each but the last holds Size bytes.
type Cut struct{ Slots, Size int }

// NewCut divides frames of length bytes among the given number of slots. If a part would exceed
// most, the number of bytes that a slot holds, NewCut uses more slots.
func NewCut(length, slots, most int) Cut {
	c := Cut{slots, length / slots}
	if rest := length - (slots-1)*c.Size; c.Size > most || rest > most {
		c = Cut{(length + most - 1) / most, most}
	}
	return c
}

func (c *crafted) SetTime(t uint64) {
	if c.Build != nil {
		c.Build.SetTime(t)
	}
}

func (c *crafted) Put(ring *netmap.Ring, n int, seq uint64) (frames, bytes int) {
	w := ring.Window()
	for frames < n && w.Len() >= c.Cut.Slots*c.Chain {
		for range c.Chain { // packets are sent whole
			bytes += c.one(ring, &w, seq+uint64(frames))
			frames++
			if frames%c.Chain != 0 {
				c.last(ring, &w).Flags |= abi.NSMoreFrag
			}
		}
	}
	if frames > 0 {
		c.last(ring, &w).Flags |= abi.NSReport
	}
	if c.Dump != nil {
		c.Dump.Slots(ring, ring.Head(), w.Index())
	}
	w.Commit()
	return frames, bytes
}

// last returns the slot before the start of the window.
func (c *crafted) last(ring *netmap.Ring, w *netmap.Window) *abi.Slot {
	n := uint32(ring.NumSlots())
	return ring.Slot((w.Index() + n - 1) % n)
}

// one makes a frame and returns its length.
func (c *crafted) one(ring *netmap.Ring, w *netmap.Window, seq uint64) int {
	if c.Lengths.Low > 0 {
		c.draw()
	}
	memory := c.memory[0]
	if len(c.memory) > 1 { // each slot has its own memory, which the switch reads later
		memory = c.memory[(ring.ID()*ring.NumSlots()+int(w.Index()))%len(c.memory)]
	}
	switch {
	case c.Build != nil:
		c.Build.Put(memory[c.Header:], seq)
	case c.Blank != nil:
		c.Blank.Put(memory[c.Header:], seq)
	}
	length := c.Header + c.length
	if len(c.memory) > 1 {
		slot := w.Slot()
		slot.Ptr, slot.Len, slot.Flags = address(memory), uint16(length),
			slot.Flags&abi.NSBufChanged|abi.NSIndirect
		w.Next()
		return length
	}
	c.place(ring, w, memory, length)
	return length
}

// draw chooses the length of the next frame.
func (c *crafted) draw() {
	c.length = c.Lengths.draw()
	switch {
	case c.Build != nil:
		c.Build.SetLen(c.length)
	case c.Blank != nil:
		c.Blank.SetLen(c.length)
	}
}

// place copies the frame into slots. A short frame needs fewer than Cut.Slots.
func (c *crafted) place(ring *netmap.Ring, w *netmap.Window, f []byte, length int) {
	f = f[:length]
	for slots := 1; ; slots++ {
		piece := f
		if slots < c.Cut.Slots {
			piece = f[:min(c.Cut.Size, len(f))]
		}
		slot := w.Slot()
		slot.Len, slot.Flags = uint16(len(piece)), slot.Flags&abi.NSBufChanged
		if len(w.Buf()) < len(piece) { // see marked.fill
			ring.SetOffset(slot, 0)
		}
		if c.Build != nil || c.Blank != nil {
			copy(w.Buf(), piece)
		} else {
			clear(w.Buf()[:c.Header])
		}
		w.Next()
		if f = f[len(piece):]; len(f) == 0 {
			return
		}
		slot.Flags |= abi.NSMoreFrag
	}
}
