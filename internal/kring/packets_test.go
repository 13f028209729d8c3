package kring

import (
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
)

// TestPackets tests whole, pending and too long packets, from every start in the ring.
func TestPackets(t *testing.T) {
	type next struct {
		slots int
		state PacketState
	}
	for _, tt := range []struct {
		slots string // of the ring up to head: + has a next slot in its packet, . is the last
		most  uint32
		want  []next
	}{
		{"...", 4, []next{{1, Whole}, {1, Whole}, {1, Whole}}},
		{"++.", 4, []next{{3, Whole}}},
		{".++", 4, []next{{1, Whole}, {2, Pending}}},
		{"+++.", 4, []next{{4, Whole}}},
		{"++++.", 4, []next{{4, TooLong}, {1, Rest}}},
		{"+++++..", 4, []next{{4, TooLong}, {2, Rest}, {1, Whole}}},
		{"++++", 4, []next{{4, TooLong}}},
		{"++++++", 4, []next{{4, TooLong}, {2, Rest}}},
		{"+++++++", 64, []next{{7, TooLong}}}, // a ring of 8 never has more
		{"++++++.", 64, []next{{7, Whole}}},
		{"++++++", 64, []next{{6, Pending}}},
		{"+", 1, []next{{1, TooLong}}},
	} {
		for first := range uint32(8) {
			r := newRing(t, abi.DirTx, 8)
			for i, c := range tt.slots {
				slot := r.Slot((first + uint32(i)) % 8)
				slot.Len, slot.Flags = uint16(i), 0
				if c == '+' {
					slot.Flags = abi.NSMoreFrag
				}
			}
			r.agree(first, (first+7)%8)
			r.head = (first + uint32(len(tt.slots))) % 8
			var p Packets
			k, taken := first, 0
			for _, want := range tt.want {
				packet, state := p.Next(r, k, tt.most)
				if len(packet) != want.slots || state != want.state || int(packet[0].Len()) != taken {
					t.Fatalf("%s from %d on, after %d: %d slots, state %d; want %d, %d", tt.slots, first, taken,
						len(packet), state, want.slots, want.state)
				}
				if state != Pending {
					k, taken = (k+uint32(len(packet)))%8, taken+len(packet)
				}
			}
			if last := tt.want[len(tt.want)-1].state; k != r.Head() && last != Pending {
				t.Errorf("%s from %d on: it ends at slot %d, not at %d", tt.slots, first, k, r.Head())
			}
			if p.Reset(); p.InRest() {
				t.Error("the packet is not finished")
			}
		}
	}
}

// TestFragments tests that offsets are limited to the agreed maximum, and that the room is the rest
// of the buffer.
func TestFragments(t *testing.T) {
	r := newRing(t, abi.DirTx, 8)
	r.SetOffsets(Offsets{Mask: 0xff, Max: 64})
	r.Slot(0).Ptr, r.Slot(0).Flags = 0x1ff, abi.NSMoreFrag
	r.Slot(1).Ptr = 10
	var memory [4]Fragment
	packet, whole := r.Gather(0, 2, memory[:])
	if !whole || len(packet) != 2 || packet[0].Offset != 64 || packet[0].Room != 192 ||
		packet[1].Offset != 10 || packet[1].Room != 246 {
		t.Errorf("%+v, %v", packet, whole)
	}
}
