package mem

import (
	"math/bits"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// The memory of a region that New made is taken from the kernel as objects are handed out, in
// blocks of shm.HugePage, and before they are: whoever uses an object needs no memory for it any
// more. It is given back some time after the last object in a block was, so that who opens and
// closes ports again and again finds it there.
//
// AF_XDP pins memory, all of its UMEM, so all buffers are there as long as somebody has Pin.

// lessBuffers is what to do where pinning all buffers takes more memory than there is.
const lessBuffers = "have fewer: netmap serve --buffers, or embed.Config.Buffers"

// keepFor is how long a block stays that nobody uses; a variable for tests.
var keepFor = 5 * time.Second

// take has memory behind a piece of the region. The caller holds the lock.
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

// takeBufs is take for buffers, which mostly lie side by side.
func (r *Region) takeBufs(bufs []uint32) error {
	p := &r.pools[bufPool]
	for i := 0; i < len(bufs); {
		j := i + 1
		for j < len(bufs) && bufs[j]-bufs[j-1] <= 2 { // the one between them is reserved
			j++
		}
		if err := r.take(p.at(bufs[i]), p.at(bufs[j-1]+1)); err != nil {
			return err
		}
		i = j
	}
	return nil
}

// Pin takes the memory of all buffers, until Unpin is called as often, and in huge pages where the
// kernel gives them. ENOMEM.
func (r *Region) Pin(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.take(r.pools[bufPool].offset, r.size); err != nil {
		return fault.Wrap(err, "pin the buffers for", name, "%s", lessBuffers)
	}
	r.pins++
	return nil
}

// Unpin is the inverse.
func (r *Region) Unpin() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pins--
	r.tidyLater()
}

// Contiguous says whether each 2 MiB of the buffers are physically contiguous, which zero-copy
// AF_XDP needs. It is for who has pinned them.
func (r *Region) Contiguous() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file != nil && r.file.Huge()
}

// Taken is how many bytes of memory the region has from the kernel.
func (r *Region) Taken() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.file == nil {
		return r.size
	}
	return r.file.Taken()
}

// tidyLater gives memory back in a while. The caller holds the lock.
func (r *Region) tidyLater() {
	if r.later == nil && r.file != nil && r.file.Taken() > 0 {
		r.later = time.AfterFunc(keepFor, r.tidy)
	}
}

// tidy gives the blocks back in which there is no object.
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

// usedBlocks says of each block whether an object is in it.
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
