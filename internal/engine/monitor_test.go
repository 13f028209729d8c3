package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

const (
	monTx = abi.NRMonitorTx
	monRx = abi.NRMonitorRx
	monZ  = abi.NRZcopyMon
)

// portPair is two ports between which frames travel.
var portPairs = []struct {
	kind, a, b string
}{
	{"vale", "vale0:a", "vale0:b"},
	{"pipe", "x{1", "x}1"},
	{"pipe, from the slave", "x}1", "x{1"},
}

// look syncs the monitor and returns the frames that it got. Frames from tx rings have the prefix
// "t:".
func look(t testing.TB, m *program) (all []string) {
	t.Helper()
	wantErrno(t, "RxSync", m.RxSync(), 0)
	for _, r := range m.rx {
		for r.mine() > 0 {
			i := r.Head.Load()
			s := r.slots[i]
			text := string(r.buf(s.BufIdx)[:s.Len])
			if s.Flags&abi.NSTxMon != 0 {
				text = "t:" + text
			}
			all = append(all, text)
			r.move((i + 1) % r.NumSlots)
		}
	}
	return all
}

func wantSeen(t testing.TB, what string, m *program, want ...string) {
	t.Helper()
	if got := look(t, m); !slices.Equal(got, want) {
		t.Errorf("%s: seen %q, want %q", what, got, want)
	}
}

func TestCopyMonitors(t *testing.T) {
	for _, c := range portPairs {
		t.Run(c.kind, func(t *testing.T) {
			e := newEngine(t)
			a, b := open(t, e, c.a, request(8)), open(t, e, c.b, request(8))
			at, ar := open(t, e, c.a, request(16, flags(monTx))), open(t, e, c.a, request(16, flags(monRx)))
			br, both := open(t, e, c.b, request(16, flags(monRx))),
				open(t, e, c.b, request(16, flags(monTx|monRx)))
			f, g := frame("there"), frame("back")
			a.tx[0].put(t, f)
			wantErrno(t, "TxSync", a.TxSync(), 0)
			wantSeen(t, "sender's tx", at, "t:"+f)
			wantSeen(t, "receiver's rx, before it looks", br, f)
			wantSeen(t, "receiver's both", both, f)
			b.RxSync()
			wantFrames(t, b.rx[0], f)
			b.tx[0].put(t, g)
			b.TxSync()
			a.RxSync()
			wantFrames(t, a.rx[0], g)
			wantSeen(t, "sender's tx", at)
			wantSeen(t, "sender's rx", ar, g)
			wantSeen(t, "receiver's rx", br)
			wantSeen(t, "receiver's both", both, "t:"+g)
		})
	}
}

func TestZeroCopyMonitors(t *testing.T) {
	for _, c := range portPairs {
		t.Run(c.kind, func(t *testing.T) {
			e := newEngine(t)
			a, b := open(t, e, c.a, request(8)), open(t, e, c.b, request(8))
			bz, last := open(t, e, c.b, request(16, flags(monZ))), open(t, e, c.b, request(16, flags(monZ)))
			if got := bz.Register().Flags; got != monZ|monTx|monRx {
				t.Errorf("flags %#x in the answer", got)
			}
			for lap := range 20 {
				f := frame(fmt.Sprint(lap))
				a.tx[0].put(t, f)
				a.TxSync()
				wantSeen(t, "not read", bz)
				b.RxSync()
				wantFrames(t, b.rx[0], f)
				wantSeen(t, "not released", bz)
				b.RxSync()
				wantSeen(t, "released", bz, f)
				wantSeen(t, "not released by the one before", last)
				bz.RxSync()
				wantSeen(t, "released by the one before", last, f)
				a.TxSync()
				last.RxSync()
			}
			bz.Close()
			last.Close()

			az := open(t, e, c.a, request(16, flags(monZ)))
			for lap := range 20 {
				f := frame(fmt.Sprint(lap))
				a.tx[0].put(t, f)
				a.TxSync()
				if c.kind != "vale" { // a switch is done with a frame at once
					wantSeen(t, "not back", az)
				}
				b.RxSync()
				wantFrames(t, b.rx[0], f)
				b.RxSync()
				a.TxSync()
				wantSeen(t, "back", az, "t:"+f)
				az.RxSync()
			}
		})
	}
}

