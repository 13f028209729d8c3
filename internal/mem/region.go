// Package mem is a netmap region: one piece of shared memory with a pool of interfaces, one of rings and one of
// buffers.
//
//	0            ring pool       buffer pool, page aligned                 Size
//	+-----------+---------------+---------------------------------------+----
//	| If | If   | Ring  | Ring  | 0 | 1 | 2 | 3 | …                     |
//	+-----------+---------------+---------------------------------------+----
//
// The buffer pool is laid out to be the UMEM of AF_XDP sockets: buffers follow each other at a stride of their size, and
// a NIC may write the 256 bytes before a buffer it fills. The kernel does so only with Config.Stamps, and only 8 bytes.
package mem

import (
	"math/bits"
	"sync"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

const (
	pageSize = 4096
	// objAlign is what the size of every object is rounded up to.
	objAlign = 64
)

// Pool is the wish for one pool: how many objects of how many bytes.
type Pool struct {
	Num  uint32
	Size uint32 // bytes
}

// Config sizes a region. Zero values take those of Default, see complete.
type Config struct {
	If   Pool // interfaces: one for each binding
	Ring Pool // rings; one with more slots than fit in an object takes several
	Buf  Pool // packet buffers, all of one size

	// Stamps keeps the last StampRoom bytes of every buffer free of frames: a NIC writes there when a frame arrives in the
	// next one.
	Stamps bool

	// NoHuge keeps the region out of huge pages, which are otherwise taken where the kernel has
	// them.
	NoHuge bool
}

// ConfigOf is the configuration that a request asks for.
func ConfigOf(i abi.PoolsInfo) Config {
	pool := func(p abi.PoolInfo) Pool { return Pool{Num: p.ObjTotal, Size: p.ObjSize} }
	return Config{If: pool(i.If), Ring: pool(i.Ring), Buf: pool(i.Buf)}
}

// Default is a region that nobody sized, but for its number of buffers. Full is upstream netmap's
// global region, 335 MiB.
var (
	Default = Config{If: Pool{256, 1024}, Ring: Pool{1024, 36864}, Buf: Pool{Size: 2048}}
	Full    = Config{If: Pool{100, 1024}, Ring: Pool{200, 36864}, Buf: Pool{163840, 2048}}
)

const (
	// portBuffers is what a VALE port takes, or a pipe, with two rings of the usual 1024 slots:
	// that, and its share of those that are never given out.
	portBuffers = 2*1024 + 2
	// defaultBuffers are for 100 VALE ports and an interface of 64 queues beside them. More would be
	// to the good of few, and cost all who open an interface: time, as all buffers have to be there
	// then, and some of the kernel's memory for each and each queue.
	defaultBuffers = 272 << 10
	// leastBuffers is what there is on the smallest machine.
	leastBuffers = 8 << 10
)

// RingsIn is how many rings of 1024 slots so many buffers are for: a VALE port or a pipe has two.
func RingsIn(buffers uint32) uint32 { return buffers / (portBuffers / 2) }

// Buffers is how many buffers a region of this configuration has.
func (c Config) Buffers() uint32 { return c.complete(Memory())[bufPool].Num }

// complete puts in what the configuration leaves open. Ports that are asked for get their buffers;
// where nothing is, all buffers together are no more than an eighth of the machine's memory.
func (c Config) complete(memory uint64) [3]Pool {
	ports := c.If.Num
	all := [3]Pool{or(c.If, Default.If), or(c.Ring, Default.Ring), or(c.Buf, Default.Buf)}
	b := &all[bufPool]
	if b.Num > 0 {
		return all
	}
	b.Num = defaultBuffers
	if most := memory / 8 / uint64(max(b.Size, 1)); memory > 0 && most < defaultBuffers {
		b.Num = max(uint32(most), leastBuffers)
	}
	if wish := uint64(ports)*portBuffers + 64; wish > uint64(b.Num) {
		b.Num = uint32(min(wish, uint64(limits[bufPool].maxNum)))
	}
	return all
}

// limits of the three pools, those of netmap's knobs.
var limits = [3]struct{ minNum, maxNum, minSize, maxSize uint32 }{
	{1, 10000, objAlign, 4096},
	{2, 1024, abi.RingSize + 2*abi.SlotSize, 131072},
	{4, 1000000, 64, 65536},
}

// StampRoom is what Config.Stamps takes from a buffer, in bytes: a cache line.
const StampRoom = 64

// Region is a region with its three allocators. Its methods may be called from several goroutines; what is handed out is
// shared memory that the peer may write.
type Region struct {
	Bufs shm.Bufs // the buffers as the data path sees them

	id    uint16
	size  uint64
	bytes []byte
	free  func() error
	mu    sync.Mutex
	pools [3]pool // by ifPool, ringPool, bufPool

	file   *shm.Sparse // nil where the memory is somebody else's
	closed bool
	pins   int         // how many want all buffers to be there
	later  *time.Timer // gives back what is free by then, nil when there is nothing to do
}

const (
	ifPool = iota
	ringPool
	bufPool
)

// New makes a region. Errors: EINVAL for a size out of netmap's limits, ENOMEM.
func New(id uint16, c Config) (*Region, error) {
	r := &Region{id: id}
	if err := r.layOut(c.complete(Memory())); err != nil {
		return nil, err
	}
	m, err := shm.NewSparse("netmap", int(r.size), !c.NoHuge)
	if err != nil {
		return nil, err
	}
	r.file, r.free = m, m.Close
	r.use(m.Bytes())
	if size := r.pools[bufPool].objSize; c.Stamps {
		r.Bufs = r.Bufs.Spare(min(StampRoom, size-objAlign))
	}
	return r, nil
}

// layOut decides which object is where. EINVAL for a size out of netmap's limits.
func (r *Region) layOut(all [3]Pool) error {
	for i, w := range all {
		if err := w.check(i); err != nil {
			return err
		}
		r.pools[i] = newPool(poolNames[i], w, r.size)
		r.size += uint64(r.pools[i].num) * uint64(r.pools[i].objSize)
	}
	r.Reset()
	return nil
}

// check says EINVAL for a size out of netmap's limits.
func (w Pool) check(i int) error {
	if l := limits[i]; w.Num < l.minNum || w.Num > l.maxNum || w.Size < l.minSize || w.Size > l.maxSize {
		return fault.New(syscall.EINVAL, "make region", poolNames[i], "%d objects of %d bytes; want %d to %d of %d to %d bytes; netmap serve %s",
			w.Num, w.Size, l.minNum, l.maxNum, l.minSize, l.maxSize, poolFlags[i])
	}
	return nil
}

// use lets the pools be in memory that is there.
func (r *Region) use(memory []byte) {
	r.bytes = memory[:r.size:r.size]
	b := &r.pools[bufPool]
	r.Bufs = shm.NewBufs(r.bytes[b.offset:], b.objSize)
	r.Reset()
}

// extmemDefault is what Over does not get told.
var extmemDefault = Config{If: Pool{2, 1024}, Ring: Pool{4, 20480}, Buf: Pool{4098, 2048}}

// Over makes a region in memory that somebody else provides, and may write as all who have a region mapped. It starts at
// a page boundary and stays as large as it is until free is called, by Close or here if there is an error. What the
// pools leave of it becomes buffers. Errors: EINVAL for a size out of netmap's limits, ENOMEM for memory that is too
// small.
func Over(id uint16, memory []byte, c Config, free func() error) (*Region, error) {
	r, err := over(id, memory, c)
	if err != nil {
		free()
		return nil, err
	}
	r.free = free
	return r, nil
}

func over(id uint16, memory []byte, c Config) (*Region, error) {
	if len(memory) == 0 || shm.Address(memory)%pageSize != 0 {
		return nil, fault.New(syscall.EINVAL, "make region", "external memory", "it is empty, or does not start at a page")
	}
	r := &Region{id: id}
	sum := uint64(0)
	for i, w := range [3]Pool{or(c.If, extmemDefault.If), or(c.Ring, extmemDefault.Ring), or(c.Buf, extmemDefault.Buf)} {
		if err := w.check(i); err != nil {
			return nil, err
		}
		sum += uint64(w.Num) * uint64(w.Size)
		w.Size = align(w.Size)
		if i == bufPool {
			left := max(uint64(len(memory)), r.size) - r.size
			w.Num = uint32(min(left/uint64(w.Size), uint64(limits[i].maxNum)))
		}
		r.pools[i] = makePool(poolNames[i], w, r.size)
		r.size += uint64(w.Num) * uint64(w.Size)
		if i != bufPool {
			r.size = (r.size + pageSize - 1) &^ (pageSize - 1)
		}
	}
	if sum > uint64(len(memory)) || r.pools[bufPool].num < limits[bufPool].minNum {
		return nil, fault.New(syscall.ENOMEM, "make region", "external memory", "%d bytes for interfaces, rings and buffers that need %d", len(memory), sum)
	}
	r.use(memory)
	return r, nil
}

func or(p, def Pool) Pool {
	if p.Num == 0 {
		p.Num = def.Num
	}
	if p.Size == 0 {
		p.Size = def.Size
	}
	return p
}

// Close unmaps the region. Nothing that came from it may be used afterwards.
func (r *Region) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.later != nil {
		r.later.Stop()
	}
	r.closed = true
	return r.free()
}

