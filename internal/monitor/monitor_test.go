package monitor_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/kring/kringtest"
	"github.com/seed-48afdc40/netmap/internal/monitor"
)

const (
	tx = abi.NRMonitorTx
	rx = abi.NRMonitorRx
	z  = abi.NRZcopyMon
)

func TestNames(t *testing.T) {
	for flags, want := range map[uint64]string{
		tx: "vale0:a/t#3", rx: "vale0:a/r#3", tx | rx: "vale0:a/rt#3", z: "vale0:a/zrt#3",
		z | rx: "vale0:a/zrt#3", z | tx | rx: "vale0:a/zrt#3",
	} {
		if got := (monitor.Config{Parent: "vale0:a", Serial: 3, Flags: flags}).Name(); got != want {
			t.Errorf("flags %#x: %s, want %s", flags, got, want)
		}
	}
}

func TestWhenCopyMonitorsSeeFrames(t *testing.T) {
	region := kringtest.NewRegion(t, 512)
	p := newParent(t, region, 8, 8)
	m := newMon(t, region, p, tx|rx, 16)
	p.send(t, 0, frames(0, "a", "b")...)
	want(t, "sent", m.look(t), frames(abi.NSTxMon, "a", "b"))
	p.send(t, 2)
	want(t, "came back", m.look(t), nil)

	p.wire = frames(0, "c")
	want(t, "arrived, and nobody at the parent looks", m.look(t), frames(0, "c"))
	p.rx.Sync(t)
	want(t, "received", m.look(t), nil)
	want(t, "the parent received", p.read(9), frames(0, "c"))
	p.rx.Sync(t)
	want(t, "released", m.look(t), nil)

	p.wire = frames(0, "1", "2", "3", "4", "5", "6", "7", "8", "9")
	want(t, "as many as the parent has room for", m.look(t), frames(0, "1", "2", "3", "4", "5", "6",
		"7"))
	want(t, "the parent is full", m.look(t), nil)
	p.rx.Sync(t)
	p.read(1)
	p.rx.Sync(t)
	want(t, "the parent has made room", m.look(t), frames(0, "8"))
}

func TestWhenZeroCopyMonitorsSeeFrames(t *testing.T) {
	region := kringtest.NewRegion(t, 512)
	p := newParent(t, region, 8, 8)
	m := newMon(t, region, p, z, 16)
	sent := p.tx.Slot(0).BufIdx
	p.send(t, 0, frames(0, "a", "b")...)
	want(t, "sent", m.look(t), nil)
	p.send(t, 1)
	m.Sync(t)
	if got := m.Slot(0).BufIdx; got != sent {
		t.Errorf("the monitor has buffer %d, want %d, that of the frame", got, sent)
	}
	if s := p.tx.Slot(0); s.Flags != abi.NSBufChanged {
		t.Errorf("flags %#x at the parent", s.Flags)
	}
	want(t, "one came back", m.pull(9), frames(abi.NSTxMon, "a"))
	p.send(t, 1)
	want(t, "so did the other", m.look(t), frames(abi.NSTxMon, "b"))

	p.wire = frames(0, "c")
	want(t, "arrived", m.look(t), nil)
	p.rx.Sync(t)
	want(t, "received", m.look(t), nil)
	p.read(1)
	want(t, "read", m.look(t), nil)
	p.rx.Sync(t)
	want(t, "released", m.look(t), frames(0, "c"))
	if s := p.rx.Slot(0); s.Flags != abi.NSBufChanged {
		t.Errorf("flags %#x at the parent", s.Flags)
	}
	wantOwners(t, p.tx, p.rx, m.Ring)
}

// In a chain, each monitor sees the frames that the one before has released. When one is closed,
// the next follows the one before it.
func TestChain(t *testing.T) {
	for gone := range 3 {
		region := kringtest.NewRegion(t, 512)
		p := newParent(t, region, 8, 8)
		var m []*mon
		for range 3 {
			m = append(m, newMon(t, region, p, z, 16))
		}
		p.send(t, 1, frames(0, "a")...)
		want(t, "second, before the first released", m[1].look(t), nil)
		want(t, "first", m[0].look(t), frames(abi.NSTxMon, "a"))
		m[0].Sync(t)
		want(t, "third, before the second released", m[2].look(t), nil)
		want(t, "second", m[1].look(t), frames(abi.NSTxMon, "a"))
		m[1].Sync(t)
		want(t, "third", m[2].look(t), frames(abi.NSTxMon, "a"))

		m[gone].Close()
		left := append(m[:gone:gone], m[gone+1:]...)
		p.wire = frames(0, "b")
		p.rx.Sync(t)
		p.read(1)
		p.rx.Sync(t)
		want(t, fmt.Sprintf("without %d, second", gone), left[1].look(t), nil)
		want(t, fmt.Sprintf("without %d, first", gone), left[0].look(t), frames(0, "b"))
		left[0].Sync(t)
		want(t, fmt.Sprintf("without %d, second", gone), left[1].look(t), frames(0, "b"))
		wantOwners(t, p.tx, p.rx, left[0].Ring, left[1].Ring)
	}
}