// A monitor has as many rx rings as its parent has of the more frequent kind, and shows the rings
// that are asked for.
func TestMonitorRings(t *testing.T) {
	e := newEngine(t)
	a := open(t, e, "x{1", request(8, rings(3, 2)))
	b := open(t, e, "x}1", request(8))
	m := open(t, e, "x{1", request(0, flags(monTx|monRx)))
	if r := m.Register(); r.TxRings != 1 || r.RxRings != 3 || r.TxSlots != 8 || r.RxSlots != 8 {
		t.Errorf("monitor %+v", r)
	}
	one := open(t, e, "x{1", abi.Register{Mode: abi.RegOneNIC, RingID: 2, Flags: monTx, RxSlots: 33,
		TxSlots: 1})
	if r := one.Register(); r.RxRings != 3 || r.RxSlots != 33 || r.TxSlots != 1 || len(one.rx) != 1 ||
		one.rx[0].RingID != 2 {
		t.Errorf("monitor of a ring %+v", r)
	}
	none := open(t, e, "x{1", request(8, flags(monTx|monRx|abi.NRTxRingsOnly)))
	_, err := e.Register("x{1", request(8, flags(monTx), ring(3)))
	wantErrno(t, "a ring that is not there", err, syscall.EINVAL)
	for i, r := range a.tx {
		r.put(t, fmt.Sprint("there ", i))
	}
	a.TxSync()
	for i, r := range b.tx {
		r.put(t, fmt.Sprint("back ", i))
	}
	b.TxSync()
	wantSeen(t, "all", m, "t:there 0", "back 0", "t:there 1", "back 1", "t:there 2")
	wantSeen(t, "one", one, "t:there 2")
	if len(none.rx) != 0 {
		t.Errorf("%d rx rings", len(none.rx))
	}
}

func TestMonitorNamesAndStats(t *testing.T) {
	e := newEngine(t)
	open(t, e, "vale0:a", request(4))
	var names []string
	for i, f := range []uint64{monTx, monRx, monTx | monRx, monZ} {
		m := open(t, e, "vale0:a", request(4, flags(f)))
		want := fmt.Sprintf("vale0:a/%s#%d", []string{"t", "r", "rt", "zrt"}[i], i)
		if got := string(m.nifp.Name[:len(want)]); got != want {
			t.Errorf("interface named %q, want %q", got, want)
		}
		if m.Register().MemID != 1 || m.nifp.Flags != 0 {
			t.Errorf("memory %d, flags %#x", m.Register().MemID, m.nifp.Flags)
		}
		names = append(names, want)
		if _, err := e.Header(engine.Here, want); err == nil {
			t.Errorf("%s is found by name", want)
		}
	}
	a := open(t, e, "vale0:a", request(4))
	m := open(t, e, "vale0:a", request(2, flags(monTx)))
	for range 3 {
		a.tx[0].put(t, frame("x"))
		a.TxSync()
	}
	var seen []string
	for _, s := range e.Status().Ports {
		if s.Kind == "monitor" {
			seen = append(seen, s.Name)
		}
		if s.Name == "vale0:a/t#4" &&
			(s.Detail != "copy of tx" || s.AllDrops()["no-room"] != 2 || s.Users != 1) {
			t.Errorf("%+v", s)
		}
	}
	slices.Sort(names)
	if want := append(names[:3:3], "vale0:a/t#4", names[3]); !slices.Equal(seen, want) {
		t.Errorf("monitors %q, want %q", seen, want)
	}
	if got := m.Port(); got != "vale0:a/t#4" {
		t.Errorf("described as %s", got)
	}
	info, err := e.PortInfo(engine.Here, "vale0:a", abi.Register{Flags: monRx})
	if err != nil || info.RxRings != 1 || info.RxSlots != 4 {
		t.Errorf("info %+v, %v", info, err)
	}
}