// ID is the region's memory id. // nr_mem_id
func (r *Region) ID() uint16 { return r.id }

// Size is what a client has to map, in bytes. // nr_memsize
func (r *Region) Size() uint64 { return r.size }

// Bytes is the memory, Size bytes.
func (r *Region) Bytes() []byte { return r.bytes }

// FD is the file that a client maps, of a region that New made.
func (r *Region) FD() int { return r.file.FD() }

// Private says whether the memory is somebody else's. // NI_PRIV_MEM
func (r *Region) Private() bool { return r.file == nil }

// BufPool is the memory of the buffer pool, from buffer 0 on, where it lies in the region, and the stride of the buffers,
// in bytes.
func (r *Region) BufPool() (pool []byte, offset uint64, stride uint32) {
	b := &r.pools[bufPool]
	return r.Bytes()[b.offset:], b.offset, b.objSize
}

// Spare is how many bytes at the end of each buffer no frame uses.
func (r *Region) Spare() uint32 { return r.pools[bufPool].objSize - r.Bufs.Size() }

// Info describes the pools. // NETMAP_REQ_POOLS_INFO_GET
func (r *Region) Info() abi.PoolsInfo {
	info := func(i int) abi.PoolInfo {
		p := &r.pools[i]
		return abi.PoolInfo{Offset: p.offset, ObjTotal: p.num, ObjSize: p.objSize}
	}
	return abi.PoolsInfo{MemSize: r.size, MemID: r.id, If: info(ifPool), Ring: info(ringPool), Buf: info(bufPool)}
}

