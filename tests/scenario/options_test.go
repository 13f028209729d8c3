//go:build linux

package scenario

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Frames start at the sender's offset and arrive at the receiver's; each side may have offsets or
// not.
func offsets(w *world) {
	const far = 512
	for _, from := range []int{0, 2, 64, far} {
		for _, to := range []int{0, 14, 64, far} {
			for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}} {
				a, b := w.openAt(names[0], from, far), w.openAt(names[1], to, far)
				w.Logf("%s from %d to %d", names, from, to)
				for i := range 40 { // the slots of a pipe go around with their offsets
					text := fmt.Sprint(i, strings.Repeat("x", i*29))
					w.send(a, 0, frame(1, 0, text))
					w.wantTexts(b, text)
					w.must(a.TxSync())
				}
				w.must(a.Close())
				w.must(b.Close())
			}
		}
	}
}

// openAt opens a port of 8 slots whose frames start at an offset; with offset 0 the port has no
// offsets.
func (w *world) openAt(name string, offset, most int, options ...netmap.Option) *netmap.Port {
	w.Helper()
	options = append(options, netmap.Slots(8, 8))
	if offset > 0 {
		options = append(options, netmap.Offsets(most, offset))
	}
	p := w.open(name, options...)
	for _, r := range slices.Concat(p.Tx(), p.Rx()) {
		for i := range uint32(r.NumSlots()) {
			if got := r.Offset(r.Slot(i)); got != offset {
				w.Fatalf("%s: slot %d starts at %d, want %d", name, i, got, offset)
			}
		}
	}
	return p
}

// Frames behind offsets are passed on without a copy if the sending ring takes offsets as large;
// else they are copied. The same holds with a sync loop.
func swapWithOffsets(w *world) {
	for _, options := range [][]netmap.Option{nil, {netmap.SyncLoop()}} {
		for _, most := range []int{64, 63} {
			source, in := w.openAt("left{1", 64, 64), w.openAt("left}1", 64, 64)
			out := w.openAt("right{1", most, most, options...)
			sink := w.openAt("right}1", 64, 64)
			for i := range 40 {
				text := fmt.Sprint(i, strings.Repeat("x", i*29))
				w.send(source, 0, frame(1, 0, text))
				w.must(in.RxSync())
				rx, tx := in.Rx()[0].Window(), out.Tx()[0].Window()
				carried, copied := rx.Slot().BufIdx, most < 64
				if _, m := rx.MoveTo(&tx); m != netmap.Moved {
					w.Fatalf("frame %d: outcome %d", i, m)
				}
				if got := out.Tx()[0].Slot(out.Tx()[0].Head()).BufIdx; (got != carried) != copied {
					w.Errorf("offsets of at most %d: frame %d is copied: %v", most, i, !copied)
				}
				tx.Commit()
				rx.Commit()
				w.must(out.TxSync())
				w.must(in.RxSync())
				w.must(source.TxSync())
				w.poll(sink, netmap.In)
				w.wantTexts(sink, text)
				w.must(sink.RxSync())
				w.eventually("the slot comes back",
					func() bool { w.must(out.TxSync()); return out.Tx()[0].Len() == 7 })
			}
			for _, p := range []*netmap.Port{source, in, out, sink} {
				w.must(p.Close())
			}
		}
	}
}

// A receiver's offset is kept, and no byte before it is written.
func offsetsKeepRoom(w *world) {
	a, b := w.open("vale0:a", netmap.Slots(8, 8)), w.openAt("vale0:b", 100, 200)
	ring, mark := b.Rx()[0], bytes.Repeat([]byte{0xab}, 100)
	for i := range uint32(ring.NumSlots()) {
		copy(ring.Buf(ring.Slot(i).BufIdx), mark)
	}
	w.send(a, 0, frame(1, 0, "behind the offset"))
	w.must(b.RxSync())
	win := ring.Window()
	if win.Len() != 1 || string(win.Frame()[14:]) != "behind the offset" ||
		ring.Offset(win.Slot()) != 100 {
		w.Fatalf("%d frames, the first %q", win.Len(), win.Frame())
	}
	if got := b.Buf(win.Slot().BufIdx)[:100]; !bytes.Equal(got, mark) {
		w.Errorf("bytes before the frame were written: %x", got)
	}
}

