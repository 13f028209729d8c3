//go:build linux

package placement

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakePort is a port with counts that the test sets.
type fakePort struct {
	joins          string
	sent, received atomic.Uint64
}

func (p *fakePort) Joins() string         { return p.joins }
func (p *fakePort) Frames() (s, r uint64) { return p.sent.Load(), p.received.Load() }

func TestFindGroups(t *testing.T) {
	var m Mover
	m.awake.Store(true)
	client := func(joins string, tids ...int) *Client {
		c := &Client{Port: &fakePort{joins: joins}, mover: &m}
		for _, tid := range tids {
			for range 20 {
				c.Saw(tid)
			}
		}
		return c
	}
	all := []*Client{
		client("pipe", 1), client("pipe", 2), // joined by a pipe
		client("vale0", 3), client("vale0"), // the second one does nothing
		client("", 4), // has no open port
		// Joined by the threads that serve two ports.
		client("x", 5), client("y", 5), client("y", 6), client("z", 7), client("z", 6),
		client("w", 8, 9, 10, 11, 12), // has more threads than are counted
	}
	all[6].Saw(77) // asks too seldom
	var got [][]int
	for _, f := range findGroups(all) {
		got = append(got, f.tids)
	}
	slices.SortFunc(got, slices.Compare)
	want := [][]int{{1, 2}, {3}, {5, 6, 7}, {8, 9, 10, 11}}
	if !slices.EqualFunc(got, want, slices.Equal) {
		t.Errorf("%v, want %v", got, want)
	}
	if again := findGroups(all); len(again) != 0 {
		t.Errorf("%v: groups of clients that did nothing since", again)
	}
	all[10].Saw(12) // idle threads have left room
	if f := findGroups(all); len(f) != 1 || !slices.Equal(f[0].tids, []int{12}) {
		t.Errorf("%v", f)
	}
}

