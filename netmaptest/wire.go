package netmaptest

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/packet"
)

// patience is how long a test waits for what a program is to do.
const patience = 10 * time.Second

// Wire is the far end of an interface's cable. Its methods are for the test's goroutine: they end the test when something fails.
type Wire struct {
	t     testing.TB
	name  string
	port  *netmap.Port
	conn  *packet.Conn
	lose  func(n int, frame []byte) bool
	count int
}

// Lose has frames get lost on the wire, in both directions: those for which the function says yes. It is asked for each frame when
// the test sends or receives it; n counts them, from 0. Nil loses none any more.
func (w *Wire) Lose(lost func(n int, frame []byte) bool) { w.lose, w.count = lost, 0 }

func (w *Wire) lost(frame []byte) bool {
	n := w.count
	w.count++
	return w.lose != nil && w.lose(n, frame)
}

// Send has frames arrive at the interface, in its first ring, in order. The test fails when the program makes no room for 10 s.
func (w *Wire) Send(frames ...[]byte) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	for _, f := range frames {
		if w.lost(f) {
			continue
		}
		if _, err := w.conn.Send(ctx, f); err != nil {
			if errors.Is(err, context.DeadlineExceeded) {
				w.t.Fatalf("%s: no room for a frame of %d bytes: the program does not read", w.name, len(f))
			}
			w.t.Fatalf("%s: %v", w.name, err)
		}
	}
}

// SendTo is Send for a ring of choice: it stands for the card that spreads flows over its queues. The frames must fit the ring as it
// is.
func (w *Wire) SendTo(ring int, frames ...[]byte) {
	w.t.Helper()
	if ring < 0 || ring >= len(w.port.Tx()) {
		w.t.Fatalf("%s has no ring %d: it has %d", w.name, ring, len(w.port.Tx()))
	}
	for _, f := range frames {
		if !w.lost(f) && w.port.Tx()[ring].Send(f) == 0 {
			w.t.Fatalf("%s: no room in ring %d for a frame of %d bytes: the program does not read", w.name, ring, len(f))
		}
	}
	if err := w.port.TxSync(); err != nil {
		w.t.Fatal(err)
	}
}

// Settle waits until the program has read everything that was sent, and has come back to wait for more or to give the slots back. The
// test fails when it has not after 10 s.
func (w *Wire) Settle() {
	w.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err := w.port.TxSync(); err != nil {
			w.t.Fatal(err)
		}
		unread := slices.IndexFunc(w.port.Tx(), func(r *netmap.Ring) bool { return r.Len() < r.NumSlots()-1 })
		switch {
		case unread < 0:
			return
		case time.Now().After(end) || w.t.Context().Err() != nil:
			w.t.Fatalf("%s: there are frames in ring %d that the program does not read", w.name, unread)
		}
	}
}

// Receive is the next frame that the program sent, a copy. The test fails when there is none for 10 s.
func (w *Wire) Receive() []byte {
	w.t.Helper()
	frame, err := w.next(patience)
	if err != nil {
		w.t.Fatalf("%s: no frame came: %v", w.name, err)
	}
	return frame
}

// Expect receives as many frames and fails the test when they are not these, in this order.
func (w *Wire) Expect(frames ...[]byte) {
	w.t.Helper()
	for i, want := range frames {
		if got := w.Receive(); !bytes.Equal(got, want) {
			at := difference(got, want)
			w.t.Fatalf("%s: frame %d of %d differs from byte %d on; there got, of %d bytes\n%swant, of %d\n%s",
				w.name, i, len(frames), at, len(got), dump(got, at), len(want), dump(want, at))
		}
	}
}

// ExpectNone fails the test when the program sends a frame in that time.
func (w *Wire) ExpectNone(in time.Duration) {
	w.t.Helper()
	frame, err := w.next(in)
	switch {
	case err == nil:
		w.t.Fatalf("%s: a frame came that nobody expected, of %d bytes\n%s", w.name, len(frame), dump(frame, 0))
	case !errors.Is(err, context.DeadlineExceeded):
		w.t.Fatal(err)
	}
}

// next is the next frame that is not lost.
func (w *Wire) next(in time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), in)
	defer cancel()
	for {
		f, err := w.conn.Next(ctx)
		if err != nil {
			return nil, err
		}
		if !w.lost(f.Data) {
			return bytes.Clone(f.Data), nil
		}
	}
}

// difference is the first byte that differs.
func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// dump shows some of a frame, from the line on which that byte would be.
func dump(frame []byte, at int) string {
	const some = 128
	from := min(at, len(frame)) &^ 15
	return hex.Dump(frame[from:min(from+some, len(frame))])
}
