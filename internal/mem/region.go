// Package mem is a netmap region: shared memory with a pool of interfaces, one of rings and one of
// buffers.
//
//	0            ring pool       buffer pool, page aligned                 Size
//	+-----------+---------------+---------------------------------------+----
//	| If | If   | Ring  | Ring  | 0 | 1 | 2 | 3 | …                     |
//	+-----------+---------------+---------------------------------------+----
//
// The buffer pool has the layout of the UMEM of AF_XDP sockets: the stride of buffers is their
// size. A NIC may write the 256 bytes before a buffer that it fills. The kernel writes there only
// with Config.Stamps, and only 8 bytes.
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
	// objAlign is the alignment of the sizes of objects, which are rounded up.
	objAlign = 64
)

// Pool is the requested size of a pool: the number of objects and their size.
type Pool struct {
	Num  uint32
	Size uint32 // bytes
}

// Config holds the sizes of a region. Those that are zero are taken from Default; complete chooses
// the number of buffers.
type Config struct {
	If   Pool // interfaces, one for each binding
	Ring Pool // rings; a ring that does not fit in an object takes several
	Buf  Pool // packet buffers, all of one size

	// Stamps keeps the last StampRoom bytes of every buffer free of frames. When a frame arrives in
	// a buffer, the NIC writes into the room at the end of the buffer before.
	Stamps bool

	// NoHuge prevents the use of huge pages, which the region otherwise takes if the kernel has
	// them.
	NoHuge bool
}

// ConfigOf returns the configuration that a request asks for.
func ConfigOf(i abi.PoolsInfo) Config {
	pool := func(p abi.PoolInfo) Pool { return Pool{Num: p.ObjTotal, Size: p.ObjSize} }
	return Config{If: pool(i.If), Ring: pool(i.Ring), Buf: pool(i.Buf)}
}

// Default has the sizes of a region that nobody chose, except the number of buffers (see complete).
// Full is upstream netmap's global region, 335 MiB.
var (
	Default = Config{If: Pool{256, 1024}, Ring: Pool{1024, 36864}, Buf: Pool{Size: 2048}}
	Full    = Config{If: Pool{100, 1024}, Ring: Pool{200, 36864}, Buf: Pool{163840, 2048}}
)

const (
	// portBuffers is the number of buffers for a VALE port or a pipe with two rings of the usual
	// 1024 slots, including a share of the buffers that are never given out.
	portBuffers = 2*1024 + 2
	// defaultBuffers suffice for 100 VALE ports together with an interface of 64 queues. Few users
	// would need more, and everybody who opens an interface would pay for them: all buffers have to
	// have memory then, and the kernel needs some memory for each buffer and queue.
	defaultBuffers = 272 << 10
	// leastBuffers is the default on the smallest machine.
	leastBuffers = 8 << 10
)

// RingsIn returns for how many rings of 1024 slots so many buffers suffice. A VALE port or a pipe
// has two.
func RingsIn(buffers uint32) uint32 { return buffers / (portBuffers / 2) }

// Buffers returns how many buffers a region of this configuration has.
func (c Config) Buffers() uint32 { return c.complete(Memory())[bufPool].Num }

// complete returns the sizes with defaults for those that are zero. The default number of buffers
// takes at most an eighth of the machine's memory, or more if c.If asks for so many ports.
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
	if want := uint64(ports)*portBuffers + 64; want > uint64(b.Num) {
		b.Num = uint32(min(want, uint64(limits[bufPool].maxNum)))
	}
	return all
}

// limits are the limits of the three pools. They are the same as those of netmap's sysctls.
var limits = [3]struct{ minNum, maxNum, minSize, maxSize uint32 }{
	{1, 10000, objAlign, 4096},
	{2, 1024, abi.RingSize + 2*abi.SlotSize, 131072},
	{4, 1000000, 64, 65536},
}

// StampRoom is how many bytes Config.Stamps takes from a buffer: a cache line.
const StampRoom = 64

