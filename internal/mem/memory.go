package mem

import (
	"math/bits"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// A region that New made takes its memory from the kernel in blocks of shm.HugePage, before it
// hands out the objects in them. So the use of an object never needs more memory. A block without
// objects goes back to the kernel after keepFor: a program that opens and closes ports repeatedly
// finds it there.
//
// AF_XDP pins its whole UMEM. Therefore all buffers have memory between Pin and Unpin.

// lessBuffers is the advice if there is too little memory to pin all buffers.
const lessBuffers = "have fewer: netmap serve --buffers, or embed.Config.Buffers"

// keepFor is how long an unused block stays; a variable for tests.
var keepFor = 5 * time.Second

// take makes sure that a part of the region has memory. r.mu is held.
func (r *Region) take(from, to uint64) error {
	if r.file == nil {
		return nil
	}
	if need := r.file.Missing(from, to); need > 0 {
		if err := Room(need); err != nil {
			return err
		}
	}
	return r.file.Take(from, to)
}

// takeBufs is take for buffers, most of which are adjacent.
func (r *Region) takeBufs(bufs []uint32) error {
	p := &r.pools[bufPool]
	for i := 0; i < len(bufs); {
		j := i + 1
		for j < len(bufs) && bufs[j]-bufs[j-1] <= 2 { // a reserved buffer may lie between them
			j++
		}
		if err := r.take(p.at(bufs[i]), p.at(bufs[j-1]+1)); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// Pin makes sure that all buffers have memory, in huge pages if the kernel provides them. They keep
// it until Unpin was called as often as Pin. Pin returns ENOMEM.
func (r *Region) Pin(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.take(r.pools[bufPool].offset, r.size); err != nil {
		return fault.Wrap(err, "pin the buffers for", name, "%s", lessBuffers)
	}
	r.pins++
	return nil
}

// Unpin undoes one Pin.
func (r *Region) Unpin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pins--
	r.tidyLater()
}

// Contiguous reports whether each 2 MiB of the buffers are physically contiguous, which zero-copy
// AF_XDP needs. The caller has pinned the buffers.
func (r *Region) Contiguous() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file != nil && r.file.Huge()
}

// Taken returns how many bytes of the region have memory.
func (r *Region) Taken() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return r.size
	}
	return r.file.Taken()
}

// tidyLater makes tidy run after keepFor. r.mu is held.
func (r *Region) tidyLater() {
	if r.later == nil && r.file != nil && r.file.Taken() > 0 {
		r.later = time.AfterFunc(keepFor, r.tidy)
	}
}

// tidy gives blocks without objects back to the kernel.
func (r *Region) tidy() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.later = nil
	if r.closed {
		return
	}
	end := roundUp(r.size)
	if r.pins > 0 {
		end = r.pools[bufPool].offset
	}
	used := r.usedBlocks()
	r.file.Give(0, end, func(block int) bool { return used[block] })
}

func roundUp(size uint64) uint64 { return (size + shm.HugePage - 1) &^ (shm.HugePage - 1) }

// usedBlocks reports for each block whether it contains an object.
func (r *Region) usedBlocks() []bool {
	used := make([]bool, roundUp(r.size)/shm.HugePage)
	for i := range r.pools {
		p := &r.pools[i]
		for w := range p.used {
			for taken := p.used[w] &^ p.res[w]; taken != 0; taken &= taken - 1 {
				object := uint32(w*64 + bits.TrailingZeros64(taken))
				for b := p.at(object) / shm.HugePage; b <= (p.at(object+1)-1)/shm.HugePage; b++ {
					used[b] = true
				}
			}
		}
	}
	return used
}
