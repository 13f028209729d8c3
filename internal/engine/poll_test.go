package engine_test

import (
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/session"
)

const (
	in, out, inOut = session.PollIn, session.PollOut, session.PollIn | session.PollOut
	pollErr        = session.PollErr
	rdNorm, wrNorm = 0x40, 0x100
)

// pair is a VALE port a and its peer b.
func pair(t *testing.T, change ...func(*abi.Register)) (a, b *program) {
	t.Helper()
	e := newEngine(t)
	return open(t, e, "vale0:a", request(8, change...)), open(t, e, "vale0:b", request(8))
}

func TestPollSendsWhatIsPending(t *testing.T) {
	for _, c := range []struct {
		what   string
		flags  uint64
		events int16
		sent   bool
	}{
		{"no events", 0, 0, true},
		{"in", 0, in, true},
		{"out", 0, out, true},
		{"both", 0, inOut, true},
		{"no events, NR_NO_TX_POLL", abi.NRNoTxPoll, 0, false},
		{"in, NR_NO_TX_POLL", abi.NRNoTxPoll, in, false},
		{"out, NR_NO_TX_POLL", abi.NRNoTxPoll, out, true},
		{"POLLWRNORM, NR_NO_TX_POLL", abi.NRNoTxPoll, wrNorm, true},
		{"both, NR_NO_TX_POLL", abi.NRNoTxPoll, inOut, true},
		{"in, NR_DO_RX_POLL", abi.NRDoRxPoll, in, true},
	} {
		t.Run(c.what, func(t *testing.T) {
			a, b := pair(t, flags(c.flags))
			a.tx[0].put(t, frame("x"))
			a.Poll(c.events)
			b.RxSync()
			if sent := len(b.rx[0].take()) == 1; sent != c.sent {
				t.Errorf("sent: %v, want %v", sent, c.sent)
			}
		})
	}
}

func TestPollReadsOnlyWhenAsked(t *testing.T) {
	for _, c := range []struct {
		events, want int16
		frames       int
	}{{0, 0, 0}, {out, out, 0}, {in, in, 1}, {rdNorm, rdNorm, 1}, {in | rdNorm, in | rdNorm, 1},
		{inOut, inOut, 1}, {wrNorm, wrNorm, 0}} {
		a, b := pair(t)
		b.tx[0].put(t, frame("x"))
		b.TxSync()
		if got := a.Poll(c.events); got != c.want {
			t.Errorf("poll(%#x) = %#x, want %#x", c.events, got, c.want)
		}
		if got := len(a.rx[0].take()); got != c.frames {
			t.Errorf("poll(%#x) brought %d frames, want %d", c.events, got, c.frames)
		}
	}
}

func TestPollLooksPastCur(t *testing.T) {
	a, b := pair(t)
	for range 3 {
		b.tx[0].put(t, frame("x"))
	}
	b.TxSync()
	if got := a.Poll(in); got != in {
		t.Errorf("poll = %#x with frames there", got)
	}
	r := a.rx[0]
	r.Cur.Store(r.Tail.Load()) // seen, but not given back
	if got := a.Poll(in); got != 0 {
		t.Errorf("poll = %#x with cur at tail", got)
	}
	b.tx[0].put(t, frame("x"))
	b.TxSync()
	if got := a.Poll(in); got != in || r.mine() != 4 {
		t.Errorf("poll = %#x with a new frame, %d frames", got, r.mine())
	}
	r = a.tx[0]
	r.Cur.Store(r.Tail.Load())
	if got := a.Poll(out); got != 0 {
		t.Errorf("poll = %#x with cur of a tx ring at tail", got)
	}
}

