package mem

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// small is a region small enough for tests to allocate all of it.
var small = Config{If: Pool{4, 1024}, Ring: Pool{8, 1024}, Buf: Pool{64, 256}, NoHuge: true}

func newRegion(t *testing.T, c Config) *Region {
	t.Helper()
	c.NoHuge = true
	r, err := New(1, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func wantErrno(t *testing.T, err error, want syscall.Errno, hint string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v; want %v", err, want)
	} else if e := (*fault.Error)(nil); !errors.As(err, &e) || e.Hint == "" || e.Op == "" {
		t.Errorf("error %v does not say what was tried and what to do", err)
	} else if !strings.Contains(err.Error(), hint) {
		t.Errorf("error %q does not mention %q", err, hint)
	}
}

// TestPoolsAreLaidOutAsNetmapDoes compares with numbers that netmap's kernel module reports.
func TestPoolsAreLaidOutAsNetmapDoes(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
		want abi.PoolsInfo
	}{
		{"global region", Full, abi.PoolsInfo{
			If:   abi.PoolInfo{Offset: 0, ObjTotal: 100, ObjSize: 1024},
			Ring: abi.PoolInfo{Offset: 102400, ObjTotal: 200, ObjSize: 36864},
			Buf:  abi.PoolInfo{Offset: 7475200, ObjTotal: 163840, ObjSize: 2048}, MemSize: 343019520}},
		{"VALE port", Config{If: Pool{10, 1024}, Ring: Pool{20, 20480}, Buf: Pool{20482, 2048}},
			abi.PoolsInfo{
				If:   abi.PoolInfo{Offset: 0, ObjTotal: 12, ObjSize: 1024},
				Ring: abi.PoolInfo{Offset: 12288, ObjTotal: 20, ObjSize: 20480},
				Buf:  abi.PoolInfo{Offset: 421888, ObjTotal: 20482, ObjSize: 2048}, MemSize: 42369024}},
		{"copy monitor", Config{If: Pool{2, 1024}, Ring: Pool{4, 20480}, Buf: Pool{4098, 2048}},
			abi.PoolsInfo{
				If:   abi.PoolInfo{Offset: 0, ObjTotal: 4, ObjSize: 1024},
				Ring: abi.PoolInfo{Offset: 4096, ObjTotal: 4, ObjSize: 20480},
				Buf:  abi.PoolInfo{Offset: 86016, ObjTotal: 4098, ObjSize: 2048}, MemSize: 8478720}},
		{"odd sizes", Config{If: Pool{1, 100}, Ring: Pool{2, 300}, Buf: Pool{5, 2000}}, abi.PoolsInfo{
			If:   abi.PoolInfo{Offset: 0, ObjTotal: 32, ObjSize: 128},
			Ring: abi.PoolInfo{Offset: 4096, ObjTotal: 64, ObjSize: 320},
			Buf:  abi.PoolInfo{Offset: 24576, ObjTotal: 6, ObjSize: 2048}, MemSize: 36864}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegion(t, c.cfg)
			c.want.MemID = 1
			if got := r.Info(); got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if r.ID() != 1 || r.Size() != c.want.MemSize || uint64(len(r.Bytes())) != c.want.MemSize {
				t.Errorf("id %d, size %d, %d bytes", r.ID(), r.Size(), len(r.Bytes()))
			}
			pool, offset, stride := r.BufPool()
			if offset != c.want.Buf.Offset || stride != c.want.Buf.ObjSize ||
				uint64(len(pool)) != uint64(stride)*uint64(c.want.Buf.ObjTotal) {
				t.Errorf("buffer pool of %d bytes at %d at a stride of %d", len(pool), offset, stride)
			}
			if r.Bufs.Total() != c.want.Buf.ObjTotal || r.Bufs.Size() != stride ||
				!shm.SameStart(pool, r.Bufs.Bytes(0)) {
				t.Error("the data path sees another pool")
			}
		})
	}
}