// A packet without enough room behind the receiver's offset takes several slots. A packet without
// enough room behind the sender's offset is dropped.
func offsetsLongFrames(w *world) {
	a, b := w.openAt("vale0:a", 48, 2048), w.openAt("vale0:b", 1500, 2048)
	long := frame(1, 0, strings.Repeat("0123456789", 100))
	w.send(a, 0, long)
	w.must(b.RxSync())
	var got []byte
	for _, f := range b.Rx()[0].Frames() {
		got = append(got, f...)
	}
	if !bytes.Equal(got, long) {
		w.Errorf("%d bytes arrive, want %d", len(got), len(long))
	}
	w.must(b.RxSync())
	win := a.Tx()[0].Window()
	win.SetLen(copy(win.Buf(), frame(1, 0, "too long")))
	win.Slot().Len = 2048 - 47
	win.Next()
	win.SetLen(copy(win.Buf(), frame(1, 0, "not too long")))
	win.Next()
	win.Commit()
	w.must(a.TxSync())
	w.wantTexts(b, "not too long")
}

// A slot whose ptr is out of bounds loses at most its own frame.
func offsetsOutOfBounds(w *world) {
	for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}} {
		a, b := w.openAt(names[0], 8, 1024), w.openAt(names[1], 8, 1024)
		mon, zero := w.open(names[0]+"/t"), w.open(names[0]+"/z")
		for _, ptr := range []uint64{^uint64(0), 1 << 63, 2048, 1025, 1<<32 - 1} {
			for _, ring := range []*netmap.Ring{a.Tx()[0], b.Rx()[0]} {
				for i := range uint32(ring.NumSlots()) {
					ring.Slot(i).Ptr = ptr
				}
			}
			win := a.Tx()[0].Window()
			for _, n := range []uint16{14, 60, 1024, 1025, 2048, 0xffff} {
				win.Slot().Len, win.Slot().Flags = n, 0
				win.Next()
			}
			win.Commit()
			for range 2 {
				w.must(a.TxSync())
				for _, p := range []*netmap.Port{b, mon, zero} {
					w.must(p.RxSync())
					p.Rx()[0].Advance(p.Rx()[0].Len())
					w.must(p.RxSync())
				}
			}
		}
		for _, ring := range []*netmap.Ring{a.Tx()[0], b.Rx()[0]} {
			for i := range uint32(ring.NumSlots()) {
				ring.Slot(i).Ptr = 8
			}
		}
		w.send(a, 0, frame(1, 0, "after bad slots"))
		w.wantTexts(b, "after bad slots")
		for _, p := range []*netmap.Port{mon, zero, b, a} {
			w.must(p.Close())
		}
	}
}

// Monitors show frames wherever they start.
func offsetsMonitored(w *world) {
	for _, names := range [][2]string{{"vale0:a", "vale0:b"}, {"x{1", "x}1"}} {
		a, b := w.openAt(names[0], 64, 256), w.openAt(names[1], 64, 256)
		plain, shifted, zero := w.open(names[0]+"/t"), w.openAt(names[1]+"/r", 32, 32),
			w.open(names[0]+"/z")
		for i := range 20 {
			text := fmt.Sprint("frame ", i)
			w.send(a, 0, frame(1, 0, text))
			w.wantTexts(b, text)
			w.wantTexts(plain, text)
			w.wantTexts(shifted, text)
			w.must(a.TxSync())
			w.wantTexts(zero, text)
		}
		for _, p := range []*netmap.Port{plain, shifted, zero, b, a} {
			w.must(p.Close())
		}
	}
}

func offsetErrors(w *world) {
	bits := func(n uint32, most, initial int) netmap.Option {
		return func(o *netmap.Opening) {
			netmap.Offsets(most, initial)(o)
			o.Offsets.OffsetBits = n
		}
	}
	for _, tt := range []struct {
		name   string
		option netmap.Option
		want   syscall.Errno
	}{
		{"more than a buffer", netmap.Offsets(2049, 0), syscall.EINVAL},
		{"a whole buffer", netmap.Offsets(2048, 0), 0},
		{"an initial one that is too large", netmap.Offsets(64, 65), syscall.EINVAL},
		{"too many bits", bits(65, 64, 0), syscall.EINVAL},
		{"too few bits", bits(6, 64, 0), syscall.EINVAL},
		{"bits enough", bits(7, 64, 64), 0},
	} {
		p, err := w.tryOpen("vale0:a", tt.option, netmap.Slots(8, 8))
		if w.wantErrno(tt.name, err, tt.want); err == nil {
			w.must(p.Close())
		}
	}
	a := w.open("vale1:a@offset:initial=32,bits=8", netmap.Slots(8, 8))
	more := map[string]netmap.Option{"more": netmap.Offsets(33, 0), "more bits": bits(9, 32, 0)}
	for name, o := range more {
		_, err := w.tryOpen("vale1:a", o)
		w.wantErrno(name+" than a ring in use has", err, syscall.EBUSY)
	}
	second := w.open("vale1:a", bits(8, 16, 16))
	if got := second.Tx()[0].Offset(second.Tx()[0].Slot(0)); got != 32 {
		w.Errorf("the second user's initial offset is %d, want the first's, 32", got)
	}
	_, err := w.tryOpen("vale1:a/z", netmap.Offsets(8, 8))
	w.wantErrno("a zero-copy monitor", err, syscall.EOPNOTSUPP)
	w.must(a.Close())
	w.must(second.Close())
	if r := w.open("vale1:a").Tx()[0]; r.Offset(&abi.Slot{Ptr: 8}) != 0 {
		w.Error("a new ring has offsets")
	}
}

