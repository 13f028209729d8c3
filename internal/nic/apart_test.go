//go:build linux

package nic

import (
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Buffers that lie in two huge pages are given to nobody, but a program can write the index of one
// into a slot. A device would read the rest of such a frame from other memory: the whole packet is
// dropped, and the packets before and after it are sent.
func TestBuffersInTwoHugePagesAreNotSent(t *testing.T) {
	const more = abi.NSMoreFrag
	for _, tt := range []struct {
		name    string
		flags   []uint16 // of the slots
		apart   int      // the slot with such a buffer
		sent    uint32   // buffers that the kernel gets
		dropped uint64   // packets
	}{
		{"a frame", []uint16{0, 0, 0}, 1, 2, 1},
		{"the first frame", []uint16{0, 0}, 0, 1, 1},
		{"the start of a packet", []uint16{0, more, 0, 0}, 1, 2, 1},
		{"the end of a packet", []uint16{0, more, more, 0, 0}, 3, 2, 1},
		{"nothing", []uint16{0, more, 0}, -1, 3, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := newOwn(t, 2112)
			o.port.segments = 4
			for i, flags := range tt.flags {
				s := o.tx.Slot(uint32(i))
				s.Len, s.Flags = ownLength, flags
				if i == tt.apart {
					s.BufIdx, s.Flags = inTwoPages(t, o.port), flags|abi.NSBufChanged
				}
			}
			o.tx.SetHead(uint32(len(tt.flags)))
			o.tx.Sync(t)
			if got := o.kernel.Leave(); got != tt.sent {
				t.Errorf("%d buffers were sent, want %d", got, tt.sent)
			}
			if got := o.tx.Drops[kring.BadBuffer].Load(); got != tt.dropped {
				t.Errorf("%d packets were dropped for their buffers, want %d", got, tt.dropped)
			}
			o.tx.Sync(t)
			if head, tail := o.tx.Shared.Head.Load(), o.tx.Shared.Tail.Load(); o.tx.Dist(head,
				tail) != o.tx.N-1 {
				t.Errorf("head %d, tail %d: not all slots have come back", head, tail)
			}
		})
	}
}

// inTwoPages returns a buffer that starts in one huge page and ends in another.
func inTwoPages(t *testing.T, p *Port) uint32 {
	_, offset, stride := p.region.BufPool()
	size := uint64(stride)
	for i := range p.memory.Buffers() {
		if at := offset + uint64(i)*size; at/shm.HugePage != (at+size-1)/shm.HugePage {
			return i
		}
	}
	t.Fatal("there is none")
	return 0
}
