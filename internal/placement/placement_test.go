//go:build linux

package placement

import (
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func TestMasks(t *testing.T) {
	var s unix.CPUSet
	if coreOf(&s) != none {
		t.Error("an empty mask has a core")
	}
	for _, core := range []int{0, 63, 64, 1023} {
		s = only(core)
		if got := coreOf(&s); got != core {
			t.Errorf("only %d: %d", core, got)
		}
	}
	s.Set(3)
	if coreOf(&s) != none || !slices.Equal(cores(&s), []int{3, 1023}) {
		t.Error(cores(&s))
	}
	both := common(s, only(3))
	if coreOf(&both) != 3 {
		t.Error(cores(&both))
	}
}

func TestParseStat(t *testing.T) {
	tail := " S 1 1 1 0 -1 4194304 1 0 0 0 123 45 0 0 20 0 9 0 777 1 1 1 1 1 1 1 1 1 0 0 0 0 0 0 17 " +
		"5 0 0 0 0 0"
	for _, name := range []string{"(cat)", "(a) 1 2 (b)", "()) S 9 9)"} {
		s, err := parseStat(42, "42 "+name+tail)
		want := stat{thread{42, 777}, 5, 1230 * time.Millisecond, 1680 * time.Millisecond}
		if s != want || err != nil {
			t.Errorf("%s: %+v, %v", name, s, err)
		}
	}
	for _, bad := range []string{"", "42", "42 (cat) S 1 1",
		"42 (cat)" + strings.Replace(tail, "123", "x", 1)} {
		if s, err := parseStat(42, bad); err == nil {
			t.Errorf("%q: %+v", bad, s)
		}
	}
}

func TestParseLoad(t *testing.T) {
	l := parseLoad([]byte("cpu  1 1 1 9 9 1\ncpu0 1 1 1 100 20 1 0\ncpu17 1 1 1 7 0 1 0\n" +
		"intr 5\ncpux 1\n"))
	if len(l) != 2 || l[0] != 1200*time.Millisecond || l[17] != 70*time.Millisecond {
		t.Error(l)
	}
	if real, err := lookAtCores(); err != nil || len(real) == 0 {
		t.Error(real, err)
	}
}

// helper is a sleeping thread with a mask of its own.
type helper struct {
	tid int
	end chan struct{}
}

// startHelper starts a thread that may run where the test may.
func startHelper(t *testing.T) helper {
	tid, end, ended := make(chan int), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		runtime.LockOSThread() // not unlocked, so that the thread ends
		tid <- unix.Gettid()
		<-end
	}()
	h := helper{<-tid, end}
	stop := func() {
		select {
		case <-end:
		default:
			close(end)
		}
		<-ended
	}
	t.Cleanup(stop)
	return h
}

func maskOf(t *testing.T, tid int) (s unix.CPUSet) {
	t.Helper()
	if err := unix.SchedGetaffinity(tid, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// mine are the cores on which the tests may run. They are looked up before any test binds a thread:
// the first thread of the process may serve as a helper, too.
var mine = func() []int {
	var s unix.CPUSet
	unix.SchedGetaffinity(0, &s)
	return cores(&s)
}()

// twoCores returns two cores on which the test may run.
func twoCores(t *testing.T) (a, b int) {
	t.Helper()
	if len(mine) < 2 {
		testutil.Require(t, "two cores", syscall.ENODEV)
	}
	return mine[0], mine[1]
}

// TestBind tests that a thread is bound within its old mask and gets it back. Neither happens if
// somebody else has changed the mask, or if the number belongs to another thread.
func TestBind(t *testing.T) {
	a, b := twoCores(t)
	h := startHelper(t)
	start := maskOf(t, h.tid)
	s, err := look(h.tid)
	if err != nil {
		t.Fatal(err)
	}
	x := &bound{thread: s.thread, old: start}
	want := func(what string, mask unix.CPUSet) {
		t.Helper()
		if now := maskOf(t, h.tid); now != mask {
			t.Errorf("%s: %v, want %v", what, cores(&now), cores(&mask))
		}
	}
	for _, core := range []int{a, b} {
		if err := x.bind(core); err != nil {
			t.Fatal(err)
		}
		want("bound", only(core))
	}
	x.restore()
	want("restored", start)

	stale := &bound{thread: thread{h.tid, s.start - 1}, old: start}
	if err := stale.bind(a); err != unix.ESTALE {
		t.Errorf("bound another thread: %v", err)
	}
	want("another's number", start)

	x.bind(a)
	theirs := only(b)
	unix.SchedSetaffinity(h.tid, &theirs)
	if err := x.bind(a); err != unix.ESTALE {
		t.Errorf("bound in spite of a changed mask: %v", err)
	}
	x.restore()
	want("changed by somebody else", theirs)
}
