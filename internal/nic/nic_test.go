//go:build linux

package nic_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// pair is two namespaces joined by a veth pair, a framework, and a port on either end.
type pair struct {
	t      *testing.T
	f      *embed.Framework
	na, nb *testutil.NS
}

func newPair(t *testing.T, queues int) *pair { return newSizedPair(t, queues, embed.Config{}) }

func newSizedPair(t *testing.T, queues int, c embed.Config) *pair {
	t.Helper()
	testutil.CheckLeaks(t)
	p := &pair{t: t, na: testutil.NewNS(t), nb: testutil.NewNS(t)}
	testutil.Veth(t, p.na, "va", p.nb, "vb", queues)
	f, err := embed.New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if u := f.Usage(); !u.Full() {
			t.Errorf("objects are missing at the end: %+v", u)
		}
		f.Close()
	})
	p.f = f
	return p
}

func (p *pair) open(ns *testutil.NS, name string, options ...netmap.Option) *netmap.Port {
	p.t.Helper()
	var port *netmap.Port
	var err error
	ns.Do(func() { port, err = p.f.Open(name, options...) })
	testutil.Require(p.t, "AF_XDP", err)
	p.t.Cleanup(func() { port.Close() })
	return port
}

// frame makes a frame with a number and a payload that depends on it.
func frame(seq, size int) []byte {
	b := make([]byte, size)
	copy(b, "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x88\xb5")
	binary.BigEndian.PutUint32(b[14:], uint32(seq))
	for i := 18; i < size; i++ {
		b[i] = byte(seq + i)
	}
	return b
}

// pump sends count frames, round robin over all tx rings, and checks that each arrives once and
// whole.
func pump(t *testing.T, from, to *netmap.Port, count int, sizes ...int) {
	t.Helper()
	size := func(seq int) int { return sizes[seq%len(sizes)] }
	seen := make([]bool, count)
	sent, got := 0, 0
	deadline := time.Now().Add(10 * time.Second)
	var long []byte
	for got < count && time.Now().Before(deadline) {
		for range 32 { // a veth queue holds 256 frames
			if sent < count && sent-got < 128 && from.Tx()[sent%len(from.Tx())].Send(frame(sent,
				size(sent))) == 1 {
				sent++
			}
		}
		if err := from.TxSync(); err != nil {
			t.Fatal(err)
		}
		if _, err := to.Poll(t.Context(), netmap.In, 5*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		for _, r := range to.Rx() {
			for slot, b := range r.Frames() {
				if long = append(long, b...); slot.Flags&abi.NSMoreFrag != 0 {
					continue
				}
				b, long = long, nil
				if len(b) < 18 || b[12] != 0x88 {
					continue
				}
				seq := int(binary.BigEndian.Uint32(b[14:]))
				if seq >= count || seen[seq] || !bytes.Equal(b, frame(seq, size(seq))) {
					t.Fatalf("frame %d is wrong or comes twice: %d bytes", seq, len(b))
				}
				seen[seq] = true
				got++
			}
		}
	}
	if got != count {
		t.Fatalf("%d of %d frames arrived", got, count)
	}
}

func TestFramesBothWays(t *testing.T) {
	for _, queues := range []int{1, 4} {
		p := newPair(t, queues)
		a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
		if len(a.Tx()) != queues || len(b.Rx()) != queues {
			t.Fatalf("%d tx and %d rx rings, want %d", len(a.Tx()), len(b.Rx()), queues)
		}
		pump(t, a, b, 5000, 60, 61, 1514, 64, 1000)
		pump(t, b, a, 5000, 60, 1514)
		a.Close()
		b.Close()
	}
}

// One direction is opened and closed while the other stays open, and the socket with it.
func TestDirectionsAlone(t *testing.T) {
	p := newPair(t, 1)
	b := p.open(p.nb, "netmap:vb")
	tx := p.open(p.na, "netmap:va/T")
	if len(tx.Rx()) != 0 {
		t.Fatal("a tx-only port has rx rings")
	}
	pump(t, tx, b, 300, 60)
	for range 5 {
		rx := p.open(p.na, "netmap:va/R")
		pump(t, b, rx, 3000, 60)
		pump(t, tx, b, 300, 60)
		rx.Close()
	}
	rx := p.open(p.na, "netmap:va/R")
	for range 5 {
		tx.Close()
		tx = p.open(p.na, "netmap:va/T")
		pump(t, tx, b, 3000, 60)
		pump(t, b, rx, 300, 60)
	}
	tx.Close()
	rx.Close()
	b.Close()
}

func TestOneRing(t *testing.T) {
	p := newPair(t, 4)
	a, b := p.open(p.na, "netmap:va-2"), p.open(p.nb, "netmap:vb-2")
	if len(a.Tx()) != 1 || a.Tx()[0].ID() != 2 {
		t.Fatalf("rings are %v", a.Tx())
	}
	pump(t, a, b, 2000, 60)
	var err error
	p.na.Do(func() { _, err = p.f.Open("netmap:va-4") })
	if !errors.Is(err, syscall.EINVAL) {
		t.Fatalf("ring 4 of 4: %v", err)
	}
	a.Close()
	b.Close()
}

// A bridge that swaps buffers between two interfaces moves every frame and keeps every buffer.
func TestZeroCopyBridge(t *testing.T) {
	p := newPair(t, 1)
	nc := testutil.NewNS(t)
	testutil.Veth(t, p.nb, "vc", nc, "vd", 1)
	a, d := p.open(p.na, "netmap:va"), p.open(nc, "netmap:vd")
	b, c := p.open(p.nb, "netmap:vb"), p.open(p.nb, "netmap:vc")
	if !b.SameRegion(c) {
		t.Fatal("two ports of a framework are in different regions")
	}
	stop, ended := make(chan struct{}), make(chan struct{})
	end := sync.OnceFunc(func() { close(stop); <-ended })
	t.Cleanup(end)
	go func() {
		defer close(ended)
		for {
			select {
			case <-stop:
				return
			default:
			}
			b.Poll(context.Background(), netmap.In, time.Millisecond)
			c.Poll(context.Background(), netmap.In, 0)
			move(b.Rx()[0], c.Tx()[0])
			move(c.Rx()[0], b.Tx()[0])
			b.TxSync()
			c.TxSync()
		}
	}()
	pump(t, a, d, 20000, 60, 1514)
	pump(t, d, a, 20000, 60)
	end()
	for _, port := range []*netmap.Port{a, b, c, d} {
		port.Close()
	}
}

func move(from, to *netmap.Ring) {
	rx, tx := from.Window(), to.Window()
	for rx.Len() > 0 && tx.Len() > 0 {
		netmap.Swap(tx.Slot(), rx.Slot())
		rx.Next()
		tx.Next()
	}
	rx.Commit()
	tx.Commit()
}
