package monitor_test

import (
	"fmt"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/monitor"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// piece has the contents of a slot that a monitor shows.
type piece struct {
	text  string
	flags uint16
}

// parent is a port with one ring in each direction, whose wire the test controls.
type parent struct {
	region   *mem.Region
	rings    [2][]*kring.Ring
	wire     []piece // the next sync of the rx ring receives from it while there is room
	done     uint32  // largest number of sent slots that the next sync of the tx ring takes back
	tx, rx   *kringtest.Ring
	trouble  error
	received int
}

func newParent(t testing.TB, region *mem.Region, txSlots, rxSlots uint32) *parent {
	t.Helper()
	p := &parent{region: region}
	p.rings[abi.DirTx] = []*kring.Ring{kring.New("p TX0", abi.DirTx, 0, txSlots, p.txSync)}
	p.rings[abi.DirRx] = []*kring.Ring{kring.New("p RX0", abi.DirRx, 0, rxSlots, p.rxSync)}
	p.tx, p.rx = kringtest.Open(t, region, p, abi.DirTx, 0), kringtest.Open(t, region, p, abi.DirRx, 0)
	t.Cleanup(p.close)
	return p
}

func (p *parent) close() {
	for _, r := range []*kringtest.Ring{p.tx, p.rx} {
		if r.Shared != nil {
			r.Close()
		}
	}
}

func (p *parent) Rings(dir kring.Dir) []*kring.Ring { return p.rings[dir] }
func (p *parent) Close() error                      { return nil }
func (p *parent) Start(r *kring.Ring) error         { return r.Alloc(p.region, true) }
func (p *parent) Stop(r *kring.Ring)                { r.Flush(); r.Free(0, r.N) }

// out returns the number of sent slots that have not come back.
func (p *parent) out() uint32 {
	r := p.rings[abi.DirTx][0]
	return r.Dist(r.Next(r.HwTail.Load()), r.HwCur.Load())
}

func (p *parent) txSync(r *kring.Ring, _ kring.Memory) error {
	if p.trouble != nil {
		return p.trouble
	}
	r.HwCur.Store(r.Head())
	for ; p.done > 0 && p.out() > 0; p.done-- {
		r.HwTail.Store(r.Next(r.HwTail.Load()))
	}
	p.done = 0
	return nil
}

func (p *parent) rxSync(r *kring.Ring, _ kring.Memory) error {
	if p.trouble != nil {
		return p.trouble
	}
	r.HwCur.Store(r.Head())
	p.arrive()
	return nil
}

// arrive puts frames from the wire into the rx ring while there is room: in a sync, or before one,
// like the senders of a switch.
func (p *parent) arrive() {
	r := p.rings[abi.DirRx][0]
	for ; len(p.wire) > 0 && r.Room() > 0; p.wire = p.wire[1:] {
		put(r, r.HwTail.Load(), p.wire[0])
		r.HwTail.Store(r.Next(r.HwTail.Load()))
		p.received++
	}
}

func put(r *kring.Ring, i uint32, f piece) {
	idx := r.Slot(i).Word().BufIdx()
	n := copy(r.Bufs().Bytes(idx), f.text)
	r.Slot(i).SetWord(abi.MakeSlotWord(idx, uint16(n), f.flags))
}

// send hands frames over and syncs. Then up to done slots have come back.
func (p *parent) send(t testing.TB, done uint32, frames ...piece) {
	t.Helper()
	for _, f := range frames {
		if !p.tx.Push([]byte(f.text), f.flags) {
			t.Fatalf("no room for %q", f.text)
		}
	}
	p.done = done
	p.tx.Sync(t)
}

// read takes n frames from the parent's rx ring. The next sync releases them.
func (p *parent) read(n int) (all []piece) {
	for ; n > 0; n-- {
		if text, flags, ok := p.rx.Pull(); ok {
			all = append(all, piece{string(text), flags})
		}
	}
	return all
}

// mon is a monitor with its one rx ring open.
type mon struct {
	*kringtest.Ring
	port *monitor.Port
}

var serial uint64

func newMon(t testing.TB, region *mem.Region, p port.Port, flags uint64, slots uint32) *mon {
	t.Helper()
	serial++
	m := &mon{port: monitor.New(region, p, monitor.Config{Parent: "p", Serial: serial, Flags: flags,
		TxSlots: slots, RxSlots: slots})}
	m.Ring = kringtest.Open(t, region, m.port, abi.DirRx, 0)
	t.Cleanup(func() {
		if m.Shared != nil {
			m.Close()
		}
	})
	return m
}

// pull takes the monitor's frames, at most n, without a sync.
func (m *mon) pull(n int) (all []piece) {
	for ; n > 0; n-- {
		text, flags, ok := m.Pull()
		if !ok {
			break
		}
		all = append(all, piece{string(text), flags})
	}
	return all
}

// look syncs and takes all frames.
func (m *mon) look(t testing.TB) []piece {
	t.Helper()
	m.Sync(t)
	return m.pull(1 << 20)
}

func frames(flags uint16, texts ...string) (all []piece) {
	for _, s := range texts {
		all = append(all, piece{s, flags})
	}
	return all
}

func want(t testing.TB, what string, got, want []piece) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func wantDrops(t testing.TB, r *kring.Ring, want map[string]uint64) {
	t.Helper()
	if got := r.Drops.Counts(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s lost %v, want %v", r.Name, got, want)
	}
}

// wantOwners checks that every buffer is in one slot of one of the rings.
func wantOwners(t testing.TB, rings ...*kringtest.Ring) {
	t.Helper()
	owner := map[uint32]string{}
	for _, r := range rings {
		if r.Shared == nil {
			continue
		}
		for i := range r.Slots() {
			here := fmt.Sprintf("%s slot %d", r.Name, i)
			idx := r.Slot(uint32(i)).BufIdx
			if there, ok := owner[idx]; ok || !r.Bufs().Valid(idx) {
				t.Fatalf("buffer %d is in %s and in %s", idx, there, here)
			}
			owner[idx] = here
		}
	}
}
