//go:build linux

package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/seed-48afdc40/netmap"
)

// eventually waits until a condition holds, and fails the test after five seconds.
func (w *world) eventually(what string, is func() bool) {
	w.Helper()
	for end := time.Now().Add(5 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("not within 5 s: %s", what)
		}
	}
}

// Poll sends pending frames, whatever events it waits for. With NoTxPoll it sends only when it
// waits for room.
func noTxPoll(w *world) {
	a, b := w.open("x{1", netmap.NoTxPoll()), w.open("x}1")
	poll := func(p *netmap.Port, events netmap.Events) {
		w.Helper()
		if _, err := p.Poll(w.Context(), events, 0); err != nil {
			w.Fatal(err)
		}
	}
	a.Tx()[0].Send(frame(1, 2, "pending"))
	poll(a, netmap.In)
	w.wantTexts(b)
	poll(a, netmap.Out)
	w.wantTexts(b, "pending")

	b.Tx()[0].Send(frame(2, 1, "sent"))
	poll(b, netmap.In)
	w.wantTexts(a, "sent")
	b.Tx()[0].Send(frame(2, 1, "sent, too"))
	poll(b, 0)
	w.wantTexts(a, "sent, too")
}

func timeouts(w *world) {
	p := w.open("x{1")
	for _, timeout := range []time.Duration{0, time.Millisecond, 30 * time.Millisecond} {
		start := time.Now()
		got, err := p.Poll(w.Context(), netmap.In, timeout)
		if took := time.Since(start); got != 0 || err != nil || took < timeout ||
			took > timeout+3*time.Second {
			w.Errorf("poll with a timeout of %v: %#x, %v after %v", timeout, got, err, took)
		}
	}
	if got, err := p.Poll(w.Context(), netmap.In|netmap.Out, -1); got != netmap.Out || err != nil {
		w.Errorf("poll without a timeout: %#x, %v, want POLLOUT at once", got, err)
	}
}

func contexts(w *world) {
	a, b := w.open("x{1"), w.open("x}1")
	for range 20 {
		ctx, cancel := context.WithCancel(w.Context())
		go func() {
			time.Sleep(time.Millisecond)
			cancel()
		}()
		if got, err := b.Poll(ctx, netmap.In, -1); got != 0 || !errors.Is(err, context.Canceled) {
			w.Fatalf("poll whose context ends: %#x, %v", got, err)
		}
		// The end of one context does not end the next wait.
		if got, err := b.Poll(w.Context(), netmap.In, 2*time.Millisecond); got != 0 || err != nil {
			w.Fatalf("the next poll: %#x, %v", got, err)
		}
	}
	ctx, cancel := context.WithTimeout(w.Context(), 5*time.Millisecond)
	defer cancel()
	if got, err := b.Poll(ctx, netmap.In, 10*time.Second); got != 0 ||
		!errors.Is(err, context.DeadlineExceeded) {
		w.Errorf("poll whose context has a deadline: %#x, %v", got, err)
	}
	// A context that has ended hides no frames, and a poll that does not wait ignores it.
	if got, err := b.Poll(ctx, netmap.In, 0); got != 0 || err != nil {
		w.Errorf("poll that does not wait: %#x, %v", got, err)
	}
	w.send(a, 0, frame(1, 2, "there"))
	if got, err := b.Poll(ctx, netmap.In, -1); got != netmap.In || err != nil {
		w.Errorf("poll of a port with frames: %#x, %v", got, err)
	}
}

// Close by another goroutine ends a poll.
func closeEndsPoll(w *world) {
	for _, timeout := range []time.Duration{-1, 10 * time.Second} {
		p := w.open("x{1")
		go func() {
			time.Sleep(5 * time.Millisecond)
			p.Close()
		}()
		start := time.Now()
		if got, err := p.Poll(context.Background(), netmap.In, timeout); got != netmap.Err ||
			err != nil || time.Since(start) > 5*time.Second {
			w.Errorf("poll of a port that is closed: %#x, %v after %v", got, err, time.Since(start))
		}
	}
}

// Two goroutines use a port, one for each direction. When their context ends, both waits end.
func bothDirectionsWait(w *world) {
	p := w.open("x{1", netmap.Slots(16, 16))
	for p.Tx()[0].Send(frame(1, 2, "until it is full")) == 1 {
		p.TxSync()
	}
	for range 50 {
		ctx, cancel := context.WithCancel(w.Context())
		ended := make(chan error, 2)
		for _, want := range []netmap.Events{netmap.In, netmap.Out} {
			go func() {
				_, err := p.Poll(ctx, want, 10*time.Second)
				ended <- err
			}()
		}
		time.Sleep(200 * time.Microsecond)
		cancel()
		for range 2 {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				w.Fatalf("%v, want context.Canceled", err)
			}
		}
	}
}

// A frame wakes both ports that wait for the same ring.
func twoWait(w *world) {
	a := w.open("x{1")
	for _, delay := range []time.Duration{0, 20 * time.Microsecond, 2 * time.Millisecond} {
		woken := make(chan netmap.Events, 2)
		for range 2 {
			b := w.open("x}1")
			go func() {
				got, _ := b.Poll(w.Context(), netmap.In, 5*time.Second)
				woken <- got
			}()
		}
		time.Sleep(delay)
		w.send(a, 0, frame(1, 2, "for both"))
		for range 2 {
			if got := <-woken; got != netmap.In {
				w.Errorf("woken with %#x after %v", got, delay)
			}
		}
		w.texts(w.open("x}1"))
	}
}
