//go:build linux

package scenario

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/packet"
)

// Both ends of a link send and receive frames of one slot and of several at once, each end in two
// goroutines. Nothing is lost.
func rawLink(w *world) {
	const count = 300
	a, b := packet.New(w.open("x{1", netmap.Slots(64, 64))), packet.New(w.open("x}1"))
	ctx, cancel := context.WithTimeout(w.Context(), 20*time.Second)
	defer cancel()
	errs := make(chan error)
	texts := func(i int) []byte {
		return frame(1, 2, string(bytes.Repeat([]byte{byte(i)}, 1+i*37%6000)))
	}
	for _, c := range []*packet.Conn{a, b} {
		go func() {
			for i := range count {
				if _, err := c.Send(ctx, texts(i)); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
		go func() {
			for i := range count {
				f, err := c.Next(ctx)
				if err == nil && !bytes.Equal(f.Data, texts(i)) {
					err = errors.New("a frame has changed")
				}
				if err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range 4 {
		if err := <-errs; err != nil {
			w.Error(err)
		}
	}
	for _, c := range []*packet.Conn{a, b} {
		if s := c.Stats(); s.Sent != count || s.Received != count {
			w.Errorf("%+v", s)
		}
	}
}

// Deadlines and Close end calls that wait. Close does not unmap memory that another call still
// reads.
func rawLinkEnds(w *world) {
	for range 10 {
		a, b := packet.New(w.open("x{1", netmap.Slots(16, 16))), packet.New(w.open("x}1"))
		ended := make(chan error, 4)
		start := func(c *packet.Conn) {
			go func() {
				for {
					if _, _, err := c.ReadFrom(make([]byte, 100)); err != nil {
						ended <- err
						return
					}
				}
			}()
			go func() {
				for {
					if _, err := c.WriteTo(frame(1, 2, "on and on"), nil); err != nil {
						ended <- err
						return
					}
				}
			}()
		}
		want := func(n int, want error) {
			w.Helper()
			for range n {
				select {
				case err := <-ended:
					if !errors.Is(err, want) {
						w.Errorf("%v, want %v", err, want)
					}
				case <-time.After(10 * time.Second):
					w.Fatalf("a call does not end with %v", want)
				}
			}
		}
		start(a)
		start(b)
		time.Sleep(2 * time.Millisecond)
		a.SetDeadline(time.Now())
		want(2, os.ErrDeadlineExceeded)
		time.Sleep(time.Millisecond) // b waits for room and for frames
		b.Close()
		want(2, net.ErrClosed)
		a.Close()
	}
}
