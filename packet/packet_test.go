package packet_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/netmaptest"
	"github.com/seed-48afdc40/netmap/packet"
)

// frame is an Ethernet frame to the broadcast address.
func frame(text string) []byte {
	return append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5"), text...)
}

// long is a frame of size bytes. Its bytes depend on their position.
func long(size int) []byte {
	f := frame("")
	for len(f) < size {
		f = append(f, byte(len(f)>>3))
	}
	return f
}

// pair returns two connected links.
func pair(t testing.TB, options ...netmap.Option) (a, b *packet.Conn) {
	t.Helper()
	pa, pb := netmaptest.Pair(t, options...)
	a, b = packet.New(pa), packet.New(pb)
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

func mustSend(t testing.TB, c *packet.Conn, frames ...[]byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if n, err := c.Send(ctx, frames...); err != nil || n != len(frames) {
		t.Fatalf("%d frames of %d sent: %v", n, len(frames), err)
	}
}

func mustNext(t testing.TB, c *packet.Conn) packet.Frame {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	f, err := c.Next(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantNothing fails the test if there is a frame to be read.
func wantNothing(t testing.TB, c *packet.Conn) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if f, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("%q, %v; want nothing", f.Data, err)
	}
}

func TestFramesOfAllSizes(t *testing.T) {
	testutil.CheckLeaks(t)
	a, b := pair(t)
	buf := make([]byte, 1<<17)
	var bytesSent uint64
	for _, size := range []int{14, 60, 1514, 2047, 2048, 2049, 4096, 9018, 65535, 100000} {
		want := long(size)
		if n, err := a.WriteTo(want, nil); n != size || err != nil {
			t.Fatal(n, err)
		}
		n, _, err := b.ReadFrom(buf)
		if err != nil || !bytes.Equal(buf[:n], want) {
			t.Fatalf("%d of %d bytes, %v", n, size, err)
		}
		mustSend(t, b, want)
		if f := mustNext(t, a); !bytes.Equal(f.Data, want) || f.Length != size ||
			time.Since(f.Time) > time.Minute {
			t.Fatalf("%d of %d bytes, %v", len(f.Data), f.Length, f.Time)
		}
		bytesSent += uint64(size)
	}
	for _, s := range []packet.Stats{a.Stats(), b.Stats()} {
		want := packet.Stats{Received: 10, ReceivedBytes: bytesSent, Sent: 10, SentBytes: bytesSent}
		if s != want {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
}

func TestReadFromCutsAndTellsTheSender(t *testing.T) {
	a, b := pair(t)
	mustSend(t, a, frame("too long"), frame("whole"), []byte("short"))
	buf := make([]byte, 20)
	n, first, err := b.ReadFrom(buf)
	if err != nil || n != 20 || string(buf[14:]) != "too lo" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	n, second, err := b.ReadFrom(buf)
	if err != nil || string(buf[14:n]) != "whole" {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if first != second || first.String() != "02:00:00:00:00:01" || first.Network() != "netmap" {
		t.Errorf("frames are from %v and %v", first, second)
	}
	if n, none, err := b.ReadFrom(buf); n != 5 || none.String() != "" || err != nil {
		t.Errorf("%d bytes from %q, %v", n, none, err)
	}
	for i := range 3000 { // more senders than are remembered
		copy(buf, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00")
		buf[10], buf[11] = byte(i>>8), byte(i)
		mustSend(t, a, buf[:14])
		if _, addr, err := b.ReadFrom(buf); err != nil ||
			addr.String() != fmt.Sprintf("02:00:00:00:%02x:%02x", i>>8, i&255) {
			t.Fatal(i, addr, err)
		}
	}
}

func TestLocalAddr(t *testing.T) {
	a, _ := pair(t)
	if a.LocalAddr().String() != "" || a.InterfaceIndex() != 0 {
		t.Errorf("a pipe has the address %v and the index %d", a.LocalAddr(), a.InterfaceIndex())
	}
	var none *packet.Addr
	if none.String() != "<nil>" {
		t.Error(none)
	}
}

// The pieces of frames arrive in different rings, some of them later.
func TestPiecesOfSeveralRings(t *testing.T) {
	a, b := netmaptest.Pair(t, netmap.Rings(2, 2))
	link := packet.New(b)
	defer link.Close()
	put := func(ring int, text string, flags uint16) {
		w := a.Tx()[ring].Window()
		w.SetLen(copy(w.Buf(), text))
		w.Slot().Flags |= flags
		w.Next()
		w.Commit()
		a.TxSync()
	}
	put(0, "first ", abi.NSMoreFrag)
	put(1, "second ", abi.NSMoreFrag)
	wantNothing(t, link)
	put(1, "goes on ", abi.NSMoreFrag)
	put(0, "", abi.NSMoreFrag)
	put(0, "is whole", 0)
	if f := mustNext(t, link); string(f.Data) != "first is whole" || f.Ring != 0 {
		t.Errorf("%q in ring %d", f.Data, f.Ring)
	}
	put(0, "third", 0)
	if f := mustNext(t, link); string(f.Data) != "third" {
		t.Errorf("%q", f.Data)
	}
	wantNothing(t, link)
	put(1, "and is whole", 0)
	if f := mustNext(t, link); string(f.Data) != "second goes on and is whole" || f.Ring != 1 {
		t.Errorf("%q in ring %d", f.Data, f.Ring)
	}
}

// A frame of too many slots does not use up the memory, and the frames after it arrive.
func TestFramesWithoutEnd(t *testing.T) {
	a, b := pair(t)
	mustSend(t, a, long(262145), long(262144), long(1000000), frame("after it"))
	if f := mustNext(t, b); f.Length != 262144 {
		t.Errorf("%d bytes", f.Length)
	}
	if f := mustNext(t, b); string(f.Data) != string(frame("after it")) || b.Stats().TooLong != 2 {
		t.Errorf("%q, %+v", f.Data, b.Stats())
	}
}

// A program that reads slowly does not keep slots that it has finished.
func TestSlotsComeBackEarly(t *testing.T) {
	pa, pb := netmaptest.Pair(t)
	link := packet.New(pb)
	defer link.Close()
	tx := pa.Tx()[0]
	for tx.Send(frame("fills the ring")) == 1 {
	}
	pa.TxSync()
	for range 600 {
		mustNext(t, link)
	}
	pa.TxSync()
	if tx.Len() < 512 {
		t.Errorf("%d slots have come back after 600 frames", tx.Len())
	}
}

func TestAFullRing(t *testing.T) {
	a, b := pair(t, netmap.Slots(8, 8))
	for i := range 7 {
		mustSend(t, a, frame(fmt.Sprint(i)))
	}
	a.SetWriteDeadline(time.Now().Add(5 * time.Millisecond))
	n, err := a.WriteTo(frame("no room"), nil)
	if n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if n, err := a.Send(ctx, frame("no room")); n != 0 ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
	a.SetWriteDeadline(time.Time{})

	// A frame that takes all slots waits for all of them.
	whole, sent := long(7*embed.DefaultBufSize), make(chan error)
	go func() {
		_, err := a.WriteTo(whole, nil)
		sent <- err
	}()
	for i := range 7 {
		if f := mustNext(t, b); string(f.Data[14:]) != fmt.Sprint(i) {
			t.Errorf("frame %d is %q", i, f.Data[14:])
		}
	}
	if f := mustNext(t, b); !bytes.Equal(f.Data, whole) {
		t.Errorf("%d bytes", len(f.Data))
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestWriteErrors(t *testing.T) {
	a, b := pair(t, netmap.Slots(8, 8))
	for _, c := range []struct {
		frame []byte
		addr  net.Addr
		want  error
	}{
		{nil, nil, syscall.EINVAL},
		{long(7*embed.DefaultBufSize + 1), nil, syscall.EMSGSIZE},
		{frame(""), &net.UDPAddr{}, syscall.EINVAL},
		{frame("to an address"), &packet.Addr{HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}}, nil},
	} {
		if _, err := a.WriteTo(c.frame, c.addr); !errors.Is(err, c.want) {
			t.Errorf("%d bytes to %v: %v, want %v", len(c.frame), c.addr, err, c.want)
		}
	}
	mustNext(t, b)
	n, err := a.Send(t.Context(), frame("1"), frame("2"), nil, frame("3"))
	if n != 2 || !errors.Is(err, syscall.EINVAL) {
		t.Errorf("%d frames sent, %v", n, err)
	}
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "write" || op.Net != "netmap" {
		t.Errorf("%#v", err)
	}
}

func TestOneDirection(t *testing.T) {
	a, _ := pair(t, netmap.RxOnly())
	if _, err := a.WriteTo(frame(""), nil); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Error(err)
	}
	b, _ := pair(t, netmap.TxOnly())
	if _, err := b.Next(t.Context()); !errors.Is(err, syscall.EOPNOTSUPP) {
		t.Error(err)
	}
}

func TestReadDeadline(t *testing.T) {
	testutil.CheckLeaks(t)
	a, b := pair(t)
	buf := make([]byte, 100)
	wantTimeout := func() {
		t.Helper()
		var timeout net.Error
		if _, _, err := b.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) ||
			!errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v", err)
		}
	}
	mustSend(t, a, frame("there"))
	b.SetReadDeadline(time.Now().Add(-time.Second))
	wantTimeout() // although a frame has arrived
	wantTimeout()
	if string(mustNext(t, b).Data[14:]) != "there" { // deadlines do not apply to Next
		t.Error("the frame is lost")
	}
	b.SetDeadline(time.Now().Add(2 * time.Millisecond))
	wantTimeout()
	wantTimeout()

	b.SetReadDeadline(time.Time{})
	for _, change := range []func(){ // while a call waits
		func() { b.SetReadDeadline(time.Now().Add(2 * time.Millisecond)) },
		func() { b.SetReadDeadline(time.Unix(1, 0)) },
		func() { b.SetReadDeadline(time.Now().Add(time.Hour)); b.SetReadDeadline(time.Now()) },
	} {
		b.SetReadDeadline(time.Now().Add(time.Hour))
		ended := make(chan error)
		go func() {
			_, _, err := b.ReadFrom(buf)
			ended <- err
		}()
		time.Sleep(time.Millisecond)
		change()
		if err := <-ended; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	}
	b.SetReadDeadline(time.Time{})
	mustSend(t, a, frame("again"))
	if n, _, err := b.ReadFrom(buf); err != nil || string(buf[14:n]) != "again" {
		t.Errorf("%q, %v", buf[:n], err)
	}
}

// Close ends all calls that wait.
func TestClose(t *testing.T) {
	testutil.CheckLeaks(t)
	for name, call := range map[string]func(*packet.Conn) error{
		"ReadFrom": func(c *packet.Conn) error { _, _, err := c.ReadFrom(make([]byte, 100)); return err },
		"Next":     func(c *packet.Conn) error { _, err := c.Next(context.Background()); return err },
		"Next with a context": func(c *packet.Conn) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			_, err := c.Next(ctx)
			return err
		},
		"WriteTo": func(c *packet.Conn) error {
			return fill(func() error { _, err := c.WriteTo(frame("fill"), nil); return err })
		},
		"Send": func(c *packet.Conn) error {
			return fill(func() error {
				_, err := c.Send(context.Background(), frame("fill"))
				return err
			})
		},
	} {
		a, _ := pair(t, netmap.Slots(8, 8))
		ended := make(chan error)
		go func() { ended <- call(a) }()
		time.Sleep(2 * time.Millisecond)
		if err := a.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %v", name, err)
		}
		if err := call(a); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s afterwards: %v", name, err)
		}
		if err := a.SetDeadline(time.Now()); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a deadline afterwards: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close again: %v", err)
		}
	}
}

