package frames

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/seed-48afdc40/netmap"
)

// Dump writes slots and the contents of their buffers, in pkt-gen's form. Workers may share it.
type Dump struct {
	mu sync.Mutex
	w  io.Writer
}

// NewDump returns a Dump that writes to w.
func NewDump(w io.Writer) *Dump { return &Dump{w: w} }

// Slots writes the slots of a ring from index from to before index to.
func (d *Dump) Slots(ring *netmap.Ring, from, to uint32) {
	var b bytes.Buffer
	bufs := ring.Buffers()
	for i := from; i != to; i = ring.Next(i) {
		slot := *ring.Slot(i)
		data := bufs.Of(&slot)
		data = data[:min(int(slot.Len), len(data))]
		fmt.Fprintf(&b, "ring %d cur %5d [buf %6d flags 0x%04x len %5d]\n", ring.ID(), i, slot.BufIdx,
			slot.Flags, slot.Len)
		for at := 0; at < len(data); at += 16 {
			hexLine(&b, at, data[at:min(at+16, len(data))])
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.w.Write(b.Bytes())
}

func hexLine(b *bytes.Buffer, at int, data []byte) {
	text := make([]byte, len(data))
	for i, c := range data {
		if text[i] = c; c < ' ' || c > '~' {
			text[i] = '.'
		}
	}
	fmt.Fprintf(b, "%5d: %-48s%s\n", at, fmt.Sprintf("% x ", data), text)
}