// memory maps memory for external memory.
func (w *world) memory(size int) []byte {
	w.Helper()
	m, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	w.must(err)
	w.Cleanup(func() { unix.Munmap(m) })
	return m
}

// pools are enough for a few small ports.
var pools = abi.PoolsInfo{If: abi.PoolInfo{ObjTotal: 8, ObjSize: 1024},
	Ring: abi.PoolInfo{ObjTotal: 16, ObjSize: 1024},
	Buf:  abi.PoolInfo{ObjTotal: 256, ObjSize: 2048}}

const memorySize = 1 << 20

// A port in a program's own memory passes frames through a switch to a port in the framework's
// memory, and through a pipe to a port in the same memory.
func externalMemory(w *world) {
	m := w.memory(memorySize)
	own := netmap.ExternalMemory(m, pools)
	a, b := w.open("vale0:a", own, netmap.Slots(16, 16)), w.open("vale0:b", netmap.Slots(16, 16))
	if got := a.Request(); got.MemID == b.Request().MemID || got.MemSize > memorySize ||
		a.SameRegion(b) {
		w.Fatalf("memory %d of %d bytes; the framework's has number %d", got.MemID, got.MemSize,
			b.Request().MemID)
	}
	slot := a.Tx()[0].Slot(0)
	a.Buf(slot.BufIdx)[7] = 0x5a
	if !bytes.Contains(m, []byte{0x5a}) {
		w.Error("the buffers are not in the program's memory")
	}
	for i := range 50 {
		text := fmt.Sprint(i, strings.Repeat("y", i*40))
		w.send(a, 0, frame(1, 2, text))
		w.wantTexts(b, text)
		w.send(b, 0, frame(2, 1, text))
		w.wantTexts(a, text)
	}
	c, d := w.open("x{1", own, netmap.Slots(16, 16)), w.open("x}1", own)
	if !c.SameRegion(a) || !c.SameRegion(d) || c.Request().MemID != a.Request().MemID {
		w.Error("the same memory is not the same region")
	}
	w.send(c, 0, frame(1, 2, "through a pipe"))
	w.wantTexts(d, "through a pipe")
	copies, zero := w.open("vale0:a/t"), w.open(fmt.Sprint("vale0:a/z@", a.Request().MemID))
	w.send(a, 0, frame(1, 2, "watched"))
	w.wantTexts(b, "watched")
	w.wantTexts(copies, "watched")
	w.must(a.TxSync())
	w.wantTexts(zero, "watched")
}

// Buffers of one region may be smaller than those of another: a packet takes as many slots as it
// needs.
func externalMemoryOfSmallBuffers(w *world) {
	small := pools
	small.Buf = abi.PoolInfo{ObjTotal: 256, ObjSize: 256}
	own := netmap.ExternalMemory(w.memory(memorySize), small)
	a, b := w.open("vale0:a", own, netmap.Slots(16, 16)), w.open("vale0:b", netmap.Slots(16, 16))
	for _, size := range []int{46, 256 - 14, 257 - 14, 1000, 1400} {
		long := frame(1, 0, strings.Repeat("z", size))
		for _, way := range [][2]*netmap.Port{{a, b}, {b, a}} {
			w.send(way[0], 0, long)
			w.must(way[1].RxSync())
			var got []byte
			for _, f := range way[1].Rx()[0].Frames() {
				got = append(got, f...)
			}
			if !bytes.Equal(got, long) {
				w.Errorf("%d bytes arrive from %s, want %d", len(got), way[0].Name(), len(long))
			}
			w.must(way[1].RxSync())
		}
	}
}

