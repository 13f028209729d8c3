package vale

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
)

// piece has the contents of a slot that a receiver finds.
type piece struct {
	data  []byte
	flags uint16
}

// modelRing is an rx ring of the model: a queue with room for the slots that the receiver has
// released.
type modelRing struct {
	open  bool
	room  int
	queue []piece
	drops map[string]uint64
}

// modelPort is a port of the model.
type modelPort struct {
	present bool
	rx      []*modelRing
	drops   []map[string]uint64 // by tx ring
}

// model is a switch that moves one packet at a time.
type model struct {
	ports []*modelPort
	table map[uint32]struct {
		mac  uint64
		port int
	}
}

// send sends a packet, in its slots, from a ring of a port.
func (m *model) send(from, ring int, slots []abi.Slot, data func(abi.Slot) []byte,
	valid func(uint32) bool, size int) {
	drop := func(why kring.Reason) { m.ports[from].drops[ring][why.String()]++ }
	if len(slots) > abi.MaxFrags {
		drop(kring.TooManyFrags)
		return
	}
	for _, s := range slots {
		if !valid(s.BufIdx) {
			drop(kring.BadBuffer)
			return
		}
		if int(s.Len) > size {
			drop(kring.BadLength)
			return
		}
	}
	if slots[0].Len < 14 {
		drop(kring.TooShort)
		return
	}
	head := data(slots[0])
	dst, src := macOf(head), macOf(head[6:])
	if src&1 == 0 {
		m.table[hash(src)] = struct {
			mac  uint64
			port int
		}{src, from}
	}
	var pieces []piece
	for i, s := range slots {
		flags := uint16(len(slots)) << 8
		if i < len(slots)-1 {
			flags |= abi.NSMoreFrag
		}
		pieces = append(pieces, piece{bytes.Clone(data(s)), flags})
	}
	if e, ok := m.table[hash(dst)]; dst&1 == 0 && ok && e.mac == dst {
		to := m.ports[e.port]
		if e.port == from || !to.present {
			drop(kring.NoReceiver)
			return
		}
		to.rx[ring%len(to.rx)].put(pieces)
		return
	}
	alone := true
	for i, p := range m.ports {
		if i != from && p.present {
			p.rx[0].put(pieces)
			alone = false
		}
	}
	if alone {
		drop(kring.NoReceiver)
	}
}

func (r *modelRing) put(pieces []piece) {
	switch {
	case !r.open:
		r.drops[kring.NotOpen.String()]++
	case len(pieces) > r.room:
		r.drops[kring.NoRoom.String()]++
	default:
		r.room -= len(pieces)
		r.queue = append(r.queue, pieces...)
	}
}

// forget removes the addresses of a port that leaves.
func (m *model) forget(port int) {
	for h, e := range m.table {
		if e.port == port {
			delete(m.table, h)
		}
	}
}

func macOf(b []byte) uint64 {
	return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint16(b[4:]))<<32
}

// bench is a switch next to its model.
type bench struct {
	*testing.T
	net
	m   model
	seq uint32
}

func (b *bench) add(t *testing.T, txRings, rxRings int, slots uint32) {
	b.join(t, txRings, rxRings, slots)
	p := &modelPort{present: true}
	for range txRings {
		p.drops = append(p.drops, map[string]uint64{})
	}
	for range rxRings {
		p.rx = append(p.rx, &modelRing{open: true, room: int(slots) - 1, drops: map[string]uint64{}})
	}
	b.m.ports = append(b.m.ports, p)
}

// fill puts a random packet of some slots into the tx ring, and sends it in the model.
func (b *bench) fill(rnd *rand.Rand, tx *kringtest.Ring, macs [][6]byte,
	room int) (slots []abi.Slot) {
	frags := 1
	if rnd.IntN(4) == 0 {
		frags += rnd.IntN(3)
	}
	if rnd.IntN(60) == 0 {
		frags = 60 + rnd.IntN(8)
	}
	frags = min(frags, room)
	for i := range frags {
		at := tx.Shared.Head.Load()
		s := tx.Slot(at)
		buf := tx.Bufs().Bytes(s.BufIdx)
		if i == 0 {
			copy(buf, macs[rnd.IntN(len(macs))][:])
			copy(buf[6:], macs[rnd.IntN(len(macs))][:])
		}
		b.seq++
		binary.LittleEndian.PutUint32(buf[14:], b.seq)
		s.Len, s.Flags = uint16([]int{14, 60, 64, 65, 200, 256, rnd.IntN(257)}[rnd.IntN(7)]),
			uint16(rnd.IntN(2))<<1
		switch rnd.IntN(80) {
		case 0:
			s.Len = uint16(257 + rnd.IntN(1<<16-257))
		case 1:
			s.BufIdx = []uint32{0, 1, tx.Bufs().Total(), 1<<32 - 1}[rnd.IntN(4)]
		}
		if i < frags-1 {
			s.Flags |= abi.NSMoreFrag
		}
		slots = append(slots, *s)
		tx.SetHead(tx.Next(at))
	}
	return slots
}