// Region is a region with its three allocators. Several goroutines may call its methods. The memory
// of objects is shared, and the peer may write to it at any time.
type Region struct {
	Bufs shm.Bufs // the buffers, for the data path

	id    uint16
	size  uint64
	bytes []byte
	free  func() error
	mu    sync.Mutex
	pools [3]pool // indexed by ifPool, ringPool, bufPool

	file   *shm.Sparse // nil for external memory
	closed bool
	pins   int         // how many callers need memory behind all buffers
	later  *time.Timer // runs tidy; nil if there is nothing to give back
}

const (
	ifPool = iota
	ringPool
	bufPool
)

// New makes a region. Errors: EINVAL for a size outside netmap's limits, ENOMEM.
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

// layOut sets the offsets of all pools. It returns EINVAL for a size outside netmap's limits.
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

// check returns EINVAL for a size outside netmap's limits. i is the pool.
func (w Pool) check(i int) error {
	if l := limits[i]; w.Num < l.minNum || w.Num > l.maxNum || w.Size < l.minSize ||
		w.Size > l.maxSize {
		return fault.New(syscall.EINVAL, "make region", poolNames[i],
			"%d objects of %d bytes; want %d to %d of %d to %d bytes; netmap serve %s",
			w.Num, w.Size, l.minNum, l.maxNum, l.minSize, l.maxSize, poolFlags[i])
	}
	return nil
}

// use puts the pools into memory.
func (r *Region) use(memory []byte) {
	r.bytes = memory[:r.size:r.size]
	b := &r.pools[bufPool]
	r.Bufs = shm.NewBufs(r.bytes[b.offset:], b.objSize)
	r.Reset()
}

// extmemDefault holds the sizes for Over that its caller does not choose.
var extmemDefault = Config{If: Pool{2, 1024}, Ring: Pool{4, 20480}, Buf: Pool{4098, 2048}}

// Over makes a region in external memory, which its owner may write to, as clients may write to any
// region. The memory starts at a page boundary and keeps its size until free is called: by Close,
// or by Over itself if it fails. The buffer pool takes all that the other pools leave. Errors:
// EINVAL for a size outside netmap's limits, ENOMEM for memory that is too small.
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
		return nil, fault.New(syscall.EINVAL, "make region", "external memory",
			"it is empty, or does not start at a page boundary")
	}
	r := &Region{id: id}
	sum := uint64(0)
	for i, w := range [3]Pool{or(c.If, extmemDefault.If), or(c.Ring, extmemDefault.Ring),
		or(c.Buf, extmemDefault.Buf)} {
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
		return nil, fault.New(syscall.ENOMEM, "make region", "external memory",
			"it has %d bytes, and interfaces, rings and buffers need %d", len(memory), sum)
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

// Close unmaps the region. No object of it may be used afterwards.
func (r *Region) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.later != nil {
		r.later.Stop()
	}
	r.closed = true
	return r.free()
}

// ID is the region's memory id (nr_mem_id).
func (r *Region) ID() uint16 { return r.id }

// Size is how many bytes a client has to map (nr_memsize).
func (r *Region) Size() uint64 { return r.size }

// Bytes is the memory of the region.
func (r *Region) Bytes() []byte { return r.bytes }

// FD is the file that a client maps. Only a region that New made has one.
func (r *Region) FD() int { return r.file.FD() }

// Private reports whether the region is in external memory (NI_PRIV_MEM).
func (r *Region) Private() bool { return r.file == nil }

// BufPool returns the memory of the buffer pool, starting with buffer 0, its offset in the region,
// and the stride of the buffers, both in bytes.
func (r *Region) BufPool() (pool []byte, offset uint64, stride uint32) {
	b := &r.pools[bufPool]
	return r.Bytes()[b.offset:], b.offset, b.objSize
}

// Spare is how many bytes at the end of each buffer are not for frames.
func (r *Region) Spare() uint32 { return r.pools[bufPool].objSize - r.Bufs.Size() }

// Info describes the pools (NETMAP_REQ_POOLS_INFO_GET).
func (r *Region) Info() abi.PoolsInfo {
	info := func(i int) abi.PoolInfo {
		p := &r.pools[i]
		return abi.PoolInfo{Offset: p.offset, ObjTotal: p.num, ObjSize: p.objSize}
	}
	return abi.PoolsInfo{MemSize: r.size, MemID: r.id, If: info(ifPool), Ring: info(ringPool),
		Buf: info(bufPool)}
}