// A program gets no rings in memory that it does not have. The region is gone when its last port is
// closed.
func externalMemoryIsPrivate(w *world) {
	own := netmap.ExternalMemory(w.memory(memorySize), pools)
	a := w.open("x{1", own, netmap.Slots(16, 16))
	id := a.Request().MemID
	_, err := w.tryOpen("x}1")
	w.wantErrno("the other end, without the memory", err, syscall.EBUSY)
	_, err = w.tryOpen("x{1/z")
	w.wantErrno("a zero-copy monitor without the memory", err, syscall.EBUSY)
	_, err = w.tryOpen("x}1", netmap.ExternalMemory(w.memory(memorySize), pools))
	w.wantErrno("the other end, with other memory", err, syscall.EBUSY)
	other := w.open("vale0:a")
	_, err = w.tryOpen("vale0:a", own)
	w.wantErrno("a port that is open in the framework's memory", err, syscall.EBUSY)
	w.must(other.Close())
	b := w.open(fmt.Sprint("x}1@", id))
	w.send(a, 0, frame(1, 2, "by number"))
	w.wantTexts(b, "by number")
	w.must(a.Close())
	w.must(b.Close())
	w.eventually("the region is gone", func() bool {
		p, err := w.tryOpen(fmt.Sprint("vale0:x@", id), netmap.Slots(8, 8))
		if err == nil {
			p.Close()
		}
		return err != nil
	})
	if n := w.open("x{1", own, netmap.Slots(16, 16)).Request().MemID; n != id {
		w.Errorf("new memory has number %d, want %d again", n, id)
	}
}

func externalMemoryErrors(w *world) {
	m := w.memory(memorySize)
	with := func(f func(*abi.PoolsInfo)) netmap.Option {
		p := pools
		f(&p)
		return netmap.ExternalMemory(m, p)
	}
	for _, tt := range []struct {
		name   string
		option netmap.Option
		want   syscall.Errno
	}{
		{"too small", netmap.ExternalMemory(m[:8192], pools), syscall.ENOMEM},
		{"nothing", netmap.ExternalMemory(m[:0], pools), syscall.EINVAL},
		{"too many buffers", with(func(p *abi.PoolsInfo) { p.Buf.ObjTotal = 1000 }), syscall.ENOMEM},
		{"rings too large", with(func(p *abi.PoolsInfo) { p.Ring.ObjSize = 1 << 20 }), syscall.EINVAL},
		{"not at a page", netmap.ExternalMemory(m[64:], pools), syscall.EINVAL},
		{"the defaults", netmap.ExternalMemory(m, abi.PoolsInfo{}), syscall.ENOMEM},
	} {
		_, err := w.tryOpen("vale0:a", tt.option, netmap.Slots(8, 8))
		if w.wantErrno(tt.name, err, tt.want); err == nil {
			w.Fatal()
		}
	}
	_, err := w.tryOpen("netmap:nothing", netmap.ExternalMemory(m, pools))
	w.wantErrno("an interface that does not exist", err, syscall.ENXIO)
	_, err = w.tryOpen("netmap:x@extmem:file=/nowhere")
	w.wantErrno("a file that does not exist", err, syscall.ENOENT)
	large := netmap.ExternalMemory(w.memory(16<<20), abi.PoolsInfo{})
	if p := w.open("vale0:a", large); p.Request().TxSlots != 1024 {
		w.Errorf("%+v", p.Request())
	}
}

// A program punches holes into its memory while a port in it is in use and others send to it: it
// reads zeros.
func externalMemoryWithHoles(w *world) {
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	testutil.Require(w.T, "memfd", err)
	defer unix.Close(fd)
	w.must(unix.Ftruncate(fd, memorySize))
	m, err := unix.Mmap(fd, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	w.must(err)
	w.Cleanup(func() { unix.Munmap(m) })
	a, b := w.open("vale0:a", netmap.ExternalMemory(m, pools), netmap.Slots(16, 16)),
		w.open("vale0:b", netmap.Slots(16, 16))
	for i := range 200 {
		if i%2 == 0 {
			w.must(unix.Madvise(m, unix.MADV_REMOVE))
		} else {
			w.must(unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0,
				memorySize))
		}
		w.send(b, 0, frame(2, 0, "into a hole"))
		a.TxSync()
		a.RxSync()
	}
	w.must(a.Close())
	c := w.open("vale0:c", netmap.Slots(16, 16))
	w.send(b, 0, frame(2, 0, "others still receive"))
	w.wantTexts(c, "others still receive")
}
