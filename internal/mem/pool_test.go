package mem

import (
	"math/rand/v2"
	"testing"
)

// poolModel is a slow and simple pool, with which pool is compared.
type poolModel struct{ used, reserved []bool }

func (m *poolModel) alloc(n uint32) (uint32, bool) {
	for first := 0; first+int(n) <= len(m.used); first++ {
		if m.all(uint32(first), n, func(i uint32) bool { return !m.used[i] }) {
			m.set(uint32(first), n, true)
			return uint32(first), true
		}
	}
	return 0, false
}

func (m *poolModel) release(first, n uint32) bool {
	if n == 0 || uint64(first)+uint64(n) > uint64(len(m.used)) {
		return false
	}
	if !m.all(first, n, func(i uint32) bool { return m.used[i] && !m.reserved[i] }) {
		return false
	}
	m.set(first, n, false)
	return true
}

func (m *poolModel) all(first, n uint32, ok func(uint32) bool) bool {
	for i := first; i < first+n; i++ {
		if !ok(i) {
			return false
		}
	}
	return true
}

func (m *poolModel) set(first, n uint32, used bool) {
	for i := first; i < first+n; i++ {
		m.used[i] = used
	}
}

func (m *poolModel) free() (n uint32) {
	for _, u := range m.used {
		if !u {
			n++
		}
	}
	return n
}

func TestPoolIsFirstFitWhateverHappens(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		num := 1 + rnd.Uint32N(300)
		p := newPool("things", Pool{num, 4096}, 0)
		p.reset()
		m := poolModel{make([]bool, p.num), make([]bool, p.num)}
		for range rnd.IntN(5) {
			i := rnd.Uint32N(p.num)
			p.reserve(i)
			m.used[i], m.reserved[i] = true, true
		}
		usable := m.free()
		var out [][2]uint32
		for step := range 400 {
			if n := 1 + min(rnd.Uint32N(9), rnd.Uint32N(9)); len(out) == 0 || rnd.IntN(100) < 55 {
				got, ok := p.alloc(n)
				want, wantOK := m.alloc(n)
				if got != want || ok != wantOK {
					t.Fatalf("seed %d step %d: alloc(%d) = %d, %v; want %d, %v", seed, step, n, got, ok, want,
						wantOK)
				}
				if ok {
					out = append(out, [2]uint32{got, n})
				}
			} else {
				i := rnd.IntN(len(out))
				o := out[i]
				switch rnd.IntN(4) {
				case 0: // any numbers: a peer may send them
					o = [2]uint32{rnd.Uint32N(2 * p.num), rnd.Uint32N(4)}
				case 1:
					o = [2]uint32{rnd.Uint32(), rnd.Uint32()}
				}
				got, want := p.release(o[0], o[1]), m.release(o[0], o[1])
				if got != want {
					t.Fatalf("seed %d step %d: release(%d, %d) = %v; want %v", seed, step, o[0], o[1], got, want)
				}
			}
			if p.free != m.free() || p.usable != usable {
				t.Fatalf("seed %d step %d: %d of %d free; want %d of %d", seed, step, p.free, p.usable,
					m.free(), usable)
			}
		}
	}
}

func TestPoolFindsAFragmentedPlace(t *testing.T) {
	p := newPool("things", Pool{256, 4096}, 0)
	p.reset()
	for range 256 {
		p.alloc(1)
	}
	if _, ok := p.alloc(1); ok {
		t.Fatal("a full pool gave something")
	}
	for i := uint32(0); i < 256; i += 2 {
		p.release(i, 1)
	}
	if _, ok := p.alloc(2); ok {
		t.Error("two adjacent objects where every second one is out")
	}
	p.release(127, 1) // 126, 127 and 128: on both sides of a word boundary of the bitmap
	if first, ok := p.alloc(3); !ok || first != 126 {
		t.Errorf("alloc(3) = %d, %v; want 126", first, ok)
	}
}
