package engine_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// soon is how long a test waits for what has to happen.
const soon = 10 * time.Second

type outcome struct {
	ready int16
	err   error
}

// wait calls Wait in a goroutine, and returns when that sleeps, or is about to.
func wait(ctx context.Context, p *program, events int16, timeout time.Duration) <-chan outcome {
	started, done := make(chan struct{}), make(chan outcome, 1)
	go func() {
		close(started)
		ready, err := p.Wait(ctx, events, timeout)
		done <- outcome{ready, err}
	}()
	<-started
	for range 20 {
		runtime.Gosched()
	}
	return done
}

func wantOutcome(t *testing.T, done <-chan outcome, ready int16, err error) {
	t.Helper()
	select {
	case got := <-done:
		if got.ready != ready || !errors.Is(got.err, err) {
			t.Errorf("Wait = %#x, %v; want %#x, %v", got.ready, got.err, ready, err)
		}
	case <-time.After(soon):
		t.Fatal("Wait sleeps on")
	}
}

func TestWaitWithTimeout(t *testing.T) {
	testutil.CheckLeaks(t)
	a, b := pair(t)
	for _, timeout := range []time.Duration{0, time.Nanosecond, 5 * time.Millisecond} {
		start := time.Now()
		if ready, err := a.Wait(context.Background(), in, timeout); ready != 0 || err != nil {
			t.Errorf("Wait(%v) = %#x, %v", timeout, ready, err)
		}
		if took := time.Since(start); took < timeout {
			t.Errorf("Wait(%v) took %v", timeout, took)
		}
	}
	b.tx[0].put(t, frame("x"))
	b.TxSync()
	for _, timeout := range []time.Duration{0, time.Hour, -1} {
		if ready, err := a.Wait(context.Background(), in, timeout); ready != in || err != nil {
			t.Errorf("Wait(%v) = %#x, %v with a frame there", timeout, ready, err)
		}
	}
}

func TestWaitWithContext(t *testing.T) {
	testutil.CheckLeaks(t)
	a, b := pair(t)
	ended, end := context.WithCancel(context.Background())
	end()
	deadline, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		what    string
		ctx     context.Context
		timeout time.Duration
		want    error
	}{
		{"ended before", ended, -1, context.Canceled},
		{"ended before, with timeout", ended, time.Hour, context.Canceled},
		{"deadline", deadline, -1, context.DeadlineExceeded},
		{"deadline before the timeout", deadline, time.Hour, context.DeadlineExceeded},
		{"timeout before the end", context.Background(), time.Millisecond, nil},
	} {
		wantOutcome(t, wait(c.ctx, a, in, c.timeout), 0, c.want)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := wait(ctx, a, in, -1)
	cancel()
	wantOutcome(t, done, 0, context.Canceled)

	// The one that is cancelled leaves no wake-up behind for the next one.
	if ready, err := a.Wait(context.Background(), in, time.Millisecond); ready != 0 || err != nil {
		t.Errorf("the next Wait = %#x, %v", ready, err)
	}
	b.tx[0].put(t, frame("x"))
	b.TxSync()
	// a ready event is reported even if the context has ended
	wantOutcome(t, wait(ended, a, in, -1), in, nil)
}

func TestWaitIsWokenByFrames(t *testing.T) {
	testutil.CheckLeaks(t)
	for _, c := range []struct{ what, rx, tx string }{{"VALE", "vale0:a", "vale0:b"},
		{"pipe", "x{1", "x}1"}} {
		t.Run(c.what, func(t *testing.T) {
			e := newEngine(t)
			rx, tx := open(t, e, c.rx, request(8)), open(t, e, c.tx, request(8))
			for range 100 {
				done := wait(context.Background(), rx, in, -1)
				tx.tx[0].put(t, frame("x"))
				tx.TxSync()
				wantOutcome(t, done, in, nil)
				wantFrames(t, rx.rx[0], frame("x"))
				rx.RxSync()
				tx.TxSync()
			}
		})
	}
}

func TestWaitIsWokenByRoom(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newEngine(t)
	tx, rx := open(t, e, "x{1", request(4)), open(t, e, "x}1", request(4))
	tx.tx[0].put(t, "1", "2", "3")
	tx.TxSync()
	for range 100 {
		rx.RxSync()
		done := wait(context.Background(), tx, inOut, -1)
		rx.rx[0].move((rx.rx[0].Head.Load() + 1) % 4)
		rx.RxSync()
		wantOutcome(t, done, out, nil)
		tx.tx[0].put(t, "x")
		tx.TxSync()
	}
}

func TestWaitIsWokenByAnyOfItsRings(t *testing.T) {
	e := newEngine(t)
	tx, rx := open(t, e, "x{1", request(8, rings(4, 1))), open(t, e, "x}1", request(8))
	for i := range 4 {
		done := wait(context.Background(), rx, in, -1)
		tx.tx[i].put(t, "x")
		tx.TxSync()
		wantOutcome(t, done, in, nil)
		wantFrames(t, rx.rx[i], "x")
	}
}

func TestEveryBindingIsWoken(t *testing.T) {
	e := newEngine(t)
	tx := open(t, e, "vale0:b", request(8))
	var all []<-chan outcome
	for range 3 {
		all = append(all, wait(context.Background(), open(t, e, "vale0:a", request(8)), in, -1))
	}
	tx.tx[0].put(t, frame("x"))
	tx.TxSync()
	for _, done := range all {
		wantOutcome(t, done, in, nil)
	}
}