// TestSizesThatNobodyChose tests that there are buffers for the requested ports, and that a region
// takes no more than its share of a small machine's memory.
func TestSizesThatNobodyChose(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name                string
		cfg                 Config
		memory              uint64
		ports, rings, least uint32 // minima
		most                uint32
	}{
		{"nothing said", Config{}, 64 * gib, 100, 1024, 100*2048 + 65536, 278528},
		{"nobody knows the machine", Config{}, 0, 100, 1024, 278528, 278528},
		{"1 GiB", Config{}, gib, 100, 1024, 65536, 65536},
		{"64 MiB", Config{}, 64 << 20, 100, 1024, 8192, 8192},
		{"large buffers, 4 GiB", Config{Buf: Pool{Size: 4096}}, 4 * gib, 100, 1024, 131072, 131072},
		{"100 ports, 200 rings", Config{If: Pool{Num: 100}, Ring: Pool{Num: 200}}, 64 * gib, 100,
			200, 100 * 2048, 278528},
		{"300 ports", Config{If: Pool{Num: 300}}, 64 * gib, 300, 600, 300*2048 + 600, 300*2050 + 64},
		{"300 ports that are asked for, 1 GiB", Config{If: Pool{Num: 300}}, gib, 300, 600,
			300*2048 + 600, 300*2050 + 64},
		{"as many as there can be", Config{If: Pool{Num: 10000}}, 64 * gib, 10000,
			1024, 1000000, 1000000},
		{"buffers chosen", Config{If: Pool{Num: 300}, Buf: Pool{Num: 1000}}, 64 * gib,
			300, 600, 1000, 1000},
	} {
		all := c.cfg.complete(c.memory)
		if b := all[bufPool].Num; all[ifPool].Num < c.ports || all[ringPool].Num < c.rings ||
			b < c.least || b > c.most {
			t.Errorf("%s: %+v", c.name, all)
		}
	}
}

func TestSizesOutOfLimits(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  Config
	}{
		{"too many interfaces", Config{If: Pool{10001, 1024}}},
		{"tiny interfaces", Config{If: Pool{1, 63}}},
		{"large interfaces", Config{If: Pool{1, 4097}}},
		{"one ring", Config{Ring: Pool{1, 36864}}},
		{"too many rings", Config{Ring: Pool{1025, 36864}}},
		{"ring object without room for two slots", Config{Ring: Pool{2, 287}}},
		{"large ring object", Config{Ring: Pool{2, 131073}}},
		{"three buffers", Config{Buf: Pool{3, 2048}}},
		{"too many buffers", Config{Buf: Pool{1000001, 2048}}},
		{"tiny buffers", Config{Buf: Pool{4, 63}}},
		{"large buffers", Config{Buf: Pool{4, 65537}}},
		{"a negative number turned unsigned", Config{Buf: Pool{1<<32 - 1, 2048}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := New(1, c.cfg)
			if r != nil {
				r.Close()
			}
			wantErrno(t, err, syscall.EINVAL, "want")
		})
	}
}

func TestReservedBuffersAreNeverGiven(t *testing.T) {
	for _, size := range []uint32{1856, 2048, 2112, 2176, 3072, 4096} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			r := newRegion(t, Config{If: Pool{1, 64}, Ring: Pool{2, 288}, Buf: Pool{4096, size}})
			u := r.Usage()
			bufs, err := r.NewBufs("all", int(u.BufFree))
			if err != nil {
				t.Fatal(err)
			}
			at := r.Info().Buf.Offset
			for _, b := range bufs {
				if b < abi.ReservedBufs || !r.Bufs.Valid(b) {
					t.Errorf("buffer %d was given", b)
				}
				start := at + uint64(b)*uint64(size)
				if (start-256)/shm.HugePage != (start+uint64(size)-1)/shm.HugePage {
					t.Errorf("buffer %d lies in two huge pages, or what a NIC wants before it does", b)
				}
			}
			lost := r.Bufs.Total() - uint32(len(bufs))
			if most := abi.ReservedBufs + 2*uint32(r.Size()/shm.HugePage); lost > most {
				t.Errorf("%d buffers are never given, more than %d", lost, most)
			}
			for i := range r.Bufs.Total() {
				if !slices.Contains(bufs, i) && r.FreeBuf(i) {
					t.Errorf("buffer %d, which was not given, was taken back", i)
				}
			}
			if got := r.Usage().BufFree; got != 0 {
				t.Errorf("%d buffers are free", got)
			}
		})
	}
}

