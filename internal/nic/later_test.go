//go:build linux

package nic_test

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// lender is a tx ring of a veth interface whose syncs may leave something.
type lender struct {
	*kringtest.Ring
	t      *testing.T
	na, nb *testutil.NS
	seq    int
}

func newLender(t *testing.T) *lender {
	t.Helper()
	testutil.CheckLeaks(t)
	l := &lender{t: t, na: testutil.NewNS(t), nb: testutil.NewNS(t)}
	testutil.Veth(t, l.na, "va", l.nb, "vb", 1)
	region, err := mem.New(1, mem.Config{If: mem.Pool{Num: 4, Size: 1024},
		Ring: mem.Pool{Num: 4, Size: 32768}, Buf: mem.Pool{Num: 2048, Size: 2048}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if u := region.Usage(); !u.Full() {
			t.Errorf("objects are missing at the end: %+v", u)
		}
		region.Close()
	})
	var p *nic.Port
	l.na.Do(func() {
		p, err = nic.Open(region, "va", nic.Config{StateDir: filepath.Join(t.TempDir(), "state")})
	})
	testutil.Require(t, "AF_XDP", err)
	t.Cleanup(func() { p.Close() })
	l.na.Do(func() { l.Ring = kringtest.Open(t, region, p, abi.DirTx, 0) })
	t.Cleanup(func() {
		if l.Mapped() {
			l.Close()
		}
	})
	return l
}

// send hands frames over, and syncs as one who finishes later. It says whether anything is left.
func (l *lender) send(n int) (owes bool) {
	l.t.Helper()
	for range n {
		if !l.Push(frame(l.seq, 60), 0) {
			l.t.Fatalf("no slot for frame %d", l.seq)
		}
		l.seq++
	}
	l.Later = true
	l.Sync(l.t)
	l.Later = false
	return l.Owes.Load()
}

// wantSent checks how many frames have come to the other end.
func (l *lender) wantSent(what string, want int) {
	l.t.Helper()
	var got uint64
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		inNS(l.t, l.nb, "vb", func(k netlink.Link) error {
			got = k.Attrs().Statistics.RxPackets
			return nil
		})
		if got == uint64(want) {
			return
		}
		if got > uint64(want) || time.Now().After(end) {
			l.t.Fatalf("%s: %d frames have come, want %d", what, got, want)
		}
	}
}

// Only what takes long is left, and only if the program can go on meanwhile.
func TestKickIsLeft(t *testing.T) {
	l := newLender(t)
	if l.send(10) {
		t.Error("something is left of ten frames")
	}
	l.wantSent("ten frames", 10)
	if !l.send(200) {
		t.Error("nothing is left of 200 frames")
	}
	if n := len(l.Mine()); n < 700 {
		t.Errorf("the program has %d slots while 200 are left", n)
	}
	l.wantSent("left", 10)
	l.Finish()
	l.wantSent("finished", 210)
	if l.send(0) || len(l.Mine()) != int(l.N)-1 {
		t.Errorf("the program has %d slots when all is sent", len(l.Mine()))
	}
	if l.send(int(l.N) - 1) {
		t.Error("something is left of a full ring")
	}
	l.wantSent("a full ring", 210+int(l.N)-1)
}

// What is left is sent by the next sync of one who finishes nothing, and when the ring is stopped.
func TestKickThatIsLeftIsNotForgotten(t *testing.T) {
	t.Run("a sync", func(t *testing.T) {
		l := newLender(t)
		l.send(100)
		l.Sync(t)
		l.wantSent("synced", 100)
		l.Finish()
		l.wantSent("finished", 100)
	})
	t.Run("stopped", func(t *testing.T) {
		l := newLender(t)
		l.send(100)
		l.Close()
		l.wantSent("stopped", 100)
		l.Finish() // whoever was about to
		if l.Owes.Load() {
			t.Error("a stopped ring owes something")
		}
	})
}

// The error of a kick that was left is that of the next sync.
func TestErrorOfKickThatWasLeft(t *testing.T) {
	l := newLender(t)
	if !l.send(100) {
		t.Fatal("nothing is left")
	}
	inNS(t, l.na, "va", netlink.LinkSetDown)
	l.Finish()
	l.Hold()
	l.Prologue()
	err := l.Ring.Ring.Sync(l.Ring.Ring, nil)
	l.Drop()
	if !errors.Is(err, syscall.EIO) {
		t.Errorf("the next sync says %v, want EIO", err)
	}
}
