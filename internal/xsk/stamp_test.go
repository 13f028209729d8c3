//go:build linux

package xsk

import (
	"bytes"
	"testing"
	"time"

	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// kernelClock replaces askDriver: it takes the time of the kernel's clock instead of the card's,
// because veth supports the question but always answers 0.
var kernelClock = asm.Instructions{
	asm.FnKtimeGetNs.Call(),
	asm.StoreMem(asm.RFP, stampAt, asm.R0, asm.DWord),
}

func clock(t *testing.T) uint64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return uint64(ts.Nano())
}

// TestStamps receives frames with the time of their arrival. The stamp is in the spare room of the
// buffer before, and nothing else there changes: chunks overlap.
func TestStamps(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	for i, name := range []string{"left", "right"} {
		setMTU(t, ends[i], name, 9000)
	}
	const stride, spare = 2048, 64
	open := func(e end, stamp asm.Instructions) *station {
		m := newMemory(t, 64, stride)
		m.Spare = spare
		var p *Program
		var err error
		e.ns.Do(func() { p, err = attach(e.index, 1, Native, stamp) })
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		st := newStation(t, e.open(t, Config{Size: 16, Rx: true, Tx: true, Mode: Native, Memory: m}), m,
			1, 63)
		put(t, p, 0, st.s)
		st.fill(16)
		return st
	}
	left, right := open(ends[0], nil), open(ends[1], note(kernelClock))
	for i := range right.m.Mem {
		right.m.Mem[i] = 0xee
	}
	await := func() (n uint32) {
		for end := time.Now().Add(5 * time.Second); n == 0; n = right.s.RxWhole(right.s.RxReady(16)) {
			if time.Now().After(end) {
				t.Fatal("no frame comes")
			}
		}
		return n
	}
	for round := range 200 {
		before := clock(t)
		f := frame(uint32(round), 60+round*43%9000)
		if left.send([][]byte{f}) != 1 {
			t.Fatal("no room")
		}
		n := await()
		first, _, _, _ := right.s.RxAt(0)
		if at := right.s.Stamp(first); at < before || at > clock(t) {
			t.Fatalf("frame of %d bytes came at %d, not between %d and %d", len(f), at, before, clock(t))
		}
		if right.s.Stamp(first) != 0 {
			t.Fatal("a stamp is there twice")
		}
		var got []byte
		for i := range n {
			buf, _, length, _ := right.s.RxAt(i)
			if length > stride-spare {
				t.Fatalf("%d bytes in a buffer, of which %d are spare", length, spare)
			}
			got = append(got, right.buffer(buf)[:length]...)
			rest := right.buffer(buf)[length : stride-stampSize]
			if i == 0 && round == 0 && bytes.Count(rest, []byte{0xee}) != len(rest) {
				t.Fatal("bytes behind the frame have changed")
			}
			right.put(buf)
		}
		if !bytes.Equal(got, f) {
			t.Fatalf("a frame of %d bytes is wrong", len(f))
		}
		right.s.RxRelease(n)
		right.fill(n)
	}
}

// TestAttachStamping asks a driver that answers, and interfaces and modes that cannot answer.
func TestAttachStamping(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newVeth(t, 1)[0]
	e.ns.Do(func() {
		p, err := AttachStamping(e.index, 1, Native)
		testutil.Require(t, "time stamps of veth (Linux 6.3)", err)
		p.Close()
		_, err = AttachStamping(e.index, 1, Generic)
		wantError(t, err, unix.EOPNOTSUPP, "left", "generic mode")
		_, err = AttachStamping(1, 1, Native)
		wantError(t, err, unix.EOPNOTSUPP, "lo", "does not tell when a frame arrived")
	})
}
