package mem

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// If is a netmap_if in the region, and the ring offsets that follow it.
type If struct {
	*abi.If
	RingOfs []int64
	Offset  uint64 // in the region, in bytes (nr_offset)
}

// NewIf makes a zeroed interface with room for the offsets of so many rings. It returns ENOMEM if
// the pool is empty.
func (r *Region) NewIf(name string, rings int) (*If, error) {
	at, err := r.alloc(ifPool, "make interface", name, ifBytes(rings))
	if err != nil {
		return nil, err
	}
	f := &If{If: shm.At[abi.If](r.Bytes(), uintptr(at)),
		RingOfs: shm.Slice[int64](r.Bytes(), uintptr(at)+abi.IfSize, rings), Offset: at}
	copy(f.Name[:abi.IfNameSize-1], name)
	return f, nil
}

func ifBytes(rings int) uint64 { return abi.IfSize + 8*uint64(rings) }

// FreeIf frees an interface.
func (r *Region) FreeIf(f *If) { r.release(ifPool, f.Offset, ifBytes(len(f.RingOfs))) }

// Ring is a netmap_ring in the region with its slots.
type Ring struct {
	*abi.Ring
	Slots  []abi.Slot
	Offset uint64 // in the region, in bytes
}

// MaxSlots is the largest number of slots of a ring. Requests are limited to fewer.
const MaxSlots = 32768

// NewRing makes a ring. Its slots have no buffer (index 0) and the length of a whole buffer.
// Errors: EINVAL for a number of slots outside 1 to MaxSlots, ENOMEM if the pool is empty.
func (r *Region) NewRing(name string, id, dir uint16, slots uint32) (*Ring, error) {
	if slots < 1 || slots > MaxSlots {
		return nil, fault.New(syscall.EINVAL, "make ring", name, "%d slots; want 1 to %d", slots,
			MaxSlots)
	}
	at, err := r.alloc(ringPool, "make ring", name, ringBytes(slots))
	if err != nil {
		return nil, err
	}
	g := &Ring{Ring: shm.At[abi.Ring](r.Bytes(), uintptr(at)), Offset: at,
		Slots: shm.Slice[abi.Slot](r.Bytes(), uintptr(at)+abi.RingSize, int(slots))}
	g.NumSlots, g.RingID, g.Dir = slots, id, abi.RingRx
	if dir == abi.DirTx {
		g.Dir = abi.RingTx
	}
	g.BufSize = r.pools[bufPool].objSize
	g.BufOfs = int64(r.pools[bufPool].offset) - int64(at)
	for i := range g.Slots {
		g.Slots[i].SetWord(abi.MakeSlotWord(0, r.fullLen(), 0))
	}
	return g, nil
}

func ringBytes(slots uint32) uint64 { return abi.RingSize + abi.SlotSize*uint64(slots) }

// fullLen is the length of a whole buffer, as far as a slot can hold it.
func (r *Region) fullLen() uint16 { return uint16(min(r.Bufs.Size(), 0xffff)) }

// FreeRing frees a ring, but not the buffers in its slots.
func (r *Region) FreeRing(g *Ring) {
	r.release(ringPool, g.Offset, ringBytes(uint32(len(g.Slots))))
}

// FillRing puts a new buffer into every slot. If there are not enough, it returns ENOMEM and
// changes no slot.
func (r *Region) FillRing(name string, g *Ring) error {
	bufs, err := r.NewBufs(name, len(g.Slots))
	if err != nil {
		return err
	}
	for i, b := range bufs {
		g.Slots[i].SetWord(abi.MakeSlotWord(b, r.fullLen(), 0))
	}
	return nil
}

// NewBufs allocates n buffers, adjacent if there is room. If there are not enough, it returns
// ENOMEM and allocates none.
func (r *Region) NewBufs(name string, n int) ([]uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.pools[bufPool]
	if uint32(n) > p.free {
		return nil, p.noMemory("allocate", name, uint32(n))
	}
	bufs := make([]uint32, n)
	for i := range bufs {
		bufs[i], _ = p.alloc(1)
	}
	if err := r.takeBufs(bufs); err != nil {
		for _, b := range bufs {
			p.release(b, 1)
		}
		return nil, fault.Wrap(err, "allocate buffers for", name, "")
	}
	return bufs, nil
}

// FreeBuf frees a buffer. It does nothing and returns false if the index is not that of an
// allocated buffer, because indexes come from peers.
func (r *Region) FreeBuf(i uint32) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tidyLater()
	return r.pools[bufPool].release(i, 1)
}

// NewExtra allocates up to n buffers and links them into a list: the first four bytes of each hold
// the index of the next, and 0 ends the list. It returns the first index and the number of buffers,
// which may be less than n.
func (r *Region) NewExtra(n uint32) (head, granted uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for granted < n {
		i, ok := r.pools[bufPool].alloc(1)
		if !ok {
			break
		}
		if r.takeBufs([]uint32{i}) != nil {
			r.pools[bufPool].release(i, 1)
			break
		}
		r.Bufs.SetLink(i, head)
		head = i
		granted++
	}
	return head, granted
}

// FreeExtra frees the list that starts at head. The peer wrote the list: it ends at the first index
// that is not that of an allocated buffer.
func (r *Region) FreeExtra(head uint32) (freed uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tidyLater()
	for r.Bufs.Valid(head) && r.pools[bufPool].release(head, 1) {
		head = r.Bufs.Link(head)
		freed++
	}
	return freed
}

// Object is a part of the pool of interfaces or of rings, for contents that this package does not
// know.
type Object struct {
	Bytes  []byte // zeroed
	Offset uint64 // in the region, in bytes
	pool   int
}

// NewIfObject allocates size bytes from the pool of interfaces. It returns ENOMEM if the pool is
// empty.
func (r *Region) NewIfObject(name string, size int) (Object, error) {
	return r.newObject(ifPool, "make interface", name, size)
}

// NewRingObject allocates size bytes from the pool of rings. It returns ENOMEM if the pool is
// empty.
func (r *Region) NewRingObject(name string, size int) (Object, error) {
	return r.newObject(ringPool, "make rings", name, size)
}

func (r *Region) newObject(pool int, op, name string, size int) (Object, error) {
	at, err := r.alloc(pool, op, name, uint64(size))
	if err != nil {
		return Object{}, err
	}
	return Object{r.Bytes()[at : at+uint64(size) : at+uint64(size)], at, pool}, nil
}

// FreeObject frees an object.
func (r *Region) FreeObject(o Object) { r.release(o.pool, o.Offset, uint64(len(o.Bytes))) }

func (r *Region) alloc(pool int, op, name string, size uint64) (uint64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.pools[pool]
	n := p.objects(size)
	i, ok := p.alloc(n)
	if !ok {
		return 0, p.noMemory(op, name, n)
	}
	at := p.at(i)
	if err := r.take(at, at+uint64(n)*uint64(p.objSize)); err != nil {
		p.release(i, n)
		return 0, fault.Wrap(err, op, name, "")
	}
	clear(r.Bytes()[at : at+uint64(n)*uint64(p.objSize)])
	return at, nil
}

func (r *Region) release(pool int, at, size uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := &r.pools[pool]
	p.release(p.index(at), p.objects(size))
	r.tidyLater()
}
