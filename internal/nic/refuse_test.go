//go:build linux

package nic_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/tap"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

const (
	tooLong = "too-long-for-mtu"
	refused = "refused-by-device"
)

// sendAll hands over frames of these sizes, numbered from 0, as fast as there is room.
func sendAll(t *testing.T, p *netmap.Port, sizes []int) {
	t.Helper()
	for seq, size := range sizes {
		for end := time.Now().Add(5 * time.Second); p.Tx()[0].Send(frame(seq,
			size)) == 0; time.Sleep(100 * time.Microsecond) {
			if err := p.TxSync(); err != nil {
				t.Fatal(err)
			}
			if time.Now().After(end) {
				t.Fatalf("no room for frame %d in 5 s", seq)
			}
		}
	}
	if err := p.TxSync(); err != nil {
		t.Fatal(err)
	}
}

// receive waits for that number of frames, and then a little for more. It returns the frames'
// numbers.
func receive(t *testing.T, p *netmap.Port, count int) []int {
	t.Helper()
	return receiveWithin(t, p, count, 5*time.Second)
}

func receiveWithin(t *testing.T, p *netmap.Port, count int, most time.Duration) (seqs []int) {
	t.Helper()
	rest := false
	for end := time.Now().Add(most); time.Now().Before(end) && (len(seqs) < count || !rest); {
		rest = len(seqs) >= count
		p.Poll(t.Context(), netmap.In, 20*time.Millisecond)
		start := true
		for slot, b := range p.Rx()[0].Frames() {
			if start && len(b) >= 18 && (b[12] == 0x88 || b[12] == 0x81) {
				seqs = append(seqs, int(binary.BigEndian.Uint32(b[14:])))
			}
			start = slot.Flags&abi.NSMoreFrag == 0
		}
	}
	return seqs
}

// expectDrops waits until an interface has these counts of drops.
func (p *pair) expectDrops(name string, want map[string]uint64) {
	p.t.Helper()
	got := map[string]uint64{}
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if got = p.drops(name); maps.Equal(got, want) {
			return
		}
	}
	p.t.Errorf("dropped %v, want %v", got, want)
}

// exchange sends frames and checks that all arrive in order, except those of sizes that bad
// reports.
func (p *pair) exchange(from, to *netmap.Port, sizes []int, bad func(size int) bool) {
	p.t.Helper()
	var want []int
	for seq, size := range sizes {
		if !bad(size) {
			want = append(want, seq)
		}
	}
	got := make(chan []int)
	go func() { got <- receive(p.t, to, len(want)) }()
	sendAll(p.t, from, sizes)
	if seqs := <-got; !slices.Equal(seqs, want) {
		p.t.Errorf("of %d frames %d arrived, want %d, in order: %v", len(sizes), len(seqs), len(want),
			seqs)
	}
}

// mixes returns lists of 100 good frames with bad ones among them.
func mixes(good, bad int) map[string][]int {
	all := func(n, size int) []int { return slices.Repeat([]int{size}, n) }
	return map[string][]int{
		"first":     slices.Concat([]int{bad}, all(100, good)),
		"middle":    slices.Concat(all(50, good), []int{bad}, all(50, good)),
		"last":      slices.Concat(all(100, good), []int{bad}),
		"only":      {bad},
		"all":       all(100, bad),
		"many":      slices.Concat(all(60, bad), all(100, good), all(60, bad)),
		"alternate": slices.Repeat([]int{bad, good}, 100),
	}
}

// A frame that is longer than the MTU allows, in one slot or in several, is lost alone.
func TestTooLongForMTU(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	lost := uint64(0)
	for _, bad := range []int{1519, 2048, 5000} {
		for name, sizes := range mixes(1514, bad) {
			t.Run(fmt.Sprint(name, " ", bad), func(t *testing.T) {
				p := *p
				p.t = t
				for _, size := range sizes {
					if size == bad {
						lost++
					}
				}
				p.exchange(a, b, sizes, func(size int) bool { return size == bad })
				p.expectDrops("va", map[string]uint64{tooLong: lost})
			})
		}
	}
	a.Close()
	b.Close()
}

// A frame that only the device can refuse, because the other end of a veth pair takes less, is lost
// alone.
func TestRefusedByDevice(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	inNS(t, p.nb, "vb", func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1000) })
	lost := uint64(0)
	for name, sizes := range mixes(1018, 1019) {
		t.Run(name, func(t *testing.T) {
			p := *p
			p.t = t
			for _, size := range sizes {
				if size == 1019 {
					lost++
				}
			}
			p.exchange(a, b, sizes, func(size int) bool { return size == 1019 })
			p.expectDrops("va", map[string]uint64{refused: lost})
		})
	}
	a.Close()
	b.Close()
}

