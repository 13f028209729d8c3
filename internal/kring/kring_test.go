package kring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/mem"
)

func newRegion(t *testing.T) *mem.Region {
	t.Helper()
	r, err := mem.New(1, mem.Config{If: mem.Pool{Num: 4, Size: 1024},
		Ring: mem.Pool{Num: 64, Size: 4096}, Buf: mem.Pool{Num: 512, Size: 256}, NoHuge: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// newRing makes a ring with memory. At the end of the test, all memory must be back in the pool.
func newRing(t *testing.T, dir Dir, n uint32) *Ring {
	t.Helper()
	region := newRegion(t)
	r := New("test", dir, 0, n, nil)
	if err := r.Alloc(region, true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.Free(0, r.N)
		region.Reset() // tests leave slots without their buffers
	})
	return r
}

var directions = []struct {
	name string
	dir  Dir
}{{"tx", abi.DirTx}, {"rx", abi.DirRx}}

// agree makes the slots from..to those of the program.
func (r *Ring) agree(from, to uint32) {
	r.head, r.cur, r.tail = from, from, to
	r.HwCur.Store(from)
	r.HwTail.Store(to)
	r.program(from, from)
	r.shared.Tail.Store(to)
}

// program writes head and cur as a program does.
func (r *Ring) program(head, cur uint32) {
	r.shared.Head.Store(head)
	r.shared.Cur.Store(cur)
}

// walk lists the indexes from a to b, both included.
func walk(n, a, b uint32) []uint32 {
	list := []uint32{a}
	for a != b {
		a = (a + 1) % n
		list = append(list, a)
	}
	return list
}

// valid is the rule of the prologue, in single steps: head is one of from … to, and cur one of
// head … to.
func valid(n, from, to, head, cur uint32) bool {
	for _, h := range walk(n, from, to) {
		if h != head {
			continue
		}
		for _, c := range walk(n, head, to) {
			if c == cur {
				return true
			}
		}
	}
	return false
}

func TestPrologueAcceptsWhatTheModelAccepts(t *testing.T) {
	for _, d := range directions {
		for n := uint32(2); n <= 6; n++ {
			t.Run(fmt.Sprintf("%s/%d slots", d.name, n), func(t *testing.T) {
				r := newRing(t, d.dir, n)
				for from := range n {
					for to := range n {
						checkHeadsAndCurs(t, r, from, to)
					}
				}
			})
		}
	}
}

// checkHeadsAndCurs tests the prologue with each head and cur in the ring, and with some outside of
// it, when the program owns the slots from..to.
func checkHeadsAndCurs(t *testing.T, r *Ring, from, to uint32) {
	t.Helper()
	n := r.N
	outside := []uint32{n, n + 1, 2*n - 1, 1 << 31, 1<<32 - 1}
	for head := range n {
		for cur := range n {
			checkPrologue(t, r, from, to, head, cur, valid(n, from, to, head, cur))
		}
		for _, bad := range outside {
			checkPrologue(t, r, from, to, head, bad, false)
			checkPrologue(t, r, from, to, bad, head, false)
			checkPrologue(t, r, from, to, bad, bad, false)
		}
	}
}

func checkPrologue(t *testing.T, r *Ring, from, to, head, cur uint32, want bool) {
	t.Helper()
	r.agree(from, to)
	if r.Dir == abi.DirTx {
		// The head of a tx ring is checked against the agreed values, even if the port has moved
		// on.
		r.HwCur.Store((from + 1) % r.N)
		r.HwTail.Store((to + 1) % r.N)
	} else {
		// The head of an rx ring is checked against HwCur and HwTail: new frames count at once.
		r.head, r.cur, r.tail = (from+1)%r.N, from, (to+1)%r.N
		r.shared.Tail.Store(r.tail)
	}
	oldHead, oldCur, tail := r.head, r.cur, r.tail
	r.program(head, cur)
	r.shared.Tail.Store(tail ^ 1) // overwritten by the program
	if got := r.Prologue(); got != want {
		t.Fatalf("program owns %d to %d, writes head %d, cur %d: accepted %v, want %v", from, to,
			head, cur, got, want)
	}
	if want {
		if r.Head() != head || r.cur != cur || r.tail != tail || r.shared.Tail.Load() != tail {
			t.Fatalf("program owns %d to %d, writes head %d, cur %d: "+
				"agreed on %d, %d, tail %d (%d), want tail %d",
				from, to, head, cur, r.head, r.cur, r.tail, r.shared.Tail.Load(), tail)
		}
	} else if r.head != oldHead || r.cur != oldCur || r.tail != tail {
		t.Fatalf("program owns %d to %d, writes head %d, cur %d: refused, but agreed values changed",
			from, to, head, cur)
	}
}

func TestPrologueRules(t *testing.T) {
	for _, c := range []struct {
		name               string
		from, to, hd, cur  uint32
		accepted, acceptIn bool // by the prologue, and by the prologue after Reinit
	}{
		{"nothing new", 2, 6, 2, 2, true, true},
		{"some slots handed over", 2, 6, 4, 4, true, true},
		{"all handed over", 2, 6, 6, 6, true, true},
		{"cur ahead of head", 2, 6, 3, 6, true, true},
		{"around the end", 6, 2, 0, 1, true, true},
		{"no slots and none handed over", 3, 3, 3, 3, true, true},
		{"head behind the agreed one", 2, 6, 1, 1, false, true},
		{"head past tail", 2, 6, 7, 7, false, true},
		{"head past tail around the end", 6, 2, 3, 3, false, true},
		{"cur lags head", 2, 6, 4, 3, false, false},
		{"cur past tail", 2, 6, 4, 7, false, false},
		{"cur past tail around the end", 6, 2, 7, 3, false, false},
		{"head is no index", 2, 6, 8, 4, false, true},
		{"cur is no index", 2, 6, 4, 8, false, true},
	} {
		for _, d := range directions {
			t.Run(d.name+"/"+c.name, func(t *testing.T) {
				r := newRing(t, d.dir, 8)
				r.agree(c.from, c.to)
				r.program(c.hd, c.cur)
				if got := r.Prologue(); got != c.accepted {
					t.Fatalf("accepted: %v, want %v", got, c.accepted)
				}
				if c.accepted {
					return
				}
				r.Reinit()
				if d.dir == abi.DirRx {
					r.HwCur.Store(r.Head()) // as an rxsync does after Reinit
				}
				if got := r.Prologue(); got != c.acceptIn {
					t.Errorf("accepted after Reinit: %v, want %v", got, c.acceptIn)
				}
				r.program(r.HwCur.Load(), r.HwCur.Load())
				if d.dir == abi.DirRx && !r.Prologue() {
					t.Error("the program corrected head and cur, and is still refused")
				}
			})
		}
	}
}

func TestReinitResetsInvalidWords(t *testing.T) {
	const n, hwCur, hwTail = 8, 3, 6
	for _, d := range directions {
		for _, c := range []struct {
			name            string
			head, cur, tail uint32
			reset           bool
		}{
			{"head", n, 3, hwTail, true},
			{"cur", 3, n, hwTail, true},
			{"head, which is not the program's", 7, 7, hwTail, d.dir == abi.DirRx},
			{"all of them", 1<<32 - 1, 1<<32 - 1, 1<<32 - 1, true},
			{"none but tail", 4, 4, n, false},
			{"none, but cur lags head", 5, 4, 2, false},
		} {
			t.Run(d.name+"/"+c.name, func(t *testing.T) {
				r := newRing(t, d.dir, n)
				r.agree(hwCur, hwTail)
				r.program(c.head, c.cur)
				r.shared.Tail.Store(c.tail)
				if got := r.Reinit(); got != c.reset {
					t.Fatalf("reset: %v, want %v", got, c.reset)
				}
				want := [3]uint32{c.head, c.cur, hwTail}
				if c.reset {
					want = [3]uint32{hwCur, hwCur, hwTail}
				}
				if got := [3]uint32{r.head, r.cur, r.tail}; got != want {
					t.Errorf("head, cur, tail are %v, want %v", got, want)
				}
				shared := [3]uint32{r.shared.Head.Load(), r.shared.Cur.Load(), r.shared.Tail.Load()}
				if shared != want {
					t.Errorf("the program sees %v, want %v", shared, want)
				}
				if c.reset && !r.Prologue() {
					t.Error("refused after a reset")
				}
			})
		}
	}
}

func TestOverwrittenTailIsRestored(t *testing.T) {
	for _, d := range directions {
		t.Run(d.name, func(t *testing.T) {
			r := newRing(t, d.dir, 8)
			r.agree(2, 6)
			for _, tail := range []uint32{0, 3, 7, 8, 1<<32 - 1} {
				r.shared.Tail.Store(tail)
				if !r.Prologue() {
					t.Fatalf("refused because of tail %d", tail)
				}
				if got := r.shared.Tail.Load(); got != 6 {
					t.Errorf("tail is %d after %d was written", got, tail)
				}
			}

			// A refused prologue does not accept them either: the program owns what the framework
			// gave it.
			r.program(7, 7)
			r.shared.Tail.Store(7)
			if r.Prologue() || r.Reinit() != (d.dir == abi.DirRx) || r.tail != 6 {
				t.Fatalf("tail %d was accepted", r.tail)
			}
			if got := r.shared.Tail.Load(); got != 6 {
				t.Errorf("tail is %d", got)
			}
		})
	}
}

func TestReinitRepairsSlots(t *testing.T) {
	r := newRing(t, abi.DirTx, 16)
	good := r.Slot(0).BufIdx
	for _, c := range []struct {
		name     string
		in, want abi.Slot
	}{
		{"good", abi.Slot{BufIdx: good, Len: 60, Flags: 1, Ptr: 9},
			abi.Slot{BufIdx: good, Len: 60, Flags: 1, Ptr: 9}},
		{"whole buffer", abi.Slot{BufIdx: good, Len: 256}, abi.Slot{BufIdx: good, Len: 256}},
		{"too long", abi.Slot{BufIdx: good, Len: 257, Flags: 0x20}, abi.Slot{BufIdx: good, Flags: 0x20}},
		{"no buffer", abi.Slot{BufIdx: 0, Len: 60, Flags: 0x21}, abi.Slot{Flags: 0x21}},
		{"reserved buffer", abi.Slot{BufIdx: 1, Len: 60}, abi.Slot{}},
		{"first buffer", abi.Slot{BufIdx: 2, Len: 60}, abi.Slot{BufIdx: 2, Len: 60}},
		{"last buffer", abi.Slot{BufIdx: 511, Len: 60}, abi.Slot{BufIdx: 511, Len: 60}},
		{"behind the last", abi.Slot{BufIdx: 512, Len: 60}, abi.Slot{}},
		{"far behind", abi.Slot{BufIdx: 1<<32 - 1, Len: 0xffff, Ptr: 7}, abi.Slot{Ptr: 7}},
	} {
		for i := range r.Slots() {
			*r.Slot(uint32(i)) = c.in
		}
		if r.Reinit() {
			t.Errorf("%s: a bad slot is no reason to reset", c.name)
		}
		for i := range r.Slots() {
			if got := *r.Slot(uint32(i)); got != c.want {
				t.Errorf("%s: slot %d is %+v, want %+v", c.name, i, got, c.want)
			}
		}
	}
}

// TestIndexesStayBelowN tests that random words of a program never lead to an index outside of the
// ring.
func TestIndexesStayBelowN(t *testing.T) {
	for _, d := range directions {
		for n := uint32(2); n <= 9; n++ {
			syncRandomWords(t, d.name, newRing(t, d.dir, n))
		}
	}
}

// syncRandomWords syncs the ring again and again after the program wrote random words, and tests
// the indexes.
func syncRandomWords(t *testing.T, name string, r *Ring) {
	t.Helper()
	n := r.N
	rnd := rand.New(rand.NewPCG(uint64(n), 2))
	value := func() uint32 {
		if rnd.IntN(8) == 0 {
			return rnd.Uint32()
		}
		return rnd.Uint32N(n + 1)
	}
	for step := range 5000 {
		r.program(value(), value())
		if rnd.IntN(4) == 0 {
			r.shared.Tail.Store(value())
		}
		ok := r.Prologue()
		if !ok {
			r.Reinit()
		}
		if ok || r.Dir == abi.DirRx {
			r.HwCur.Store(r.Head())
			r.HwTail.Store(rnd.Uint32N(n))
			r.Publish()
			if got := r.shared.Tail.Load(); got != r.HwTail.Load() {
				t.Fatalf("%s, step %d: tail is %d after a sync, want %d", name, step, got,
					r.HwTail.Load())
			}
		}
		if r.head >= n || r.cur >= n || r.tail >= n || r.HwCur.Load() >= n || r.HwTail.Load() >= n {
			t.Fatalf("%s, step %d: head %d, cur %d, tail %d of %d", name, step, r.head, r.cur, r.tail,
				n)
		}
	}
}

func TestArithmeticOfIndexes(t *testing.T) {
	for n := uint32(2); n <= 6; n++ {
		r := New("test", abi.DirTx, 0, n, nil)
		for a := range n {
			if got := r.Next(a); got != (a+1)%n {
				t.Errorf("%d slots: Next(%d) = %d", n, a, got)
			}
			for b := range n {
				way := walk(n, a, b)
				if got := r.Dist(a, b); int(got) != len(way)-1 {
					t.Errorf("%d slots: Dist(%d, %d) = %d", n, a, b, got)
				}
				if got := walkRuns(r, a, b); fmt.Sprint(got) != fmt.Sprint(way[:len(way)-1]) {
					t.Errorf("%d slots: runs from %d to %d are %v", n, a, b, got)
				}
			}
		}
	}
}

// walkRuns lists the indexes from a to b, without b, as Run leads through them. There are at most
// two runs.
func walkRuns(r *Ring, a, b uint32) (list []uint32) {
	for k := a; k != b; k = r.Run(k, b) % r.N {
		for i := k; i < r.Run(k, b); i++ {
			list = append(list, i)
		}
	}
	return list
}

func TestReadyAndIdle(t *testing.T) {
	for _, c := range []struct {
		name           string
		from, to       uint32
		head, cur      uint32
		ready, handled bool
	}{
		{"slots at cur", 2, 6, 2, 2, true, true},
		{"no slots", 2, 2, 2, 2, false, true},
		{"none after cur", 2, 6, 2, 6, false, true},
		{"all handed over", 2, 6, 6, 6, false, false},
		{"some handed over", 2, 6, 3, 3, true, false},
	} {
		r := newRing(t, abi.DirTx, 8)
		r.agree(c.from, c.to)
		r.program(c.head, c.cur)
		r.Prologue()
		if r.Ready() != c.ready || r.Idle() != c.handled {
			t.Errorf("%s: ready %v, idle %v", c.name, r.Ready(), r.Idle())
		}
	}
}

func TestAllocAndFree(t *testing.T) {
	region := newRegion(t)
	for _, d := range directions {
		r := New("test", d.dir, 5, 32, nil)
		if r.Mapped() {
			t.Error("a new ring has memory")
		}
		r.Free(0, r.N) // there is nothing to free
		if err := r.Alloc(region, true); err != nil {
			t.Fatal(err)
		}
		want := uint32(0)
		if d.dir == abi.DirTx {
			want = 31
		}
		if r.head|r.cur|r.HwCur.Load() != 0 || r.tail != want || r.HwTail.Load() != want ||
			r.shared.Tail.Load() != want {
			t.Errorf("%s: a fresh ring has tail %d, want %d", d.name, r.shared.Tail.Load(), want)
		}
		if !r.Prologue() || r.Publish() {
			t.Errorf("%s: the prologue refuses a new ring", d.name)
		}
		at := r.Offset()
		if err := r.Alloc(region, true); err != nil || r.Offset() != at {
			t.Errorf("%s: Alloc replaced the memory of a ring: %v", d.name, err)
		}
		r.Free(0, r.N)
		if r.Mapped() || !region.Usage().Full() {
			t.Errorf("%s: left behind: %+v", d.name, region.Usage())
		}
	}
}

func TestAllocTakesEverythingOrNothing(t *testing.T) {
	region := newRegion(t)
	region.NewExtra(500)
	before := region.Usage()
	r := New("test", abi.DirTx, 0, 32, nil)
	if err := r.Alloc(region, true); !errors.Is(err, syscall.ENOMEM) {
		t.Errorf("error %v, want ENOMEM", err)
	}
	if r.Mapped() || region.Usage() != before {
		t.Errorf("left behind: %+v, before %+v", region.Usage(), before)
	}
	if err := r.Alloc(region, false); err != nil {
		t.Errorf("without buffers: %v", err)
	}
	r.Free(0, 0)
	if region.Usage() != before {
		t.Errorf("left behind: %+v, before %+v", region.Usage(), before)
	}
}

func TestFreeReturnsTheNamedSlotsOnly(t *testing.T) {
	region := newRegion(t)
	r := New("test", abi.DirTx, 0, 8, nil)
	if err := r.Alloc(region, true); err != nil {
		t.Fatal(err)
	}
	kept := map[uint32]bool{}
	for i := uint32(2); i < 6; i++ {
		kept[r.Slot(i).BufIdx] = true
	}
	*r.Slot(7) = *r.Slot(6) // the same buffer twice
	r.Free(6, 4)
	if u := region.Usage(); u.BufTotal-u.BufFree != 5 {
		t.Errorf("%d buffers are out, want the 4 that were kept and the 1 that was overwritten",
			u.BufTotal-u.BufFree)
	}
	for b := range kept {
		if !region.FreeBuf(b) {
			t.Errorf("buffer %d was freed", b)
		}
	}
}

func TestOneHolderAtATime(t *testing.T) {
	r := New("test", abi.DirTx, 0, 8, nil)
	counter := 0 // not atomic: the race detector checks the lock
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 500 {
				r.Hold()
				counter++
				r.Drop()
			}
		})
	}
	wg.Wait()
	if counter != 2000 {
		t.Errorf("%d of 2000", counter)
	}
	if !r.TryHold() || r.TryHold() {
		t.Error("TryHold succeeds twice, or never")
	}
	r.Drop()
}