// TestSwitchDoesWhatTheModelDoes sends random packets, good and bad, between ports of all shapes,
// some of which are closed or leave meanwhile, and compares every slot and every counter.
func TestSwitchDoesWhatTheModelDoes(t *testing.T) {
	macs := [][6]byte{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}, {}}
	for i := range byte(9) {
		macs = append(macs, [6]byte{2, 0, 0, 0, i, i})
	}
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 6))
			b := &bench{T: t, net: newNet(t), m: model{table: map[uint32]struct {
				mac  uint64
				port int
			}{}}}
			for range 2 + rnd.IntN(4) {
				b.add(t, 1+rnd.IntN(3), 1+rnd.IntN(3), 2+rnd.Uint32N(80))
			}
			for range 250 {
				b.step(rnd, macs)
			}
			b.compareDrops()
		})
	}
}

func (b *bench) step(rnd *rand.Rand, macs [][6]byte) {
	i := rnd.IntN(len(b.ports))
	p, mp := b.ports[i], b.m.ports[i]
	if !mp.present {
		if rnd.IntN(10) == 0 {
			p.rejoin(b.T)
			mp.present = true
		}
		return
	}
	switch k := rnd.IntN(len(p.rx)); rnd.IntN(20) {
	case 0: // the receiver closes or opens a ring
		if mp.rx[k].open = p.rx[k].Shared == nil; mp.rx[k].open {
			p.rx[k].Reopen(b.T)
			mp.rx[k].queue, mp.rx[k].room = nil, int(p.rx[k].N)-1
		} else {
			p.rx[k].Close()
		}
	case 1:
		if rnd.IntN(4) == 0 {
			p.leave()
			mp.present = false
			for _, r := range mp.rx {
				r.open = false
			}
			b.m.forget(i)
		}
	case 2, 3, 4, 5, 6, 7:
		if mp.rx[k].open {
			b.receive(p.rx[k], mp.rx[k], rnd.IntN(int(p.rx[k].N)))
		}
	default:
		b.transmit(rnd, i, rnd.IntN(len(p.tx)), macs)
	}
}

func (b *bench) transmit(rnd *rand.Rand, from, ring int, macs [][6]byte) {
	tx := b.ports[from].tx[ring]
	room := len(tx.Mine())
	if room != int(tx.N)-1 {
		b.Fatalf("%s has %d slots before sending, want all but one of %d", tx.Name, room, tx.N)
	}
	start := tx.Shared.Head.Load()
	saved := append([]abi.Slot{}, tx.Slots()...)
	for room = rnd.IntN(room + 1); room > 0; {
		slots := b.fill(rnd, tx, macs, room)
		if room -= len(slots); room == 0 && rnd.IntN(2) == 0 { // a packet without its end
			last := (tx.Shared.Head.Load() + tx.N - 1) % tx.N
			tx.Slot(last).Flags |= abi.NSMoreFrag
		}
		data := func(s abi.Slot) []byte { return tx.Bufs().Bytes(s.BufIdx)[:s.Len] }
		b.m.send(from, ring, slots, data, tx.Bufs().Valid, int(tx.Bufs().Size()))
	}
	if !tx.Sync(b.T) {
		b.Fatalf("%s was refused", tx.Name)
	}
	for i := start; i != tx.Shared.Head.Load(); i = tx.Next(i) {
		tx.Slot(i).BufIdx = saved[i].BufIdx // restore the invalid indexes
	}
}

// receive compares the ring with the model, and releases up to most slots.
func (b *bench) receive(rx *kringtest.Ring, m *modelRing, most int) {
	b.Helper()
	rx.Sync(b.T)
	mine := rx.Mine()
	if len(mine) != len(m.queue) {
		b.Fatalf("%s has %d slots, want %d", rx.Name, len(mine), len(m.queue))
	}
	for i, at := range mine {
		s := rx.Slot(at)
		if got := rx.Bufs().Bytes(s.BufIdx)[:s.Len]; !bytes.Equal(got, m.queue[i].data) ||
			s.Flags != m.queue[i].flags {
			b.Fatalf("%s slot %d of %d: %d bytes %x…, flags %#x; want %d bytes %x…, flags %#x", rx.Name, i,
				len(mine),
				len(got), got[:min(len(got), 20)], s.Flags, len(m.queue[i].data),
				m.queue[i].data[:min(len(m.queue[i].data), 20)], m.queue[i].flags)
		}
	}
	n := min(most, len(mine))
	rx.SetHead((rx.Shared.Head.Load() + uint32(n)) % rx.N)
	rx.Sync(b.T)
	m.queue = m.queue[n:]
	m.room += n
}

func (b *bench) compareDrops() {
	for i, p := range b.ports {
		for k, r := range p.tx {
			if got, want := r.Drops.Counts(), b.m.ports[i].drops[k]; !maps.Equal(got, want) {
				b.Errorf("%s dropped %v, want %v", r.Name, got, want)
			}
		}
		for k, r := range p.rx {
			if got, want := r.Drops.Counts(), b.m.ports[i].rx[k].drops; !maps.Equal(got, want) {
				b.Errorf("%s dropped %v, want %v", r.Name, got, want)
			}
		}
	}
}