// Usage is how many objects of each pool are free, and how many there are.
type Usage struct {
	IfFree, IfTotal     uint32
	RingFree, RingTotal uint32
	BufFree, BufTotal   uint32 // without the reserved buffers
}

// Full reports whether nothing is allocated.
func (u Usage) Full() bool {
	return u.IfFree == u.IfTotal && u.RingFree == u.RingTotal && u.BufFree == u.BufTotal
}

// Usage returns the usage of the pools.
func (r *Region) Usage() Usage {
	r.mu.Lock()
	defer r.mu.Unlock()
	i, g, b := &r.pools[ifPool], &r.pools[ringPool], &r.pools[bufPool]
	return Usage{i.free, i.usable, g.free, g.usable, b.free, b.usable}
}

// Reset frees all objects, also those that a client lost or overwrote. It is for a region without
// users.
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

// nicRoom is how many bytes before a buffer a NIC may use.
const nicRoom = 256

// reserveAround takes buffers out of use that a NIC in zero-copy mode cannot use, because the
// buffer with the nicRoom before it crosses the start of a huge page, at. Of buffers that are large
// enough for frames these are one or two.
func (p *pool) reserveAround(at uint64) {
	for i := p.index(max(at-1, p.offset)); i < p.num && p.at(i) < at+nicRoom; i++ {
		if p.at(i+1) > at {
			p.reserve(i)
		}
	}
}

var poolNames = [3]string{"interfaces", "rings", "buffers"}

// poolFlags are the flags of netmap serve that set the sizes of each pool.
var poolFlags = [3]string{"--ports", "--rings, --ring-size", "--buffers, --buffer-size"}

// pool allocates objects of one size. It uses a bitmap and takes the first object that fits, so
// that new objects are adjacent.
type pool struct {
	name      string
	offset    uint64 // in the region, in bytes
	objSize   uint32
	num       uint32
	usable    uint32 // num without the reserved objects
	free      uint32
	used, res []uint64 // bitmaps: allocated, and never to be given out
	hint      uint32   // all objects below it are allocated
}

// newPool rounds sizes up to objAlign and the number of objects up to whole pages.
func newPool(name string, w Pool, offset uint64) pool {
	w.Size = align(w.Size)
	cluster := uint32(pageSize / (1 << min(bits.TrailingZeros32(w.Size), 12)))
	w.Num = (w.Num + cluster - 1) / cluster * cluster
	return makePool(name, w, offset)
}

func align(size uint32) uint32 { return (size + objAlign - 1) &^ (objAlign - 1) }

func makePool(name string, w Pool, offset uint64) pool {
	words := (w.Num + 63) / 64
	return pool{name: name, offset: offset, objSize: w.Size, num: w.Num, used: make([]uint64, words),
		res: make([]uint64, words)}
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

// alloc allocates n adjacent objects and returns the first one's number.
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

// release frees n adjacent objects. If one of them is not allocated, it does nothing and returns
// false: the numbers may come from a peer.
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

// at returns where object i starts in the region, in bytes.
func (p *pool) at(i uint32) uint64 { return p.offset + uint64(i)*uint64(p.objSize) }

// index is the inverse of at.
func (p *pool) index(at uint64) uint32 { return uint32((at - p.offset) / uint64(p.objSize)) }

// objects returns how many adjacent objects hold size bytes.
func (p *pool) objects(size uint64) uint32 {
	return uint32((size + uint64(p.objSize) - 1) / uint64(p.objSize))
}

func (p *pool) noMemory(op, object string, n uint32) error {
	const hint = "%d %s wanted, %d of the region's %d are free; close ports, or have more: %s"
	return fault.New(syscall.ENOMEM, op, object, hint, n, p.name, p.free, p.usable, settings[p.name])
}

// settings name the flag and the field that make a pool larger.
var settings = map[string]string{
	poolNames[ifPool]:   "netmap serve --ports, or embed.Config.Ports",
	poolNames[ringPool]: "netmap serve --rings, or embed.Config.Rings",
	poolNames[bufPool]:  "netmap serve --buffers, or embed.Config.Buffers",
}