func TestPollOutOfAFullPipe(t *testing.T) {
	e := newEngine(t)
	a, b := open(t, e, "x{1", request(4)), open(t, e, "x}1", request(4))
	if got := a.Poll(inOut); got != out {
		t.Errorf("poll = %#x of an empty pipe", got)
	}
	a.tx[0].put(t, "1", "2", "3")
	if got := a.Poll(out); got != 0 {
		t.Errorf("poll = %#x of a full pipe", got)
	}
	if got := b.Poll(in); got != in {
		t.Errorf("poll = %#x of the receiver", got)
	}
	b.rx[0].move(1)
	if got := a.Poll(out); got != 0 {
		t.Errorf("poll = %#x before the receiver's sync", got)
	}
	b.Poll(in)
	if got := a.Poll(out); got != out || a.tx[0].mine() != 1 {
		t.Errorf("poll = %#x with %d slots, want one", got, a.tx[0].mine())
	}
}

// When one tx ring has room, the others are still pushed if there is something to send.
func TestPollPushesAllRings(t *testing.T) {
	e := newEngine(t)
	a, b := open(t, e, "x{1", request(8, rings(3, 1))), open(t, e, "x}1", request(8))
	a.tx[0].put(t, "0")
	a.tx[2].put(t, "2")
	if got := a.Poll(out); got != out {
		t.Errorf("poll = %#x", got)
	}
	b.RxSync()
	for i, want := range []int{1, 0, 1} {
		if got := b.rx[i].mine(); got != want {
			t.Errorf("ring %d has %d frames, want %d", i, got, want)
		}
	}
}

func TestBadRings(t *testing.T) {
	// Slots 3 to 6 of the tx ring are the program's, and 0 to 2 of the rx ring.
	for _, c := range []struct {
		what      string
		dir       int
		head, cur uint32
		repaired  bool // the next poll is fine
		reset     bool // head and cur are back where they were
	}{
		{"tx head is no index", abi.DirTx, 8, 3, true, true},
		{"tx cur is no index", abi.DirTx, 4, 1<<32 - 1, true, true},
		{"tx head past tail", abi.DirTx, 0, 0, true, false},
		{"tx head before the program's slots", abi.DirTx, 2, 2, true, false},
		{"tx cur behind head", abi.DirTx, 5, 4, false, false},
		{"rx head is no index", abi.DirRx, 8, 0, true, true},
		{"rx cur is no index", abi.DirRx, 2, 1<<32 - 1, true, true},
		{"rx head past tail", abi.DirRx, 5, 5, true, true},
		{"rx cur behind head", abi.DirRx, 2, 1, false, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			e := newEngine(t)
			// while this port is open, the pools are not reset: only freed buffers come back
			open(t, e, "vale0:bystander", request(8))
			usage := e.Region().Usage()
			a, b := open(t, e, "x{1", request(8)), open(t, e, "x}1", request(8))
			for _, p := range []*program{a, b} {
				p.tx[0].put(t, "1", "2", "3")
				p.TxSync()
			}
			a.RxSync()
			r, want := [2]*programRing{a.tx[0], a.rx[0]}[c.dir], [2]int16{out, in}[c.dir]
			before := r.Head.Load()

			r.Cur.Store(c.cur)
			r.Head.Store(c.head)
			if got := a.Poll(want); got&pollErr == 0 {
				t.Errorf("poll = %#x", got)
			}
			if reset := r.Head.Load() == before && r.Cur.Load() == before; reset != c.reset {
				t.Errorf("head %d and cur %d were %d before", r.Head.Load(), r.Cur.Load(), before)
			}
			if got := a.Poll(want); (got&pollErr == 0) != c.repaired {
				t.Errorf("the next poll = %#x", got)
			}
			r.Cur.Store(r.Head.Load())
			if got := a.Poll(want); got&pollErr != 0 {
				t.Errorf("poll = %#x after the program put it right", got)
			}
			a.Close()
			b.Close()
			if got := e.Region().Usage(); got != usage {
				t.Errorf("the peer's buffers are lost: %+v, want %+v", got, usage)
			}
		})
	}
}

