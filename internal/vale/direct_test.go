package vale

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
)

// Consecutive frames for one port take a short path, until one is different. Each arrives once, in
// order, wherever the rings wrap, and is counted once; bad frames are dropped, and changed buffers
// are acknowledged.
func TestRunsForOnePort(t *testing.T) {
	w := newNet(t)
	a, b, c := w.join(t, 1, 1, 61), w.join(t, 1, 1, 47), w.join(t, 1, 1, 64)
	b.send(t, packet('*', 'b', "here is b"))
	c.send(t, packet('*', 'c', "here is c"))
	texts(t, a.rx[0])
	texts(t, b.rx[0])
	texts(t, c.rx[0])
	frames, size := uint64(0), uint64(0)
	for lap := range 200 {
		var toB, toC []string
		for i := range 1 + lap*7%40 {
			text := fmt.Sprint(lap, " ", i, strings.Repeat(".", (lap*i*13)%180))
			switch {
			case i%11 == 10:
				a.tx[0].Push(packet('c', 'a', text), 0)
				toC = append(toC, text)
			case i%17 == 16: // too short, and counted at the sender
				a.tx[0].Push([]byte("short"), 0)
			default:
				p := packet('b', 'a', text)
				a.tx[0].Push(p, abi.NSBufChanged)
				toB = append(toB, text)
				frames, size = frames+1, size+uint64(len(p))
			}
		}
		a.tx[0].Sync(t)
		wantTexts(t, b, toB...)
		wantTexts(t, c, toC...)
		for i := range a.tx[0].N {
			if f := a.tx[0].Slot(i).Flags; f&abi.NSBufChanged != 0 {
				t.Fatalf("lap %d: slot %d has flags %#x", lap, i, f)
			}
		}
	}
	b.rx[0].Sync(t)
	got := b.rx[0].Traffic
	if n := got.Frames.Load() - 1; n != frames { // one is c's first
		t.Errorf("%d frames counted, want %d", n, frames)
	}
	if n := got.Bytes.Load() - uint64(len(packet('*', 'c', "here is c"))); n != size {
		t.Errorf("%d bytes counted, want %d", n, size)
	}
}

// A run without room for all of its frames loses the last ones, at the receiver.
func TestRunWithoutRoom(t *testing.T) {
	w := newNet(t)
	a, b := w.join(t, 1, 1, 64), w.join(t, 1, 1, 8)
	b.send(t, packet('*', 'b', "here is b"))
	for range 3 {
		var frames [][]byte
		for i := range 20 {
			frames = append(frames, packet('b', 'a', fmt.Sprint(i)))
		}
		a.send(t, frames...)
		wantTexts(t, b, "0", "1", "2", "3", "4", "5", "6")
		b.rx[0].Sync(t)
	}
	wantDrops(t, b.rx[0], kring.NoRoom, 39)
}

// A bad frame in a run is lost alone.
func TestBadSlotsInARun(t *testing.T) {
	for what, spoil := range map[string]func(s *abi.Slot, total uint32){
		"too short":       func(s *abi.Slot, _ uint32) { s.Len = 13 },
		"too long":        func(s *abi.Slot, _ uint32) { s.Len = 257 },
		"65535 bytes":     func(s *abi.Slot, _ uint32) { s.Len = 0xffff },
		"no buffer":       func(s *abi.Slot, _ uint32) { s.BufIdx = 1 },
		"beyond the pool": func(s *abi.Slot, total uint32) { s.BufIdx = total },
	} {
		for at := range uint32(3) {
			p := ports(t, 2)
			p[1].send(t, packet('*', 'b', "here is b"))
			for i := range 3 {
				p[0].tx[0].Push(packet('b', 'a', fmt.Sprint(i)), 0)
			}
			good := *p[0].tx[0].Slot(at)
			spoil(p[0].tx[0].Slot(at), p[0].tx[0].Bufs().Total())
			p[0].tx[0].Sync(t)
			want := bytes.ReplaceAll([]byte("012"), []byte(fmt.Sprint(at)), nil)
			if got := strings.Join(texts(t, p[1].rx[0]), ""); got != string(want) {
				t.Errorf("%s, slot %d: %q arrived, want %q", what, at, got, want)
			}
			*p[0].tx[0].Slot(at) = good
		}
	}
}