// fill calls call until it fails.
func fill(call func() error) error {
	for {
		if err := call(); err != nil {
			return err
		}
	}
}

func TestContext(t *testing.T) {
	a, _ := pair(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	ended := make(chan error)
	go func() { _, err := a.Next(ctx); ended <- err }()
	time.Sleep(time.Millisecond)
	cancel(errors.New("a reason"))
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := a.Send(ctx, frame("")); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// If the port fails beneath the link, calls return an error and do not loop forever.
func TestThePortFails(t *testing.T) {
	pa, pb := netmaptest.Pair(t)
	a, b := packet.New(pa), packet.New(pb)
	defer a.Close()
	defer b.Close()
	pa.Close()
	if _, err := a.Next(t.Context()); !errors.Is(err, syscall.ENXIO) {
		t.Error(err)
	}
	if _, err := a.WriteTo(frame(""), nil); !errors.Is(err, syscall.ENXIO) {
		t.Error(err)
	}
}

// Several goroutines read and write both ends at once. No frame is lost or changed. If one
// goroutine reads, the frames of each sender stay in order.
func TestManyGoroutines(t *testing.T) {
	testutil.CheckLeaks(t)
	const senders, each = 3, 2000
	a, b := pair(t, netmap.Slots(64, 64))
	var wg sync.WaitGroup
	for _, c := range []*packet.Conn{a, b} {
		for sender := range senders {
			wg.Go(func() {
				f := frame(strings.Repeat(string(rune('a'+sender)), 100))
				for i := range each {
					f[20], f[21] = byte(i>>8), byte(i)
					if _, err := c.WriteTo(f, nil); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Go(func() {
			var next [senders]int
			for range senders * each {
				f, err := c.Next(t.Context())
				if err != nil {
					t.Error(err)
					return
				}
				sender := int(f.Data[30] - 'a')
				if got := int(f.Data[20])<<8 | int(f.Data[21]); got != next[sender] {
					t.Errorf("frame %d of sender %d, want %d", got, sender, next[sender])
					return
				}
				next[sender]++
			}
		})
	}
	wg.Wait()
	wantNothing(t, a)
	wantNothing(t, b)
}

func TestNextCopy(t *testing.T) {
	a, b := pair(t)
	var kept [][]byte
	for round := range 3 {
		mustSend(t, a, frame(fmt.Sprint("copy ", round)))
		f, err := b.NextCopy(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, f.Data)
		for range 2000 { // every buffer is used again
			mustSend(t, a, frame("other"))
			mustNext(t, b)
		}
	}
	if !slices.EqualFunc(kept, []string{"copy 0", "copy 1", "copy 2"},
		func(f []byte, s string) bool { return string(f[14:]) == s }) {
		t.Errorf("%q", kept)
	}
}

// Frames start at the offsets in their slots.
func TestOffsets(t *testing.T) {
	a, b := pair(t, netmap.Offsets(256, 128), netmap.Slots(8, 8))
	mustSend(t, a, frame("with an offset"), long(5000))
	for _, want := range [][]byte{frame("with an offset"), long(5000)} {
		if f := mustNext(t, b); !bytes.Equal(f.Data, want) {
			t.Errorf("%d bytes: %q", len(f.Data), f.Data[:min(40, len(f.Data))])
		}
	}
	if _, err := a.WriteTo(long(7*embed.DefaultBufSize), nil); !errors.Is(err, syscall.EMSGSIZE) {
		t.Error(err)
	}
}

// One goroutine uses links over ports that a loop syncs.
func TestSyncLoop(t *testing.T) {
	testutil.CheckLeaks(t)
	a, b := pair(t, netmap.SyncLoop())
	for i := range 300 {
		mustSend(t, a, frame(fmt.Sprint("request ", i)), long(3000))
		if f := mustNext(t, b); string(f.Data[14:]) != fmt.Sprint("request ", i) {
			t.Fatalf("%q", f.Data)
		}
		if f := mustNext(t, b); !bytes.Equal(f.Data, long(3000)) {
			t.Fatalf("%d bytes", len(f.Data))
		}
		mustSend(t, b, frame("answer"))
		mustNext(t, a)
	}
}
