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

// patience is the time for which a test waits for the program.
const patience = 10 * time.Second

// Wire is the other end of an interface's cable. Its methods end the test on failure, so only the
// test's goroutine may call them.
type Wire struct {
	t     testing.TB
	name  string
	port  *netmap.Port
	conn  *packet.Conn
	lose  func(n int, frame []byte) bool
	count int
}

// Lose loses frames on the wire in both directions: those for which lost returns true. It is called
// for each frame that the test sends or receives; n counts these frames from 0. With nil, no more
// frames are lost.
func (w *Wire) Lose(lost func(n int, frame []byte) bool) { w.lose, w.count = lost, 0 }

func (w *Wire) lost(frame []byte) bool {
	n := w.count
	w.count++
	return w.lose != nil && w.lose(n, frame)
}

// Send sends frames to the interface's first ring, in order. The test fails if the program makes no
// room for 10 s.
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
				w.t.Fatalf("%s: no room for a frame of %d bytes: the program does not read", w.name,
					len(f))
			}
			w.t.Fatalf("%s: %v", w.name, err)
		}
	}
}

// SendTo is Send for another ring; so a test can act as a card that distributes flows to queues.
// The frames must fit in the ring's current room.
func (w *Wire) SendTo(ring int, frames ...[]byte) {
	w.t.Helper()
	if ring < 0 || ring >= len(w.port.Tx()) {
		w.t.Fatalf("%s has no ring %d: it has %d", w.name, ring, len(w.port.Tx()))
	}
	for _, f := range frames {
		if !w.lost(f) && w.port.Tx()[ring].Send(f) == 0 {
			w.t.Fatalf("%s: no room in ring %d for a frame of %d bytes: the program does not read",
				w.name, ring, len(f))
		}
	}
	if err := w.port.TxSync(); err != nil {
		w.t.Fatal(err)
	}
}

// Settle waits until the program has released the slots of all frames that were sent, by a sync or
// by waiting for more. The test fails if that takes more than 10 s.
func (w *Wire) Settle() {
	w.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err := w.port.TxSync(); err != nil {
			w.t.Fatal(err)
		}
		unread := slices.IndexFunc(w.port.Tx(),
			func(r *netmap.Ring) bool { return r.Len() < r.NumSlots()-1 })
		switch {
		case unread < 0:
			return
		case time.Now().After(end) || w.t.Context().Err() != nil:
			w.t.Fatalf("%s: there are frames in ring %d that the program does not read", w.name,
				unread)
		}
	}
}

// Receive returns a copy of the next frame that the program sent. The test fails if none comes for
// 10 s.
func (w *Wire) Receive() []byte {
	w.t.Helper()
	frame, err := w.next(patience)
	if err != nil {
		w.t.Fatalf("%s: no frame came: %v", w.name, err)
	}
	return frame
}

// Expect receives as many frames, and fails the test unless they equal these in this order.
func (w *Wire) Expect(frames ...[]byte) {
	w.t.Helper()
	for i, want := range frames {
		if got := w.Receive(); !bytes.Equal(got, want) {
			at := difference(got, want)
			w.t.Fatalf("%s: frame %d of %d differs from byte %d on: got, of %d bytes,\n%s"+
				"want, of %d bytes,\n%s",
				w.name, i, len(frames), at, len(got), dump(got, at), len(want), dump(want, at))
		}
	}
}

// ExpectNone fails the test if the program sends a frame in this time.
func (w *Wire) ExpectNone(in time.Duration) {
	w.t.Helper()
	frame, err := w.next(in)
	switch {
	case err == nil:
		w.t.Fatalf("%s: an unexpected frame of %d bytes came\n%s", w.name, len(frame),
			dump(frame, 0))
	case !errors.Is(err, context.DeadlineExceeded):
		w.t.Fatal(err)
	}
}

// next returns the next frame that is not lost.
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

// difference is the index of the first byte that differs.
func difference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// dump formats a part of a frame, from the line with byte at on.
func dump(frame []byte, at int) string {
	const some = 128
	from := min(at, len(frame)) &^ 15
	return hex.Dump(frame[from:min(from+some, len(frame))])
}