func TestTheNewestOfABatchIsKept(t *testing.T) {
	more := uint16(abi.NSMoreFrag)
	for _, flags := range []uint64{tx, z} {
		for _, c := range []struct {
			what   string
			batch  []piece
			want   []piece
			noRoom uint64
		}{
			{"all fit", frames(0, "a", "b", "c"), frames(0, "a", "b", "c"), 0},
			{"one too many", frames(0, "a", "b", "c", "d"), frames(0, "b", "c", "d"), 1},
			{"three too many", frames(0, "a", "b", "c", "d", "e", "f"), frames(0, "d", "e", "f"), 3},
			{"a packet goes whole", []piece{{"a", more}, {"b", more}, {"c", 0}, {"d", 0}}, frames(0, "d"),
				1},
			{"a packet that is too long", []piece{{"a", more}, {"b", more}, {"c", more}, {"d", 0}}, nil, 1},
			{"a packet whose end is to come", []piece{{"a", 0}, {"b", more}, {"c", more}, {"d", more},
				{"e", more}}, nil, 2},
		} {
			region := kringtest.NewRegion(t, 512)
			p := newParent(t, region, 16, 8)
			m := newMon(t, region, p, flags, 4)
			p.send(t, 16, c.batch...)
			got := m.look(t)
			for i := range got {
				got[i].flags &^= abi.NSTxMon
			}
			want(t, c.what, got, c.want)
			drops := map[string]uint64{}
			if c.noRoom > 0 {
				drops["no-room"] = c.noRoom
			}
			wantDrops(t, m.Ring.Ring, drops)
		}
	}
}

// The parent's program reads no frame before copy monitors have seen it: it might change the frame.
func TestMonitorsAreFirst(t *testing.T) {
	region := kringtest.NewRegion(t, 512)
	p := newParent(t, region, 8, 8)
	m := newMon(t, region, p, rx, 16)
	p.wire = frames(0, "a")
	p.rx.Hold()
	if !p.rx.Prologue() {
		t.Fatal("refused")
	}
	p.rx.Ring.Sync(p.rx.Ring, nil)
	p.wire = frames(0, "b")
	p.arrive() // a sender of a switch, in another thread
	p.rx.Publish()
	p.rx.Drop()
	want(t, "the parent", p.read(9), frames(0, "a"))
	want(t, "the monitor", m.look(t), frames(0, "a", "b"))
	p.rx.Sync(t)
	want(t, "the parent", p.read(9), frames(0, "b"))
}

// A port in trouble moves no frame, and its slots come again when it works. Monitors see them once.
func TestParentInTrouble(t *testing.T) {
	region := kringtest.NewRegion(t, 512)
	p := newParent(t, region, 8, 8)
	m, zm := newMon(t, region, p, tx|rx, 16), newMon(t, region, p, z, 16)
	p.wire = frames(0, "a")
	p.rx.Sync(t)
	p.read(1)
	p.tx.Push([]byte("b"), 0)
	p.trouble = syscall.EIO
	for _, r := range []*kringtest.Ring{p.tx, p.rx, p.tx, p.rx} {
		r.Hold()
		if !r.Prologue() || !errors.Is(r.Ring.Sync(r.Ring, nil), syscall.EIO) {
			t.Error("no trouble")
		}
		r.Drop()
	}
	want(t, "copy", m.look(t), []piece{{"a", 0}, {"b", abi.NSTxMon}})
	want(t, "zero-copy", zm.look(t), frames(0, "a"))
	p.trouble = nil
	p.send(t, 1)
	p.rx.Sync(t)
	want(t, "copy", m.look(t), nil)
	want(t, "zero-copy", zm.look(t), frames(abi.NSTxMon, "b"))
	wantOwners(t, p.tx, p.rx, m.Ring, zm.Ring)
}