// The ioctls report no error for a bad ring. Poll reports errors only for rings that it checks.
func TestWhoSaysThatARingIsBad(t *testing.T) {
	a, b := pair(t)
	a.tx[0].move(99)
	wantErrno(t, "TxSync", a.TxSync(), 0)
	a.rx[0].move(99)
	b.tx[0].put(t, frame("x"))
	b.TxSync()
	wantErrno(t, "RxSync", a.RxSync(), 0)
	wantFrames(t, a.rx[0], frame("x")) // the rxsync took place after the reset
	a.rx[0].move(99)
	if got := a.Poll(out); got != out {
		t.Errorf("poll(out) = %#x with a bad rx ring", got)
	}
	a.tx[0].move(99)
	if got := a.Poll(in); got&pollErr == 0 {
		t.Errorf("poll(in) = %#x with a bad tx ring", got)
	}
}

func TestNothingIsSentFromABadRing(t *testing.T) {
	a, b := pair(t)
	a.tx[0].put(t, frame("x"))
	a.tx[0].Cur.Store(8)
	a.TxSync()
	b.RxSync()
	wantFrames(t, b.rx[0])
	if a.tx[0].Head.Load() != 0 || a.tx[0].mine() != 7 {
		t.Errorf("head %d, %d slots after a reset", a.tx[0].Head.Load(), a.tx[0].mine())
	}
}

func TestAClosedBinding(t *testing.T) {
	a, _ := pair(t)
	wantErrno(t, "Close", a.Close(), 0)
	wantErrno(t, "TxSync", a.TxSync(), syscall.ENXIO)
	wantErrno(t, "RxSync", a.RxSync(), syscall.ENXIO)
	if got := a.Poll(inOut); got != pollErr {
		t.Errorf("poll = %#x", got)
	}
	wantErrno(t, "Close", a.Close(), 0)
}

func TestTimeOfArrival(t *testing.T) {
	a, b := pair(t)
	r := a.rx[0]
	a.RxSync()
	if r.Ts != (abi.Timeval{}) {
		t.Error("a sync that brought nothing noted the time")
	}
	b.tx[0].put(t, frame("x"))
	b.TxSync()
	a.RxSync()
	if r.Ts.Sec == 0 {
		t.Error("no time of arrival")
	}
	r.Ts = abi.Timeval{}
	a.Poll(in)
	if r.Ts != (abi.Timeval{}) {
		t.Error("a poll that brought nothing noted the time")
	}
	r.Flags.Store(abi.NRTimestamp)
	a.Poll(in)
	if r.Ts.Sec == 0 {
		t.Error("NR_TIMESTAMP has no effect")
	}
}

func TestNothingAllocates(t *testing.T) {
	e := newEngine(t)
	for _, c := range []struct{ what, tx, rx string }{{"VALE", "vale0:a", "vale0:b"},
		{"pipe", "x{1", "x}1"}, {"null port", "n", ""}} {
		t.Run(c.what, func(t *testing.T) {
			req := request(8)
			if c.rx == "" {
				req = request(8, null, rings(1, 1))
			}
			tx := open(t, e, c.tx, req)
			rx := tx
			if c.rx != "" {
				rx = open(t, e, c.rx, req)
			}
			text := frame("x")
			n := testing.AllocsPerRun(100, func() {
				if c.rx != "" {
					r := tx.tx[0]
					i := r.Head.Load()
					r.slots[i].Len = uint16(copy(r.buf(r.slots[i].BufIdx), text))
					r.move((i + 1) % r.NumSlots)
				}
				tx.TxSync()
				rx.RxSync()
				rx.rx[0].move(rx.rx[0].Tail.Load())
				rx.Poll(inOut)
				tx.Poll(inOut)
				tx.tx[0].move(tx.tx[0].Head.Load() + 100)
				tx.Poll(inOut)
				rx.Wait(t.Context(), in, 0)
			})
			if n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}