// POLLIN alone is safe with tx polling on. A poll for room to send returns an error.
func TestPollOnMonitors(t *testing.T) {
	e := newEngine(t)
	a := open(t, e, "vale0:a", request(8))
	m := open(t, e, "vale0:a", request(8, flags(monTx)))
	if got := m.Poll(in); got != 0 {
		t.Errorf("POLLIN: %#x", got)
	}
	if got := m.Poll(out); got&session.PollErr == 0 {
		t.Errorf("POLLOUT: %#x", got)
	}
	quiet := open(t, e, "vale0:a", request(8, flags(monTx|abi.NRNoTxPoll)))
	if got := quiet.Poll(in | out); got&session.PollErr == 0 {
		t.Errorf("POLLOUT with NR_NO_TX_POLL: %#x", got)
	}
	wantErrno(t, "TxSync", m.TxSync(), syscall.EIO)
	a.tx[0].put(t, frame("x"))
	a.TxSync()
	if got := m.Poll(in); got != in {
		t.Errorf("POLLIN: %#x", got)
	}
}

func TestWaitOnMonitors(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, c := range portPairs {
		t.Run(c.kind, func(t *testing.T) {
			e := newEngine(t)
			a, b := open(t, e, c.a, request(8)), open(t, e, c.b, request(8))
			mt, mr := open(t, e, c.a, request(8, flags(monTx))), open(t, e, c.b, request(8, flags(monRx)))
			zm := open(t, e, c.b, request(8, flags(monZ)))
			ctx := context.Background()
			for range 5 {
				sent, arrived, released := wait(ctx, mt, in, soon), wait(ctx, mr, in, soon),
					wait(ctx, zm, in, soon)
				a.tx[0].put(t, frame("x"))
				a.TxSync()
				wantOutcome(t, sent, in, nil)
				wantOutcome(t, arrived, in, nil)
				b.RxSync()
				wantFrames(t, b.rx[0], frame("x"))
				b.RxSync()
				wantOutcome(t, released, in, nil)
				for _, m := range []*program{mt, mr, zm} {
					look(t, m)
					m.RxSync()
				}
			}
			idle := wait(ctx, mr, in, -1)
			b.Close()
			wantOutcome(t, idle, session.PollErr, nil)
			idle = wait(ctx, mt, in, -1)
			mt.Close()
			wantOutcome(t, idle, session.PollErr, nil)
		})
	}
}

// After the parent's last session has ended, a program can still read the frames that a monitor has
// queued, but do nothing else.
func TestOrphanedMonitors(t *testing.T) {
	for _, f := range []uint64{monTx, monRx, monTx | monRx, monZ} {
		t.Run(fmt.Sprintf("%#x", f), func(t *testing.T) {
			e := newEngine(t)
			a, b := open(t, e, "vale0:a", request(8)), open(t, e, "vale0:b", request(8))
			again := open(t, e, "vale0:a", request(8))
			m := open(t, e, "vale0:a", request(8, flags(f)))
			b.tx[0].put(t, frame("in"))
			b.TxSync()
			a.RxSync()
			a.rx[0].take()
			a.RxSync()
			a.tx[0].put(t, frame("out"))
			a.TxSync()
			a.Close()
			wantErrno(t, "RxSync with another one at the parent", m.RxSync(), 0)
			again.Close()
			if got := m.Poll(in); got != in|session.PollErr {
				t.Errorf("poll = %#x", got)
			}
			var want []string
			if f != monTx {
				want = append(want, frame("in"))
			}
			if f != monRx {
				want = append(want, frame("out"))
			}
			wantFrames(t, m.rx[0], want...)
			wantErrno(t, "RxSync", m.RxSync(), syscall.EIO)
			if got := m.Poll(in); got != session.PollErr {
				t.Errorf("poll = %#x", got)
			}

			// A program that opens the parent again gets none of the old monitors.
			n := open(t, e, "vale0:a", request(8))
			b.tx[0].put(t, frame("later"))
			b.TxSync()
			n.RxSync()
			wantFrames(t, n.rx[0], frame("later"))
			if got := m.Poll(in); got != session.PollErr {
				t.Errorf("poll = %#x", got)
			}
			fresh := open(t, e, "vale0:a", request(8, flags(monRx)))
			b.tx[0].put(t, frame("and on"))
			b.TxSync()
			wantSeen(t, "a new monitor", fresh, frame("and on"))
		})
	}
}

