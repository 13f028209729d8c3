package mem

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// The size of a VALE port, or of one end of a pipe, if its program does not choose another.
const (
	portSlots = 1024
	portRings = 2
)

// FitsPort returns EINVAL for a region that has no room for one such port. The error names the pool
// that is too small, and its least sufficient size.
func (c Config) FitsPort() error {
	all := c.complete(Memory())
	for pool, fits := range map[int]func(*Region) bool{
		ringPool: func(r *Region) bool {
			p := &r.pools[ringPool]
			return p.num >= portRings*p.objects(ringBytes(portSlots))
		},
		bufPool: func(r *Region) bool { return r.pools[bufPool].usable >= portRings*portSlots },
	} {
		least, err := leastOf(pool, all, fits)
		if err != nil {
			return err
		}
		if name := poolNames[pool]; least > all[pool].Num {
			return fault.New(syscall.EINVAL, "make region", name,
				"%d are too few for a port of %d rings of %d slots: want at least %d; netmap serve --%s",
				all[pool].Num, portRings, portSlots, least, name)
		}
	}
	return nil
}

// leastOf returns the least number of objects of a pool, not below the present one, with which fits
// returns true.
func leastOf(pool int, all [3]Pool, fits func(*Region) bool) (uint32, error) {
	for {
		r := &Region{}
		if err := r.layOut(all); err != nil {
			return 0, err
		}
		if fits(r) {
			return all[pool].Num, nil
		}
		all[pool].Num++
	}
}