func TestStamp(t *testing.T) {
	r := newRing(t, abi.DirRx, 8)
	if r.WantsStamp() {
		t.Error("a fresh ring wants the time")
	}
	r.shared.Flags.Store(abi.NRTimestamp)
	if !r.WantsStamp() {
		t.Error("NR_TIMESTAMP is ignored")
	}
	before := time.Now().Truncate(time.Microsecond)
	r.Stamp()
	ts := time.Unix(r.shared.Ts.Sec, r.shared.Ts.Usec*1000)
	if ts.Before(before) || ts.After(time.Now()) {
		t.Errorf("time %v, want now, %v", ts, before)
	}
}

// Ring times follow the machine's clock when that is set.
func TestClockFollows(t *testing.T) {
	c := clock{start: time.Now().Add(-time.Hour)}
	for _, until := range []time.Duration{0, time.Hour} { // never set; set a second ago
		c.zero.Store(int64(42 * time.Hour)) // as if the machine's clock had been wrong
		c.until.Store(int64(until))
		if got, want := c.now(), time.Now(); want.Sub(got).Abs() > time.Minute {
			t.Errorf("now is %v, want %v", got, want)
		}
	}
	if was := c.zero.Load(); time.Until(c.now()).Abs() > time.Minute || c.zero.Load() != was {
		t.Error("the machine's clock is looked up each time")
	}
}

func TestDropsAreCountedByReason(t *testing.T) {
	var d Drops
	if len(d.Counts()) != 0 {
		t.Error("a fresh counter counted")
	}
	names := map[string]bool{}
	for why := range Reasons {
		d.Add(why, 0)
		d.Add(why, uint64(why)+1)
		names[why.String()] = true
	}
	if len(names) != int(Reasons) || names[""] {
		t.Errorf("names %v", names)
	}
	counts := d.Counts()
	for why := range Reasons {
		if counts[why.String()] != uint64(why)+1 {
			t.Errorf("%s: %d", why, counts[why.String()])
		}
	}
}