func TestWaitSendsWhatIsPending(t *testing.T) {
	a, b := pair(t)
	a.tx[0].put(t, frame("x"))
	if ready, err := a.Wait(context.Background(), in, time.Millisecond); ready != 0 || err != nil {
		t.Errorf("Wait = %#x, %v", ready, err)
	}
	b.RxSync()
	wantFrames(t, b.rx[0], frame("x"))
}

// Every wait, for whatever event, ends when the port is closed.
func TestCloseWakesThoseWhoWait(t *testing.T) {
	for _, c := range []struct {
		what   string
		req    abi.Register
		events int16
		close  func(*engine.Engine, *program)
	}{
		{"for frames", request(8), in, closePort},
		{"for nothing", request(8), 0, closePort},
		{"for frames without rx rings", request(8, flags(abi.NRTxRingsOnly)), in, closePort},
		{"for room without tx rings", request(8, flags(abi.NRRxRingsOnly)), out, closePort},
		{"on a null port without rings", request(8, null), inOut, closePort},
		{"on an engine that closes", request(8), in, func(e *engine.Engine, _ *program) { e.Close() }},
	} {
		t.Run(c.what, func(t *testing.T) {
			testutil.CheckLeaks(t)
			e := newEngine(t)
			p := open(t, e, "vale0:a", c.req)
			var all []<-chan outcome
			for range 3 {
				all = append(all, wait(context.Background(), p, c.events, -1))
			}
			c.close(e, p)
			for _, done := range all {
				wantOutcome(t, done, pollErr, nil)
			}
			wantOutcome(t, wait(context.Background(), p, c.events, -1), pollErr, nil)
		})
	}
}

func closePort(_ *engine.Engine, p *program) { p.Close() }

func TestWaitTellsOfABadRing(t *testing.T) {
	a, _ := pair(t)
	a.rx[0].move(8)
	wantOutcome(t, wait(context.Background(), a, in, -1), pollErr, nil)
}

func TestSpinningFindsFramesAndKeepsTheTime(t *testing.T) {
	e, err := engine.New(engine.Config{Region: small, Spin: 2 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	rx, tx := open(t, e, "x{1", request(8)), open(t, e, "x}1", request(8))
	if ready, err := rx.Wait(context.Background(), in, time.Millisecond); ready != 0 || err != nil {
		t.Errorf("Wait = %#x, %v", ready, err)
	}
	for range 20 {
		done := wait(context.Background(), rx, in, -1)
		tx.tx[0].put(t, "x")
		tx.TxSync()
		wantOutcome(t, done, in, nil)
		wantFrames(t, rx.rx[0], "x")
		rx.RxSync()
		tx.TxSync()
	}
}

// wakes counts.
type wakes struct{ n int }

func (w *wakes) Wake() { w.n++ }

func TestSubscribersAreWokenUntilTheyClose(t *testing.T) {
	e := newEngine(t)
	one, two, tx := open(t, e, "x}1", request(4)), open(t, e, "x}1", request(4)),
		open(t, e, "x{1", request(4))
	var w [2]wakes
	one.Subscribe(&w[0])
	two.Subscribe(&w[1])
	for i, want := range [][2]int{{1, 1}, {1, 2}} {
		tx.tx[0].put(t, "x")
		tx.TxSync()
		if got := [2]int{w[0].n, w[1].n}; got != want {
			t.Errorf("after frame %d: woken %v times, want %v", i, got, want)
		}
		one.Close()
	}
}

// A frame goes back and forth between two goroutines that sleep whenever there is nothing to do.
func TestPingPong(t *testing.T) {
	testutil.CheckLeaks(t)
	const rounds = 3000
	e := newEngine(t)
	ends := []*program{open(t, e, "x{1", request(4)), open(t, e, "x}1", request(4))}
	ctx, cancel := context.WithTimeout(context.Background(), 4*soon)
	defer cancel()
	ends[0].tx[0].put(t, "ball")
	var wg sync.WaitGroup
	for _, p := range ends {
		wg.Go(func() {
			for n := 0; n < rounds; {
				if _, err := p.Wait(ctx, in, -1); err != nil {
					t.Errorf("after %d rounds: %v", n, err)
					return
				}
				for range p.rx[0].take() {
					p.tx[0].put(t, "ball")
					n++
				}
			}
			p.TxSync() // the last one
			p.RxSync()
		})
	}
	wg.Wait()
}

// Many wait on one binding, and are woken, cancelled and timed out at random.
func TestManyWaitOnOneBinding(t *testing.T) {
	testutil.CheckLeaks(t)
	a, b := pair(t)
	stop := make(chan struct{})
	var wg, sender sync.WaitGroup
	var mu sync.Mutex // a ring is for one program at a time
	sender.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				b.tx[0].put(t, frame("x"))
				b.TxSync()
				time.Sleep(100 * time.Microsecond)
			}
		}
	})
	for range 6 {
		wg.Go(func() {
			for n := range 100 {
				ctx, cancel := context.WithTimeout(context.Background(),
					time.Duration(n%5)*100*time.Microsecond)
				if n%3 == 0 {
					ctx = context.Background()
				}
				ready, err := a.Wait(ctx, in, time.Duration(n%7)*200*time.Microsecond)
				if ready&^in != 0 || err != nil && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("Wait = %#x, %v", ready, err)
				}
				if n%4 == 0 {
					mu.Lock()
					a.rx[0].move(a.rx[0].Tail.Load())
					mu.Unlock()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	close(stop)
	sender.Wait()
}