// A pipe's end lives on when it is closed, as long as the other is open; its monitors do not.
func TestPipeEndClosesUnderMonitors(t *testing.T) {
	e := newEngine(t)
	a, b := open(t, e, "x{1", request(8)), open(t, e, "x}1", request(8))
	m, zm := open(t, e, "x}1", request(8, flags(monRx))), open(t, e, "x}1", request(8, flags(monZ)))
	a.tx[0].put(t, "1")
	a.TxSync()
	b.Close()
	for _, p := range []*program{m, zm} {
		wantErrno(t, "RxSync", p.RxSync(), syscall.EIO)
	}
	wantFrames(t, m.rx[0], "1")
	a.tx[0].put(t, "2")
	a.TxSync()
	b = open(t, e, "x}1", request(8))
	b.RxSync()
	wantFrames(t, b.rx[0], "1", "2")
	wantFrames(t, m.rx[0])
}

// Whichever program closes first, everything returns to the pools.
func TestMonitorsCloseInAnyOrder(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 14))
	for range 100 {
		for _, c := range portPairs {
			e := newEngine(t)
			a, b := open(t, e, c.a, request(8)), open(t, e, c.b, request(8))
			all := []*program{a, b}
			for _, f := range []uint64{monTx, monRx, monTx | monRx, monZ, monZ, monZ} {
				all = append(all, open(t, e, []string{c.a, c.b}[rnd.IntN(2)],
					request(2+rnd.Uint32N(9), flags(f))))
			}
			for len(all) > 0 {
				for range 5 {
					exchangeFrames(t, all, a, b)
				}
				i := rnd.IntN(len(all))
				all[i].Close()
				all = slices.Delete(all, i, i+1)
			}
			if u := e.Region().Usage(); !u.Full() {
				t.Fatalf("%s: left behind: %+v", c.kind, u)
			}
			e.Close()
		}
	}
}

// exchangeFrames makes the open parents send a frame, and all programs receive.
func exchangeFrames(t *testing.T, all []*program, parents ...*program) {
	for _, p := range parents {
		if slices.Contains(all, p) && p.tx[0].mine() > 0 {
			p.tx[0].put(t, frame("x"))
			p.TxSync()
		}
	}
	for _, p := range all {
		p.RxSync()
		p.rx[0].take()
	}
}

// watchAgain opens a monitor, reads it for a while and closes it, again and again until stop.
func watchAgain(ctx context.Context, t *testing.T, e *engine.Engine, name string, f uint64,
	stop <-chan struct{}) {
	for {
		m, err := e.Register(name, request(32, flags(f)))
		if err != nil {
			if !errors.Is(err, syscall.ENOMEM) {
				t.Error(err)
			}
			return
		}
		p := see(m)
		for range 50 {
			ready, err := p.Wait(ctx, in, time.Millisecond)
			if err != nil || ready&^in != 0 {
				t.Errorf("Wait = %#x, %v", ready, err)
			}
			p.rx[0].take()
		}
		m.Close()
		select {
		case <-stop:
			return
		default:
		}
	}
}

