package mem

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// What a VALE port has, or an end of a pipe, if its program asks for nothing else.
const (
	portSlots = 1024
	portRings = 2
)

// FitsPort says EINVAL for a region in which not even one such port has room, with the least number
// of what is short.
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

// leastOf is how many objects of a pool it takes, at least as many as there are.
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