func TestFreshRing(t *testing.T) {
	r := newRegion(t, small)
	clobber(r)
	g, err := r.NewRing("x", 3, abi.DirRx, 40)
	if err != nil {
		t.Fatal(err)
	}
	defer r.FreeRing(g)
	if g.NumSlots != 40 || g.RingID != 3 || g.Dir != abi.RingRx || g.BufSize != 256 ||
		g.Head.Load()|g.Cur.Load()|g.Tail.Load()|g.Flags.Load() != 0 {
		t.Errorf("ring %+v", g.Ring)
	}
	if at := int64(g.Offset) + g.BufOfs; at != int64(r.Info().Buf.Offset) {
		t.Errorf("buf_ofs leads to %d, not to the buffer pool", at)
	}
	for i := range g.Slots {
		if s := g.Slots[i]; s != (abi.Slot{Len: 256}) {
			t.Errorf("slot %d is %+v", i, s)
		}
	}
	if err := r.FillRing("x", g); err != nil {
		t.Fatal(err)
	}
	seen := map[uint32]bool{}
	for i := range g.Slots {
		s := g.Slots[i]
		if seen[s.BufIdx] || !r.Bufs.Valid(s.BufIdx) || s.Len != 256 || s.Flags != 0 || s.Ptr != 0 {
			t.Errorf("slot %d is %+v", i, s)
		}
		seen[s.BufIdx] = true
	}
}

func TestFreshInterface(t *testing.T) {
	r := newRegion(t, small)
	clobber(r)
	f, err := r.NewIf("a name that is too long", 4)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.Name[:]); got != "a name that is \x00" {
		t.Errorf("name %q", got)
	}
	if f.Flags|f.TxRings|f.RxRings|f.BufsHead.Load()|f.HostTxRings|f.HostRxRings != 0 ||
		slices.ContainsFunc(f.RingOfs, func(o int64) bool { return o != 0 }) {
		t.Errorf("interface %+v with offsets %v is not zeroed", f.If, f.RingOfs)
	}
	r.FreeIf(f)
	if !r.Usage().Full() {
		t.Errorf("left behind: %+v", r.Usage())
	}
}

// clobber writes to free memory, as a client may have done.
func clobber(r *Region) {
	b := r.Bytes()[:r.Info().Buf.Offset]
	for i := range b {
		b[i] = 0xa5
	}
}

func TestLargeObjectsTakeAdjacentOnes(t *testing.T) {
	const slots4k = 4096 // the most that a request may ask for
	for _, objSize := range []uint32{288, 4096, 20480, 36864, 65792, 131072} {
		r := newRegion(t, Config{Ring: Pool{1024, objSize}, Buf: Pool{16384, 64}})
		var rings []*Ring
		for _, slots := range []uint32{slots4k, 2, slots4k, 1024} {
			before := r.Usage().RingFree
			g, err := r.NewRing("x", 0, abi.DirTx, slots)
			if err != nil {
				t.Fatalf("%d slots in objects of %d bytes: %v", slots, objSize, err)
			}
			size := r.Info().Ring.ObjSize
			took := before - r.Usage().RingFree
			if want := (abi.RingSize + abi.SlotSize*slots + size - 1) / size; took != want {
				t.Errorf("%d slots in objects of %d bytes took %d, want %d", slots, objSize, took, want)
			}
			if err := r.FillRing("x", g); err != nil {
				t.Fatal(err)
			}
			rings = append(rings, g)
		}
		for i, g := range rings {
			if int(g.NumSlots) != len(g.Slots) {
				t.Errorf("ring %d has become one of %d slots", i, g.NumSlots)
			}
			for k := range g.Slots {
				r.FreeBuf(g.Slots[k].BufIdx)
			}
			r.FreeRing(g)
		}
		if !r.Usage().Full() {
			t.Errorf("left behind: %+v", r.Usage())
		}
	}
}

