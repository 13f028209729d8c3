//go:build linux || freebsd

package device

import (
	"math"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// region is a mapping that all ports of one memory region of a device share. So a buffer has the
// same address for all of these ports, and they may exchange buffers.
type region struct {
	*shm.Mapping
	key  regionKey
	refs int
}

// regionKey identifies a region. The numbers of a device cannot be given to another one while it is
// open, and it is open while a port has its region mapped.
type regionKey struct {
	dev, ino, rdev uint64
	id             uint16
	size           uint64
}

// regions are all mapped regions of the process.
var regions = struct {
	sync.Mutex
	m map[regionKey]*region
}{m: map[regionKey]*region{}}

// mapRegion maps the region of an open device, or returns an existing mapping. own is the external
// memory, or nil; mapRegion takes it over.
func mapRegion(fd int, answer abi.Register, own *shm.Mapping) (*region, error) {
	if answer.MemSize > math.MaxInt {
		return nil, fault.New(unix.ENOMEM, "map", "the region",
			"it has %d bytes, more than a 32-bit program can address; build the program for 64 bits",
			answer.MemSize)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	key := regionKey{uint64(st.Dev), uint64(st.Ino), uint64(st.Rdev), answer.MemID, answer.MemSize}
	regions.Lock()
	defer regions.Unlock()
	r := regions.m[key]
	if r == nil {
		m, err := own, error(nil)
		if own == nil {
			m, err = shm.Map(fd, int(answer.MemSize))
		}
		if err != nil {
			return nil, err
		}
		r = &region{Mapping: m, key: key}
		regions.m[key] = r
	} else {
		own.Close()
	}
	r.refs++
	return r, nil
}

// drop unmaps the region when its last port closes.
func (r *region) drop() error {
	regions.Lock()
	defer regions.Unlock()
	if r.refs--; r.refs > 0 {
		return nil
	}
	delete(regions.m, r.key)
	return r.Close()
}
