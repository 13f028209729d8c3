//go:build linux

package placement

import (
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

func TestVotes(t *testing.T) {
	for name, c := range map[string]struct {
		votes [][2]int // core, requests
		now   int
		want  int
	}{
		"nobody":            {nil, none, none},
		"one":               {[][2]int{{1, 5}}, none, 1},
		"free":              {[][2]int{{none, 5}}, 1, none},
		"two alike":         {[][2]int{{0, 50}, {1, 50}}, 0, none},
		"one of two":        {[][2]int{{0, 20}, {1, 80}}, 0, 1},
		"nearly":            {[][2]int{{0, 30}, {1, 70}}, none, none},
		"nearly, and there": {[][2]int{{0, 30}, {1, 70}}, 1, 1},
		"with free ones":    {[][2]int{{none, 50}, {1, 50}}, 1, none},
		"two on one":        {[][2]int{{1, 40}, {none, 20}, {1, 40}}, none, 1},
	} {
		var v votes
		for _, x := range c.votes {
			v.add(x[0], uint64(x[1]))
		}
		if got := v.winner(c.now); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// follower is a Follower whose thread is the test's.
type follower struct {
	*testing.T
	f Follower
}

// ask makes all clients ask equally often, and checks the cores on which the thread may then run.
func (f *follower) ask(what string, want unix.CPUSet, tids ...int) {
	f.Helper()
	for range lookEvery {
		for _, tid := range tids {
			f.f.count(tid)
		}
	}
	f.f.look()
	f.want(what, want)
}

func (f *follower) want(what string, want unix.CPUSet) {
	f.Helper()
	if now := maskOf(f.T, 0); now != want {
		f.Errorf("%s: may run on %v, want %v", what, cores(&now), cores(&want))
	}
}

func (f *follower) put(tid int, s unix.CPUSet) {
	f.Helper()
	if err := unix.SchedSetaffinity(tid, &s); err != nil {
		f.Fatal(err)
	}
}

func TestFollower(t *testing.T) {
	a, b := twoCores(t)
	runtime.LockOSThread()
	home := maskOf(t, 0)
	defer func() {
		unix.SchedSetaffinity(0, &home)
		runtime.UnlockOSThread()
	}()
	f := &follower{T: t}
	f.f.Saw(1) // for the zero Follower
	f.f.Start()
	anna, bert := startHelper(t).tid, startHelper(t).tid

	f.ask("a client that may run anywhere", home, anna)
	f.put(anna, only(a))
	f.ask("bound", only(a), anna)
	f.put(anna, only(b))
	f.ask("it moves", only(b), anna)
	f.ask("another that is as busy and free", home, anna, bert)
	f.put(bert, only(b))
	f.ask("both on one core", only(b), anna, bert)
	f.put(bert, only(a))
	f.ask("each on one", home, anna, bert)
	f.ask("one is quiet", only(a), bert)
	f.f.Leave()
	f.want("left", home)
	f.ask("nobody", home, 1<<30)

	// Somebody sets another mask for the thread. The thread keeps it, and returns to it.
	f.ask("bound", only(a), bert)
	f.put(0, only(b))
	f.ask("bound elsewhere by somebody", only(b), bert)
	f.f.Leave()
	f.want("left", only(b))
	f.put(0, home)
	f.ask("free again", only(a), bert)
	f.f.Leave()
	f.want("left", home)
}

func BenchmarkSaw(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var f Follower
	f.Start()
	b.ReportAllocs()
	for b.Loop() {
		f.Saw(1)
	}
}

func TestSawAllocatesNothing(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var f Follower
	f.Start()
	tid := unix.Gettid()
	if n := testing.AllocsPerRun(10_000, func() { f.Saw(tid) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	var m Mover
	c := Client{mover: &m}
	if n := testing.AllocsPerRun(10_000, func() { c.Saw(tid) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