func TestRingsOfAnyOtherSizeAreRefused(t *testing.T) {
	r := newRegion(t, small)
	for _, n := range []uint32{0, MaxSlots + 1, 1 << 31, 1<<32 - 1} {
		_, err := r.NewRing("x", 0, abi.DirTx, n)
		wantErrno(t, err, syscall.EINVAL, "slots")
	}
	if !r.Usage().Full() {
		t.Errorf("left behind: %+v", r.Usage())
	}
}

func TestOutOfMemoryLeavesNothingBehind(t *testing.T) {
	r := newRegion(t, small)
	for _, c := range []struct {
		name string
		try  func() error
		hint string
	}{
		{"interface", func() error { _, err := r.NewIf("x", 1000); return err },
			"8 interfaces wanted, 4 of the region's 4 are free"},
		{"ring", func() error { _, err := r.NewRing("x", 0, 0, 4096); return err },
			"65 rings wanted, 8 of the region's 8 are free"},
		{"buffers", func() error { _, err := r.NewBufs("x", 63); return err },
			"63 buffers wanted, 62 of the region's 62 are free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantErrno(t, c.try(), syscall.ENOMEM, c.hint)
			if !r.Usage().Full() {
				t.Errorf("left behind: %+v", r.Usage())
			}
		})
	}
}

func TestFillRingTakesAllBuffersOrNone(t *testing.T) {
	r := newRegion(t, small)
	g, err := r.NewRing("x", 0, 0, 63)
	if err != nil {
		t.Fatal(err)
	}
	wantErrno(t, r.FillRing("x", g), syscall.ENOMEM, "63 buffers")
	if u := r.Usage(); u.BufFree != u.BufTotal {
		t.Errorf("buffers left behind: %+v", u)
	}
	for i := range g.Slots {
		if g.Slots[i].BufIdx != 0 {
			t.Errorf("slot %d has buffer %d", i, g.Slots[i].BufIdx)
		}
	}
}

func TestExtraBuffersAreAList(t *testing.T) {
	for _, c := range []struct {
		name          string
		want, granted uint32
	}{{"none", 0, 0}, {"one", 1, 1}, {"some", 20, 20}, {"all", 62, 62},
		{"more than there are", 1<<32 - 1, 62}} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegion(t, small)
			head, granted := r.NewExtra(c.want)
			if granted != c.granted {
				t.Errorf("granted %d, want %d", granted, c.granted)
			}
			n := uint32(0)
			for i := head; i != 0; i = r.Bufs.Link(i) {
				n++
			}
			if n != granted {
				t.Errorf("%d buffers in the list of %d", n, granted)
			}
			if free := r.Usage().BufFree; free != 62-granted {
				t.Errorf("%d free after %d were granted", free, granted)
			}
			if freed := r.FreeExtra(head); freed != granted || !r.Usage().Full() {
				t.Errorf("%d of %d came back: %+v", freed, granted, r.Usage())
			}
		})
	}
}