// Parents and their monitors sync in threads of their own. No frame is lost on the way to the
// parent, and no waiting thread stays asleep.
func TestMonitorsOfABusyPort(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, c := range portPairs {
		t.Run(c.kind, func(t *testing.T) {
			e := newEngine(t)
			a, b := open(t, e, c.a, request(16)), open(t, e, c.b, request(64))
			const count = 3000
			var wg sync.WaitGroup
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			stop, sent := make(chan struct{}), make(chan struct{})
			for _, f := range []uint64{monTx, monRx, monTx | monRx, monZ, monZ} {
				for _, name := range []string{c.a, c.b} {
					wg.Go(func() { watchAgain(ctx, t, e, name, f, stop) })
				}
			}
			wg.Go(func() {
				defer close(sent)
				for n := 0; n < count; {
					for k := 0; k < 7 && n < count && a.tx[0].mine() > 0; k++ {
						a.tx[0].put(t, frame(fmt.Sprint(n)))
						n++
					}
					if ready, err := a.Wait(ctx, out, -1); err != nil || ready != out {
						t.Errorf("Wait = %#x, %v", ready, err)
						return
					}
				}
				a.TxSync()
			})
			got, last := 0, -1
			read := func() {
				for _, s := range b.rx[0].take() {
					var n int
					fmt.Sscan(s[14:], &n)
					if n <= last || c.kind != "vale" && n != last+1 { // a switch drops what finds no room
						t.Errorf("frame %d after %d", n, last)
					}
					last = n
					got++
				}
				b.RxSync()
			}
			for busy := true; busy; {
				select {
				case <-sent:
					busy = false
				default:
				}
				if ready, err := b.Wait(ctx, in, 10*time.Millisecond); err != nil || ready&^in != 0 {
					t.Errorf("Wait = %#x, %v, after %d", ready, err, last)
					break
				}
				read()
			}
			read()
			close(stop)
			wg.Wait()
			if got == 0 || c.kind != "vale" && got != count {
				t.Errorf("%d frames arrived", got)
			}
		})
	}
}

// An attached interface has no monitors. A persistent port has monitors while a program has it
// open.
func TestMonitorsOfPortsThatLast(t *testing.T) {
	o := newOffice(t, 1, 1)
	o.mustNewIf("p0")
	o.mustAttach("vale0:p0")
	o.mustAttach("vale0:v0")
	watch := func(name string, f uint64) (b *engine.Binding, err error) {
		o.ns.Do(func() { b, err = o.e.Register(name, request(64, flags(f))) })
		return b, err
	}
	for _, c := range []struct {
		name string
		want syscall.Errno
	}{{"v0", syscall.EBUSY}, {"vale0:v0", syscall.EBUSY}, {"p0", syscall.EINVAL},
		{"vale0:p0", syscall.EINVAL}} {
		_, err := watch(c.name, monRx)
		wantErrno(t, c.name, err, c.want)
	}
	p, q := o.program("vale0:p0"), o.program("vale0:q")
	var all []*program
	for _, f := range []uint64{monRx, monTx, monZ} {
		b, err := watch("vale0:p0", f)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		all = append(all, see(b))
	}
	if got := all[0].Port(); got != "vale0:p0/r#0" {
		t.Errorf("described as %s", got)
	}
	q.tx[0].put(t, frame("to p0"))
	q.TxSync()
	p.tx[0].put(t, frame("from p0"))
	p.TxSync()
	for i, want := range []string{frame("to p0"), "t:" + frame("from p0"), "t:" + frame("from p0")} {
		if got := look(t, all[i]); !slices.Contains(got, want) { // the host's stack speaks, too
			t.Errorf("%v sees %q, want %q", all[i], got, want)
		}
	}
	p.Close()
	for _, m := range all {
		wantErrno(t, m.Port(), m.RxSync(), syscall.EIO)
	}
}
