package vale

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
)

// memory is a program's memory, which starts at address base.
type memory struct {
	base  uint64
	bytes []byte
	calls int
}

func (m *memory) Fetch(pieces []kring.Piece) {
	m.calls++
	for i := range pieces {
		p := &pieces[i]
		if at := p.Addr - m.base; at > uint64(len(m.bytes)) ||
			uint64(len(p.To)) > uint64(len(m.bytes))-at {
			p.Bad = true
		} else {
			copy(p.To, m.bytes[at:])
		}
	}
}

// pushIndirect hands over a slot whose data is at an address.
func pushIndirect(t testing.TB, r *kringtest.Ring, addr uint64, length, flags uint16) {
	t.Helper()
	i := r.Shared.Head.Load()
	if !r.Push(nil, flags|abi.NSIndirect) {
		t.Fatal("no room")
	}
	r.Slot(i).Len, r.Slot(i).Ptr = length, addr
}

// Packets of one or several slots mix direct and indirect slots.
func TestIndirectSlots(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 300), w.join(t, 1, 1, 1024)
	rnd := rand.New(rand.NewPCG(5, 6))
	m := &memory{base: 1 << 40, bytes: make([]byte, 1<<16)}
	a.tx[0].Program = m
	for range 50 {
		next := 0
		var want [][]byte
		for room := 250; room > 0; {
			slots := 1 + rnd.IntN(min(4, room))
			room -= slots
			var whole []byte
			for i := range slots {
				part := []byte(fmt.Sprintf("part %d of %d, %d", i, slots, rnd.Uint64()))
				if i == 0 {
					part = packet('*', 'a', string(part))
				}
				whole = append(whole, part...)
				flags := uint16(abi.NSMoreFrag)
				if i == slots-1 {
					flags = 0
				}
				if rnd.IntN(3) == 0 {
					a.tx[0].Push(part, flags)
					continue
				}
				copy(m.bytes[next:], part)
				pushIndirect(t, a.tx[0], m.base+uint64(next), uint16(len(part)), flags)
				next += len(part)
			}
			want = append(want, whole)
		}
		m.calls = 0
		a.tx[0].Sync(t)
		if m.calls > 1+250/together {
			t.Errorf("%d calls for at most 250 slots", m.calls)
		}
		b.rx[0].Sync(t)
		for i := range want {
			if got, ok := pullWhole(t, b.rx[0]); !ok || !bytes.Equal(got, want[i]) {
				t.Fatalf("packet %d is %q, want %q", i, got, want[i])
			}
		}
		b.rx[0].Sync(t)
	}
}

func TestIndirectSlotsThatCannotBeRead(t *testing.T) {
	p := ports(t, 2)
	tx := p[0].tx[0]
	data := packet('*', 'a', "hello")
	m := &memory{base: 4096, bytes: data}
	tx.Program = m
	pushIndirect(t, tx, 0, 60, 0)                                // not mapped
	pushIndirect(t, tx, 4096, uint16(len(data))+1, 0)            // beyond the end
	pushIndirect(t, tx, ^uint64(0), 60, 0)                       // wraps around
	pushIndirect(t, tx, 4096, uint16(len(data)), 0)              // good
	pushIndirect(t, tx, 4096, uint16(len(data)), abi.NSMoreFrag) // a packet whose
	pushIndirect(t, tx, 0, 60, abi.NSMoreFrag)                   // middle cannot be read
	tx.Push([]byte("end"), 0)
	pushIndirect(t, tx, 4096, 257, 0) // longer than a buffer
	pushIndirect(t, tx, 4096, 13, 0)  // too short
	tx.Sync(t)
	wantDrops(t, tx, kring.BadAddress, 4)
	wantDrops(t, tx, kring.BadLength, 1)
	wantDrops(t, tx, kring.TooShort, 1)
	p[1].rx[0].Sync(t)
	for _, want := range []string{string(data), string(data) + "end"} {
		if got, ok := pullWhole(t, p[1].rx[0]); !ok || string(got) != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got, ok := pullWhole(t, p[1].rx[0]); ok {
		t.Errorf("and %q", got)
	}

	tx.Program = nil
	pushIndirect(t, tx, 4096, uint16(len(data)), 0)
	tx.Sync(t)
	wantDrops(t, tx, kring.BadAddress, 5)
}