func TestHostileExtraLists(t *testing.T) {
	link := func(r *Region, list []uint32, i int, to uint32) (head uint32) {
		r.Bufs.SetLink(list[i], to)
		return list[0]
	}
	for _, c := range []struct {
		name  string
		spoil func(r *Region, list []uint32) (head uint32)
		freed uint32
	}{
		{"forgotten", func(*Region, []uint32) uint32 { return 0 }, 0},
		{"starts with a reserved buffer", func(*Region, []uint32) uint32 { return 1 }, 0},
		{"starts behind the pool", func(r *Region, _ []uint32) uint32 { return r.Bufs.Total() }, 0},
		{"starts at the largest number", func(*Region, []uint32) uint32 { return 1<<32 - 1 }, 0},
		{"starts with a free buffer",
			func(r *Region, l []uint32) uint32 { r.FreeBuf(l[0]); return l[0] }, 0},
		{"ends with its first buffer",
			func(r *Region, l []uint32) uint32 { return link(r, l, 9, l[0]) }, 10},
		{"a buffer names itself", func(r *Region, l []uint32) uint32 { return link(r, l, 4, l[4]) }, 5},
		{"leads back into its middle",
			func(r *Region, l []uint32) uint32 { return link(r, l, 7, l[3]) }, 8},
		{"leads out of the pool", func(r *Region, l []uint32) uint32 { return link(r, l, 2, 1<<31) }, 3},
		{"leads to a reserved buffer", func(r *Region, l []uint32) uint32 { return link(r, l, 2, 1) }, 3},
		{"leads to a buffer that was freed",
			func(r *Region, l []uint32) uint32 { r.FreeBuf(l[3]); return l[0] }, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegion(t, small)
			head, _ := r.NewExtra(10)
			var list []uint32
			for i := head; i != 0; i = r.Bufs.Link(i) {
				list = append(list, i)
			}
			if freed := r.FreeExtra(c.spoil(r, list)); freed != c.freed {
				t.Errorf("%d freed, want %d", freed, c.freed)
			}
			r.Reset()
			if !r.Usage().Full() {
				t.Errorf("after Reset: %+v", r.Usage())
			}
		})
	}
}

func TestFreeingTwiceDoesNothing(t *testing.T) {
	r := newRegion(t, small)
	bufs, err := r.NewBufs("x", 10)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range bufs {
		if !r.FreeBuf(b) {
			t.Errorf("buffer %d did not come back", b)
		}
		if r.FreeBuf(b) {
			t.Errorf("buffer %d came back twice", b)
		}
	}
	for _, b := range []uint32{0, 1, 64, 1 << 20, 1<<32 - 1} {
		if r.FreeBuf(b) {
			t.Errorf("buffer %d came back", b)
		}
	}
	g, _ := r.NewRing("x", 0, 0, 40)
	r.FreeRing(g)
	r.FreeRing(g)
	f, _ := r.NewIf("x", 2)
	r.FreeIf(f)
	r.FreeIf(f)
	if !r.Usage().Full() {
		t.Errorf("usage %+v", r.Usage())
	}
}

func TestResetTakesBackEverything(t *testing.T) {
	r := newRegion(t, small)
	full := r.Usage()
	for range 3 {
		r.NewIf("x", 2)
		g, _ := r.NewRing("x", 0, 0, 8)
		r.FillRing("x", g)
		r.NewExtra(5)
		if r.Usage().Full() {
			t.Fatal("nothing was taken")
		}
		r.Reset()
		if got := r.Usage(); got != full {
			t.Errorf("after Reset %+v, want %+v", got, full)
		}
	}
	if r.FreeBuf(0) || r.FreeBuf(1) {
		t.Error("a reserved buffer can be freed after Reset")
	}
}

func TestNobodyGetsABufferThatAnotherHas(t *testing.T) {
	r := newRegion(t, Config{Buf: Pool{512, 64}})
	owner := make([]int, r.Bufs.Total()) // plain words: the race detector sees two owners
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 500 {
				bufs, err := r.NewBufs("x", 1+(i+g)%60)
				if err != nil {
					continue
				}
				for _, b := range bufs {
					owner[b]++
				}
				for _, b := range bufs {
					owner[b]--
					r.FreeBuf(b)
				}
			}
		})
	}
	wg.Wait()
	for b, n := range owner {
		if n != 0 {
			t.Errorf("buffer %d had two owners", b)
		}
	}
	if !r.Usage().Full() {
		t.Errorf("usage %+v", r.Usage())
	}
}