func TestBadSlots(t *testing.T) {
	for _, flags := range []uint64{tx, z} {
		region := kringtest.NewRegion(t, 512)
		p := newParent(t, region, 8, 8)
		m := newMon(t, region, p, flags, 16)
		own, lost := p.tx.Slot(1).BufIdx, m.Slot(2).BufIdx
		p.tx.Push([]byte("a"), 0)
		for range 3 {
			p.tx.Push(nil, 0)
		}
		p.tx.Slot(1).BufIdx = 1 << 31
		p.tx.Slot(1).Len = 60
		m.Slot(2).BufIdx = 1
		p.tx.Slot(3).Len = 0xffff
		p.done = 4
		p.tx.Sync(t)
		m.Sync(t)
		if s := m.Slot(1); s.Len != 0 || !m.Bufs().Valid(s.BufIdx) {
			t.Errorf("a slot of the parent without a buffer became %+v", *s)
		}
		if s := m.Slot(2); s.Len != 0 || s.BufIdx != 0 {
			t.Errorf("a slot without a buffer became %+v", *s)
		}
		if s := m.Slot(3); uint32(s.Len) != m.Bufs().Size() {
			t.Errorf("%d bytes of a frame that is too long", s.Len)
		}
		wantDrops(t, m.Ring.Ring, map[string]uint64{"bad-buffer": 2})
		p.tx.Slot(1).BufIdx, m.Slot(2).BufIdx = own, lost
		wantOwners(t, p.tx, p.rx, m.Ring)
	}
}

// An orphan keeps its queued frames, returns EIO, and does not keep its parent's memory.
func TestOrphans(t *testing.T) {
	for _, flags := range []uint64{tx, rx, tx | rx, z} {
		region := kringtest.NewRegion(t, 512)
		p := newParent(t, region, 8, 8)
		m, second := newMon(t, region, p, flags, 16), newMon(t, region, p, flags, 16)
		p.send(t, 1, frames(0, "a")...)
		p.wire = frames(0, "b")
		p.rx.Sync(t)
		p.read(1)
		p.rx.Sync(t)
		p.wire = frames(0, "c") // which only copy monitors see
		var all []piece
		if flags&(tx|z) != 0 {
			all = append(all, frames(abi.NSTxMon, "a")...)
		}
		if flags&(rx|z) != 0 {
			all = append(all, frames(0, "b")...)
		}
		if flags&rx != 0 {
			all = append(all, frames(0, "c")...)
		}
		b := make(bell, 1)
		m.Waiters.Join(b)
		p.close()
		m.port.Orphan()
		second.port.Orphan()
		b.wait(t, "the parent has gone")
		for range 2 {
			m.Hold()
			if !m.Prologue() {
				t.Error("refused")
			}
			if err := m.Ring.Ring.Sync(m.Ring.Ring, nil); !errors.Is(err, syscall.EIO) {
				t.Errorf("sync says %v, want EIO", err)
			}
			m.Drop()
			want(t, "orphan", m.pull(9), all)
			all = nil
		}
		m.Hold()
		if err := m.port.Start(m.port.Rings(abi.DirRx)[0]); !errors.Is(err, syscall.ENXIO) {
			t.Errorf("start says %v, want ENXIO", err)
		}
		m.Drop()
		if d, _ := m.port.Describe(); d != "orphan" {
			t.Errorf("described as %s", d)
		}
	}
}

func TestNothingCanBeSent(t *testing.T) {
	region := kringtest.NewRegion(t, 512)
	m := newMon(t, region, newParent(t, region, 8, 8), rx, 16)
	if n := len(m.port.Rings(abi.DirTx)); n != 1 {
		t.Fatalf("%d tx rings", n)
	}
	r := kringtest.Open(t, region, m.port, abi.DirTx, 0)
	defer r.Close()
	r.Hold()
	defer r.Drop()
	if err := r.Ring.Sync(r.Ring, nil); !errors.Is(err, syscall.EIO) ||
		!strings.Contains(err.Error(), "only receive") {
		t.Errorf("sync says %v", err)
	}
}

// A ring of the parent is stopped and started again while other rings of the port stay in use.
func TestParentRingStartsAnew(t *testing.T) {
	region := kringtest.NewRegion(t, 512)
	p := newParent(t, region, 8, 8)
	m := newMon(t, region, p, tx|rx, 16)
	zm := newMon(t, region, p, z, 16)
	for lap := range 3 {
		p.send(t, 3, frames(0, "a", "b", "c")...)
		p.wire = frames(0, "d", "e")
		p.rx.Sync(t)
		p.wire = frames(0, "f")
		p.read(1)
		p.close()
		want(t, fmt.Sprint("copy, lap ", lap), m.look(t), append(frames(abi.NSTxMon, "a", "b", "c"),
			frames(0, "d", "e", "f")...))
		want(t, fmt.Sprint("zero-copy, lap ", lap), zm.look(t), frames(abi.NSTxMon, "a", "b", "c"))
		p.tx.Reopen(t)
		p.rx.Reopen(t)
	}
}

type bell chan struct{}

func (b bell) Wake() {
	select {
	case b <- struct{}{}:
	default:
	}
}

