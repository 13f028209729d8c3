package monitor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
)

// modelMon is a monitor of the model: a queue, and lists of the frames that it has seen.
type modelMon struct {
	real   *mon
	flags  uint64
	slots  int
	queue  []piece // delivered; the program sees them after its next sync
	mine   []piece // the program may read them
	read   []piece // read by the program and not released
	noRoom uint64
}

func (m *modelMon) zero() bool { return m.flags&abi.NRZcopyMon != 0 }

// deliver delivers a batch. Without room for all, a monitor keeps the newest frames of a batch, and
// only whole packets.
func (m *modelMon) deliver(batch []piece, keep, set uint16) {
	torn := false
	for len(batch) > 0 && (len(m.queue)+len(m.mine)+len(m.read)+len(batch) > m.slots-1 || torn) {
		torn = batch[0].flags&abi.NSMoreFrag != 0
		if !torn {
			m.noRoom++
		}
		batch = batch[1:]
	}
	if torn {
		m.noRoom++
	}
	for _, f := range batch {
		m.queue = append(m.queue, piece{f.text, f.flags&keep | set})
	}
}

// model is a parent with monitors, frame by frame.
type model struct {
	t     *testing.T
	rnd   *rand.Rand
	p     *parent
	mons  []*modelMon // in the order in which they were added
	sent  []piece     // sent slots that are not back yet
	wire  []piece
	ring  []piece // arrived and not released
	read  int     // number of these read by the program
	shown int     // number of these shown to the monitors
	next  int
}

func (m *model) copies(dir uint64, batch []piece, set uint16) {
	for _, o := range m.mons {
		if !o.zero() && o.flags&dir != 0 {
			o.deliver(batch, abi.NSMoreFrag, set)
		}
	}
}

func (m *model) chain(batch []piece, set uint16) {
	for _, o := range m.mons {
		if o.zero() {
			o.deliver(batch, abi.NSMoreFrag, set)
			return
		}
	}
}

func (m *model) fresh() []piece {
	var all []piece
	for range m.rnd.IntN(4) {
		for n := m.rnd.IntN(3); n >= 0; n-- {
			f := piece{text: fmt.Sprint("frame ", m.next)}
			if n > 0 {
				f.flags = abi.NSMoreFrag
			}
			m.next++
			all = append(all, f)
		}
	}
	return all
}

func (m *model) send() {
	var batch []piece
	for _, f := range m.fresh() {
		if m.p.tx.Push([]byte(f.text), f.flags|abi.NSReport|abi.NSTxMon|abi.NSBufChanged) {
			batch = append(batch, f)
		}
	}
	m.copies(abi.NRMonitorTx, batch, abi.NSTxMon)
	m.sent = append(m.sent, batch...)
	done := m.rnd.IntN(len(m.sent) + 1)
	m.p.done = uint32(done)
	m.p.tx.Sync(m.t)
	m.chain(m.sent[:done], abi.NSTxMon)
	m.sent = m.sent[done:]
}

// arrive moves frames from the wire into the ring while there is room.
func (m *model) arrive() {
	n := min(len(m.wire), int(m.p.rx.N)-1-len(m.ring))
	m.ring, m.wire = append(m.ring, m.wire[:n]...), m.wire[n:]
}

// show shows the frames that have arrived to copy monitors.
func (m *model) show() {
	m.copies(abi.NRMonitorRx, m.ring[m.shown:], 0)
	m.shown = len(m.ring)
}

func (m *model) parentRead() {
	n := m.rnd.IntN(len(m.p.rx.Mine()) + 1)
	for _, f := range m.p.read(n) {
		if want := m.ring[m.read].text; f.text != want {
			m.t.Fatalf("the parent reads %q, want %q", f.text, want)
		}
		m.read++
	}
}

func (m *model) parentSync() {
	m.show()
	m.chain(m.ring[:m.read], 0)
	m.ring = m.ring[m.read:]
	m.shown -= m.read
	m.read = 0
	m.arrive()
	m.show()
	m.p.rx.Sync(m.t)
	if got := len(m.p.rx.Mine()); got != len(m.ring) {
		m.t.Fatalf("the parent has %d frames, want %d", got, len(m.ring))
	}
}