// The MTU does not count VLAN tags: the tag of a frame, and a second one if the device takes it.
func TestTaggedFrames(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	send := func(f []byte) {
		if a.Tx()[0].Send(f) != 1 {
			t.Fatal("no room")
		}
		a.TxSync()
	}
	one := frame(7, 1518)
	copy(one[12:], "\x81\x00\x00\x01\x08\x00")
	send(one)
	if got := receive(t, b, 1); len(got) != 1 {
		t.Errorf("of a frame of 1518 bytes with a VLAN tag %d arrived", len(got))
	}
	p.expectDrops("va", nil)
	two := frame(8, 1522)
	copy(two[12:], "\x88\xa8\x00\x01\x81\x00\x00\x02\x08\x00")
	send(two)
	p.expectDrops("va", map[string]uint64{refused: 1}) // veth takes one tag
	two[16] = 0
	send(two)
	p.expectDrops("va", map[string]uint64{refused: 1, tooLong: 1})
	a.Close()
	b.Close()
}

// The MTU may change while the port is open and while frames are under way.
func TestMTUChanges(t *testing.T) {
	p := newPair(t, 1)
	mtu := func(n int) {
		for _, end := range []struct {
			ns   *testutil.NS
			name string
		}{{p.na, "va"}, {p.nb, "vb"}} {
			inNS(t, end.ns, end.name, func(l netlink.Link) error { return netlink.LinkSetMTU(l, n) })
		}
	}
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	arrives := func(size int) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); ; {
			sendAll(t, a, []int{size})
			if len(receiveWithin(t, b, 1, 50*time.Millisecond)) > 0 {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("no frame of %d bytes arrives: %v", size, p.drops("va"))
			}
		}
	}
	mtu(1900)
	arrives(1914)
	mtu(1000)
	end := time.Now().Add(5 * time.Second)
	for ; p.drops("va")[tooLong] == 0; time.Sleep(time.Millisecond) {
		if sendAll(t, a, []int{1100}); time.Now().After(end) {
			t.Fatalf("frames that have become too long are not dropped: %v", p.drops("va"))
		}
	}
	p.exchange(a, b, mixes(1014, 1100)["many"], func(size int) bool { return size == 1100 })
	mtu(1500)
	arrives(1514)
	a.Close()
	b.Close()
}

// Without a carrier, frames wait in the port's ring and in the kernel's. They are sent when the
// carrier is back, although their program sleeps.
func TestNoCarrier(t *testing.T) {
	p := newPair(t, 1)
	a, b := p.open(p.na, "netmap:va"), p.open(p.nb, "netmap:vb")
	pump(t, a, b, 100, 60)
	inNS(t, p.nb, "vb", netlink.LinkSetDown)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		up := false
		inNS(t, p.na, "va", func(l netlink.Link) error {
			up = l.Attrs().OperState == netlink.OperUp
			return nil
		})
		if !up {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the carrier stays")
		}
	}
	time.Sleep(20 * time.Millisecond) // the port gets the event as we do
	sizes := slices.Repeat([]int{60, 1514}, 100)
	for seq, size := range sizes {
		a.Tx()[0].Send(frame(seq, size))
	}
	for range 10 {
		if err := a.TxSync(); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	asleep := make(chan struct{})
	go func() {
		defer close(asleep)
		a.Poll(ctx, netmap.In, -1)
	}()
	inNS(t, p.nb, "vb", netlink.LinkSetUp)
	awaitHealth(t, b)
	if got := receive(t, b, len(sizes)); len(got) != len(sizes) {
		t.Errorf("%d of %d frames arrived", len(got), len(sizes))
	}
	cancel()
	<-asleep
	p.expectDrops("va", nil)
	a.Close()
	b.Close()
}

// A TAP whose reader is slow is full, and refuses every frame. None is lost, however long that
// lasts.
func TestFullDevice(t *testing.T) {
	p := newPair(t, 1)
	var cable *tap.Interface
	var err error
	p.na.Do(func() { cable, err = tap.NewQueues("slow%d", tap.Ethernet, 1) })
	testutil.Require(t, "TAP interfaces (root)", err)
	defer cable.Close()
	inNS(t, p.na, "slow0", func(l netlink.Link) error {
		return errors.Join(netlink.LinkSetTxQLen(l, 16), netlink.LinkSetUp(l))
	})
	port := p.open(p.na, "netmap:slow0")
	const count = 500
	sendAll(t, port, slices.Repeat([]int{60, 1514}, count/2))
	time.Sleep(300 * time.Millisecond) // longer than an unknown device may be full
	var got, want []int
	for seq := range count {
		want = append(want, seq)
	}
	b := make([]byte, 2048)
	for end := time.Now().Add(10 * time.Second); len(got) < count && time.Now().Before(end); {
		n, err := syscall.Read(cable.FD(0), b)
		if err != nil { // the port offers the rest when there is room; the program does nothing
			time.Sleep(100 * time.Microsecond)
		} else if n >= 18 && b[12] == 0x88 {
			got = append(got, int(binary.BigEndian.Uint32(b[14:])))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d of %d frames arrived in their order", len(got), count)
	}
	p.expectDrops("slow0", nil)
	port.Close()
}