func (b bell) wait(t testing.TB, why string) {
	t.Helper()
	select {
	case <-b:
	case <-time.After(10 * time.Second):
		t.Errorf("nobody rang: %s", why)
	}
}

func (b bell) silent(t testing.TB, why string) {
	t.Helper()
	select {
	case <-b:
		t.Errorf("somebody rang: %s", why)
	default:
	}
}

func TestWakeUps(t *testing.T) {
	region := kringtest.NewRegion(t, 512)
	p := newParent(t, region, 8, 4)
	m, other, zm := newMon(t, region, p, tx|rx, 16), newMon(t, region, p, rx, 16),
		newMon(t, region, p, z, 16)
	mb, ob, zb, pb := make(bell, 1), make(bell, 1), make(bell, 1), make(bell, 1)
	m.Waiters.Join(mb)
	other.Waiters.Join(ob)
	zm.Waiters.Join(zb)
	p.rx.Waiters.Join(pb)

	p.send(t, 0, frames(0, "a")...)
	mb.wait(t, "a frame was sent")
	ob.silent(t, "a frame was sent, and this one looks at rx only")
	zb.silent(t, "a frame was sent and is not back")
	p.send(t, 1)
	zb.wait(t, "a frame came back")

	p.rx.Waiters.Wake()
	mb.wait(t, "something came to the parent")
	ob.wait(t, "something came to the parent")
	zb.silent(t, "something came to the parent")
	pb.wait(t, "something came to the parent")

	p.rx.News = kring.Readable // a ring that receives from the kernel
	p.wire = frames(0, "b")
	m.Sync(t)
	ob.wait(t, "another monitor's sync found a frame")
	pb.wait(t, "a monitor's sync found a frame")
	p.rx.News = kring.Called

	p.wire = frames(0, "1", "2", "3")
	m.Sync(t)
	p.rx.Sync(t)
	for _, b := range []bell{mb, ob, pb} {
		select {
		case <-b:
		default:
		}
	}
	if p.rx.Room() != 0 {
		t.Fatal("the parent is not full")
	}
	p.wire = nil
	p.read(1)
	p.rx.Sync(t)
	mb.wait(t, "a parent that was full has room")
}

// The parent, monitors and a switch's senders work in threads of their own, while monitors are
// added and removed.
func TestAtTheSameTime(t *testing.T) {
	region := kringtest.NewRegion(t, 1024)
	p := newParent(t, region, 16, 16)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(f func()) {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					f()
				}
			}
		})
	}
	loop(func() {
		p.tx.Push([]byte("to the wire"), 0)
		p.done = 3
		p.tx.Sync(t)
	})
	n := 0
	var wireMu sync.Mutex // guards the parent's wire
	p.Rings(abi.DirRx)[0].Sync = func(sync func() error) kring.Sync {
		return func(*kring.Ring, kring.Memory) error {
			wireMu.Lock()
			defer wireMu.Unlock()
			return sync()
		}
	}(func() error { return p.rxSync(p.rx.Ring, nil) })
	loop(func() {
		wireMu.Lock()
		n++
		p.wire = append(p.wire[:0], piece{fmt.Sprint("from the wire ", n), 0})
		p.arrive()
		wireMu.Unlock()
		p.rx.Waiters.Wake()
	})
	loop(func() {
		p.read(3)
		p.rx.Sync(t)
	})
	var engine sync.Mutex
	for i, flags := range []uint64{tx, rx, tx | rx, z, z} {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(i), 12))
			for range 60 {
				engine.Lock()
				port := monitor.New(region, p, monitor.Config{Parent: "p", Flags: flags, TxSlots: 8,
					RxSlots: 8})
				r := kringtest.Open(t, region, port, abi.DirRx, 0)
				engine.Unlock()
				for range rnd.IntN(200) {
					r.Sync(t)
					pullAndCheck(t, r)
				}
				engine.Lock()
				r.Close()
				engine.Unlock()
			}
		})
	}
	time.Sleep(300 * time.Millisecond)
	close(stop)
	wg.Wait()
	wantOwners(t, p.tx, p.rx)
}

// pullAndCheck pulls all frames of a monitor. Those to the wire must have NS_TXMON, and those from
// the wire must not.
func pullAndCheck(t *testing.T, r *kringtest.Ring) {
	t.Helper()
	for {
		text, f, ok := r.Pull()
		if !ok {
			return
		}
		if s := string(text); s != "to the wire" && !strings.HasPrefix(s, "from the wire ") ||
			s == "to the wire" != (f&abi.NSTxMon != 0) {
			t.Errorf("frame %q with flags %#x", s, f)
		}
	}
}