// sync is a monitor's sync: the frames that its program has read go to the next monitor of the
// chain, and a copy monitor syncs the parent.
func (m *model) sync(o *modelMon) {
	if o.zero() {
		for _, next := range m.mons[slices.Index(m.mons, o)+1:] {
			if next.zero() {
				next.deliver(o.read, abi.NSMoreFrag|abi.NSTxMon, 0)
				break
			}
		}
	}
	o.read = nil
	if !o.zero() && o.flags&abi.NRMonitorRx != 0 {
		m.show()
		m.arrive()
		m.show()
	}
	o.real.Sync(m.t)
	o.mine, o.queue = append(o.mine, o.queue...), nil
	if got := len(o.real.Mine()); got != len(o.mine) {
		m.t.Fatalf("%s has %d frames, want %d", o.real.Name, got, len(o.mine))
	}
}

func (m *model) pull(o *modelMon) {
	n := m.rnd.IntN(len(o.mine) + 1)
	want(m.t, o.real.Name, o.real.pull(n), o.mine[:n])
	o.read, o.mine = append(o.read, o.mine[:n]...), o.mine[n:]
}

func (m *model) open() {
	if !slices.ContainsFunc(m.mons, func(o *modelMon) bool {
		return o.zero() ||
			o.flags&abi.NRMonitorRx != 0
	}) {
		m.shown = len(m.ring) // without a monitor, frames that have arrived are not shown later
	}
	flags := []uint64{abi.NRMonitorTx, abi.NRMonitorRx, abi.NRMonitorTx | abi.NRMonitorRx,
		abi.NRZcopyMon, abi.NRZcopyMon}[m.rnd.IntN(5)]
	slots := 2 + m.rnd.Uint32N(12)
	m.mons = append(m.mons, &modelMon{real: newMon(m.t, m.p.region, m.p, flags, slots), flags: flags,
		slots: int(slots)})
}

func (m *model) close(o *modelMon) {
	wantDrops(m.t, o.real.Ring.Ring, o.drops())
	o.real.Close()
	m.mons = slices.DeleteFunc(m.mons, func(x *modelMon) bool { return x == o })
}

func (m *modelMon) drops() map[string]uint64 {
	d := map[string]uint64{}
	if m.noRoom > 0 {
		d["no-room"] = m.noRoom
	}
	return d
}

func (m *model) step() {
	var o *modelMon
	if len(m.mons) > 0 {
		o = m.mons[m.rnd.IntN(len(m.mons))]
	}
	switch k := m.rnd.IntN(20); {
	case k < 3:
		m.send()
	case k < 6:
		batch := m.fresh()
		m.wire = append(m.wire, batch...)
		m.p.wire = append(m.p.wire, batch...)
	case k < 8: // frames arrive without a sync, as from a switch
		m.arrive()
		m.p.rx.Hold()
		m.p.arrive()
		m.p.rx.Drop()
	case k < 10:
		m.parentRead()
	case k < 12:
		m.parentSync()
	case k < 13 && len(m.mons) < 5:
		m.open()
	case o == nil:
	case k < 14 && m.rnd.IntN(4) == 0:
		m.close(o)
	case k < 17:
		m.sync(o)
	default:
		m.pull(o)
	}
	rings := []*kringtest.Ring{m.p.tx, m.p.rx}
	for _, o := range m.mons {
		rings = append(rings, o.real.Ring)
	}
	wantOwners(m.t, rings...)
}

// A parent with monitors of all kinds, which are added and removed, behaves like a model that moves
// frame by frame.
func TestModel(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 11))
			region := kringtest.NewRegion(t, 512)
			m := &model{t: t, rnd: rnd, p: newParent(t, region, 2+rnd.Uint32N(20), 2+rnd.Uint32N(20))}
			for range 1000 {
				m.step()
				if t.Failed() {
					return
				}
			}
			for len(m.mons) > 0 {
				m.close(m.mons[rnd.IntN(len(m.mons))])
			}
		})
	}
}
