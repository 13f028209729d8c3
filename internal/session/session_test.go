package session_test

import (
	"errors"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/pipe"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Most of what sessions do is tested with an engine, in its package, as programs have it.

func open(t *testing.T, env *session.Env, region *mem.Region, p port.Port,
	name string) *session.Session {
	t.Helper()
	s := new(session.Session)
	target := &session.Target{Port: p, Region: region, Name: name}
	if err := s.Open(env, target, &abi.Register{Mode: abi.RegAllNIC}, session.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.End() })
	return s
}

// see returns the first ring of a direction as a program sees it.
func see(region *mem.Region, p port.Port, dir kring.Dir) *kringtest.Ring {
	r := p.Rings(dir)[0]
	return &kringtest.Ring{Ring: r, Shared: shm.At[abi.Ring](region.Bytes(), uintptr(r.Offset()))}
}

func TestSessionsNeedNoRegistry(t *testing.T) {
	region := kringtest.NewRegion(t, 64)
	env := new(session.Env)
	p := pipe.New(region, "x{1", "x}1", port.Shape{TxRings: 1, RxRings: 1, TxSlots: 8, RxSlots: 8})
	a, b := open(t, env, region, p.Master, "x{1"), open(t, env, region, p.Slave, "x}1")
	tx, rx := see(region, p.Master, abi.DirTx), see(region, p.Slave, abi.DirRx)
	tx.Push([]byte("hello"), 0)
	if err := a.TxSync(); err != nil {
		t.Fatal(err)
	}
	if got := b.Poll(session.PollIn); got != session.PollIn {
		t.Errorf("poll = %#x", got)
	}
	if got, _, ok := rx.Pull(); !ok || string(got) != "hello" {
		t.Errorf("received %q", got)
	}
	if !a.End() || a.End() || a.TxSync() == nil || a.Poll(session.PollOut) != session.PollErr {
		t.Error("a session that ended goes on")
	}
}

// quiet is a port that receives frames without notification.
type quiet struct {
	region  *mem.Region
	rings   [2][]*kring.Ring
	arrived atomic.Uint32
}

func newQuiet(region *mem.Region) *quiet {
	q := &quiet{region: region}
	r := kring.New("quiet RX0", abi.DirRx, 0, 8, q.sync)
	r.News = kring.Silent
	q.rings[abi.DirRx] = []*kring.Ring{r}
	return q
}

func (q *quiet) sync(r *kring.Ring, _ kring.Memory) error {
	r.HwCur.Store(r.Head())
	r.HwTail.Store(q.arrived.Load())
	return nil
}

func (q *quiet) Rings(dir kring.Dir) []*kring.Ring { return q.rings[dir] }
func (q *quiet) Start(r *kring.Ring) error         { return r.Alloc(q.region, true) }
func (q *quiet) Stop(r *kring.Ring)                { r.Free(0, r.N) }
func (q *quiet) Close() error                      { return nil }

// A wait for news without notification polls again by itself.
func TestWaitOnASilentRing(t *testing.T) {
	region := kringtest.NewRegion(t, 64)
	q := newQuiet(region)
	s := open(t, &session.Env{Spin: -1}, region, q, "quiet")
	go func() {
		time.Sleep(20 * time.Millisecond)
		q.arrived.Store(3)
	}()
	if ready, err := s.Wait(t.Context(), session.PollIn, 10*time.Second); ready != session.PollIn ||
		err != nil {
		t.Fatalf("Wait says %#x, %v", ready, err)
	}
	if got := len(see(region, q, abi.DirRx).Mine()); got != 3 {
		t.Errorf("the program has %d slots", got)
	}
}

// A subscriber, which sleeps elsewhere, is woken to poll again.
func TestArmOnASilentRing(t *testing.T) {
	region := kringtest.NewRegion(t, 64)
	s := open(t, new(session.Env), region, newQuiet(region), "quiet")
	woken := make(waiter, 1)
	s.Subscribe(woken)
	if !s.NeedsArm() {
		t.Fatal("nothing is to be armed")
	}
	s.Arm(session.PollIn)
	select {
	case <-woken:
	case <-time.After(10 * time.Second):
		t.Error("the subscriber sleeps on")
	}
}

type waiter chan struct{}

func (w waiter) Wake() {
	select {
	case w <- struct{}{}:
	default:
	}
}

func TestModesThatDoNotExist(t *testing.T) {
	for mode := range uint32(16) {
		err := session.CheckMode("x", &abi.Register{Mode: mode})
		exists := mode >= abi.RegAllNIC && mode <= abi.RegOneSW &&
			mode != abi.RegPipeMaster && mode != abi.RegPipeSlave
		if exists != (err == nil) || err != nil && !errors.Is(err, syscall.EINVAL) {
			t.Errorf("mode %d: %v", mode, err)
		}
	}
}