// Usage is how many objects of each pool are free, and of how many.
type Usage struct {
	IfFree, IfTotal     uint32
	RingFree, RingTotal uint32
	BufFree, BufTotal   uint32 // without the reserved ones
}

// Full says whether nothing is allocated.
func (u Usage) Full() bool {
	return u.IfFree == u.IfTotal && u.RingFree == u.RingTotal && u.BufFree == u.BufTotal
}

// Usage counts.
func (r *Region) Usage() Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, g, b := &r.pools[ifPool], &r.pools[ringPool], &r.pools[bufPool]
	return Usage{i.free, i.usable, g.free, g.usable, b.free, b.usable}
}

// Reset takes back every object. It is for a region without users: what a client hid or overwrote returns this way.
func (r *Region) Reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.pools {
		r.pools[i].reset()
	}
	b := &r.pools[bufPool]
	for i := range uint32(abi.ReservedBufs) {
		b.reserve(i)
	}
	for at := roundUp(b.offset); at < r.size; at += shm.HugePage {
		b.reserveAround(at)
	}
	r.tidyLater()
}

// nicRoom is what a NIC may want before a buffer that it fills.
const nicRoom = 256

// reserveAround takes the buffers out of use that a NIC in zero-copy mode cannot have, because they lie on both sides
// of the start of a huge page, or their nicRoom does: one or two of those that are large enough for frames.
func (p *pool) reserveAround(at uint64) {
	for i := p.index(max(at-1, p.offset)); i < p.num && p.at(i) < at+nicRoom; i++ {
		if p.at(i+1) > at {
			p.reserve(i)
		}
	}
}