func TestChoose(t *testing.T) {
	second := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	before := reading{at: time.Unix(0, 0), idle: load{0: 0, 1: 0, 2: 0},
		stats: []stat{{core: 0}, {core: 1}}}
	for name, c := range map[string]struct {
		idle [3]float64
		used [2]float64 // by threads on cores 0 and 1
		want int
	}{
		"all idle":                  {[3]float64{1, 1, 1}, [2]float64{}, 0},
		"the busiest need not move": {[3]float64{0.5, 0.2, 1}, [2]float64{0.4, 0.7}, 1},
		"somebody else is there":    {[3]float64{0, 0, 0.9}, [2]float64{0.1, 0.1}, 2},
	} {
		now := reading{at: time.Unix(1, 0), idle: load{},
			stats: []stat{{core: 0, all: second(c.used[0])}, {core: 1, all: second(c.used[1])}}}
		for i, n := range c.idle {
			now.idle[i] = second(n)
		}
		if got := choose([]int{0, 1, 2}, before, now); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// pair is two threads that seem to do what world says for their place.
type pair struct {
	*testing.T
	m       *Mover
	moves   chan Move
	threads [2]helper
	clients [2]*Client
	ports   [2]*fakePort
	masks   [2]unix.CPUSet
	stop    chan struct{}
	ended   chan struct{}
}

// newPair starts a pair that moves so many frames a second on one core, and where the kernel puts
// it.
func newPair(t *testing.T, together, free float64) *pair {
	t.Parallel()
	twoCores(t)
	p := &pair{T: t, moves: make(chan Move, 100), stop: make(chan struct{}),
		ended: make(chan struct{})}
	p.m = NewMover(func(m Move) { p.moves <- m })
	for i := range p.threads {
		p.threads[i], p.ports[i] = startHelper(t), &fakePort{joins: "pipe"}
		p.masks[i] = maskOf(t, p.threads[i].tid)
		p.clients[i] = p.m.Add(p.ports[i])
	}
	go p.work(together, free)
	t.Cleanup(func() {
		close(p.stop)
		<-p.ended
		p.m.Close()
		p.wantMasks("closed")
	})
	return p
}

func (p *pair) work(together, free float64) {
	defer close(p.ended)
	last := time.Now()
	for {
		select {
		case <-p.stop:
			return
		case <-time.After(time.Millisecond):
		}
		rate := free
		if p.areTogether() {
			rate = together
		}
		now := time.Now()
		p.ports[1].received.Add(uint64(rate * now.Sub(last).Seconds()))
		last = now
		for i := range p.clients {
			for range 20 { // 20000 requests a second
				p.clients[i].Saw(p.threads[i].tid)
			}
		}
	}
}

func (p *pair) areTogether() bool {
	var a, b unix.CPUSet
	err1 := unix.SchedGetaffinity(p.threads[0].tid, &a)
	err2 := unix.SchedGetaffinity(p.threads[1].tid, &b)
	return err1 == nil && err2 == nil && a == b && coreOf(&a) != none
}

// wantMasks waits until the threads have their own masks.
func (p *pair) wantMasks(what string) {
	p.Helper()
	for i, h := range p.threads {
		var now unix.CPUSet
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			err := unix.SchedGetaffinity(h.tid, &now)
			if err == unix.ESRCH || now == p.masks[i] {
				break
			}
			if time.Now().After(end) {
				p.Errorf("%s: thread %d may run on %v, want %v", what, i, cores(&now), cores(&p.masks[i]))
				break
			}
		}
	}
}

// verdict waits for the end of a trial.
func (p *pair) verdict() Move {
	p.Helper()
	select {
	case m := <-p.moves:
		return m
	case <-time.After(10 * time.Second):
		p.Fatal("no verdict")
		return Move{}
	}
}

func TestMoverFindsTheFasterPlace(t *testing.T) {
	t.Run("together", func(t *testing.T) {
		p := newPair(t, 30e6, 10e6)
		if m := p.verdict(); m.Core < 0 || m.Err != nil || !p.areTogether() {
			t.Fatalf("%+v, together: %v", m, p.areTogether())
		}
		p.m.Remove(p.clients[0])
		p.wantMasks("a client has gone")
	})
	t.Run("free", func(t *testing.T) {
		p := newPair(t, 10e6, 30e6)
		if m := p.verdict(); m.Core >= 0 || m.Err != nil {
			t.Fatalf("%+v", m)
		}
		p.wantMasks("free is as fast")
	})
	t.Run("a thread ends", func(t *testing.T) {
		p := newPair(t, 30e6, 10e6)
		p.verdict()
		close(p.threads[0].end)
		p.wantMasks("its number is nobody's")
	})
}

// TestMoverLeavesThreadsAlone tests that threads that may run on one core only, and threads whose
// mask somebody else changes, are not moved.
func TestMoverLeavesThreadsAlone(t *testing.T) {
	t.Run("bound by its user", func(t *testing.T) {
		p := newPair(t, 30e6, 10e6)
		a, b := twoCores(t)
		for i, core := range []int{a, b} {
			p.masks[i] = only(core)
			unix.SchedSetaffinity(p.threads[i].tid, &p.masks[i])
		}
		for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if p.areTogether() {
				t.Fatal("a thread is outside of its mask")
			}
		}
	})
	t.Run("changed by somebody else", func(t *testing.T) {
		p := newPair(t, 30e6, 10e6)
		p.verdict()
		a, b := twoCores(t)
		other := only(a)
		if other == maskOf(t, p.threads[0].tid) {
			other = only(b)
		}
		unix.SchedSetaffinity(p.threads[0].tid, &other)
		p.masks[0] = other
		for deadline := time.Now().Add(20 * time.Second); ; {
			m := p.verdict()
			if m.Err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the changed mask was not noticed")
			}
		}
		p.wantMasks("given up")
	})
}

// TestMoverSleeps tests that a mover with idle clients sleeps without a timer.
func TestMoverSleeps(t *testing.T) {
	m := NewMover(func(Move) {})
	defer m.Close()
	c := m.Add(&fakePort{joins: "x"})
	for range wakeEvery {
		c.Saw(1 << 30) // this thread does not exist
	}
	for _, awake := range []bool{true, false} {
		end := time.Now().Add(5 * time.Second)
		for ; m.awake.Load() != awake; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("awake: %v", !awake)
			}
		}
	}
}