var poolNames = [3]string{"interfaces", "rings", "buffers"}

// poolFlags are the flags that set the pools.
var poolFlags = [3]string{"--ports", "--rings, --ring-size", "--buffers, --buffer-size"}

// pool is an allocator of objects of one size, first fit by a bitmap so that fresh objects lie side by side.
type pool struct {
	name      string
	offset    uint64 // in the region
	objSize   uint32
	num       uint32
	usable    uint32 // num without the reserved ones
	free      uint32
	used, res []uint64 // bitmaps: taken, and never to be given
	hint      uint32   // no free object below
}

// newPool rounds sizes to objAlign and counts up to whole pages.
func newPool(name string, w Pool, offset uint64) pool {
	w.Size = align(w.Size)
	cluster := uint32(pageSize / (1 << min(bits.TrailingZeros32(w.Size), 12)))
	w.Num = (w.Num + cluster - 1) / cluster * cluster
	return makePool(name, w, offset)
}

func align(size uint32) uint32 { return (size + objAlign - 1) &^ (objAlign - 1) }

func makePool(name string, w Pool, offset uint64) pool {
	words := (w.Num + 63) / 64
	return pool{name: name, offset: offset, objSize: w.Size, num: w.Num, used: make([]uint64, words), res: make([]uint64, words)}
}

func (p *pool) reset() {
	clear(p.used)
	clear(p.res)
	p.free, p.usable, p.hint = p.num, p.num, 0
}

func (p *pool) reserve(i uint32) {
	if p.used[i/64]&(1<<(i%64)) == 0 {
		p.used[i/64] |= 1 << (i % 64)
		p.res[i/64] |= 1 << (i % 64)
		p.free--
		p.usable--
	}
}

// alloc takes n adjacent objects and returns the first one's number.
func (p *pool) alloc(n uint32) (uint32, bool) {
	if n > p.free {
		return 0, false
	}
	run, skipped := uint32(0), false
	for i := p.hint; i < p.num; i++ {
		if p.used[i/64] == ^uint64(0) && run == 0 {
			i |= 63
			continue
		}
		if p.used[i/64]&(1<<(i%64)) != 0 {
			run, skipped = 0, skipped || run > 0
			continue
		}
		if run++; run < n {
			continue
		}
		first := i + 1 - n
		for k := first; k <= i; k++ {
			p.used[k/64] |= 1 << (k % 64)
		}
		p.free -= n
		if !skipped {
			p.hint = i + 1
		}
		return first, true
	}
	return 0, false
}

// release gives n adjacent objects back. It says no, and does nothing, for an object that is not out: the numbers may
// come from a peer.
func (p *pool) release(first, n uint32) bool {
	if n == 0 || first >= p.num || n > p.num-first {
		return false
	}
	for i := first; i < first+n; i++ {
		if p.used[i/64]&^p.res[i/64]&(1<<(i%64)) == 0 {
			return false
		}
	}
	for i := first; i < first+n; i++ {
		p.used[i/64] &^= 1 << (i % 64)
	}
	p.free += n
	p.hint = min(p.hint, first)
	return true
}

// at is where object i lies in the region, in bytes.
func (p *pool) at(i uint32) uint64 { return p.offset + uint64(i)*uint64(p.objSize) }

// index is the inverse of at.
func (p *pool) index(at uint64) uint32 { return uint32((at - p.offset) / uint64(p.objSize)) }

// objects is how many adjacent objects hold size bytes.
func (p *pool) objects(size uint64) uint32 {
	return uint32((size + uint64(p.objSize) - 1) / uint64(p.objSize))
}

func (p *pool) noMemory(op, object string, n uint32) error {
	const hint = "%d %s wanted, %d of the region's %d are free; close ports, or have more: %s"
	return fault.New(syscall.ENOMEM, op, object, hint, n, p.name, p.free, p.usable, settings[p.name])
}

// settings say how a pool is made larger.
var settings = map[string]string{
	poolNames[ifPool]:   "netmap serve --ports, or embed.Config.Ports",
	poolNames[ringPool]: "netmap serve --rings, or embed.Config.Rings",
	poolNames[bufPool]:  "netmap serve --buffers, or embed.Config.Buffers",
}
