package registry

import (
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
)

// Extmem is memory of a program that becomes the region of a port (NETMAP_REQ_OPT_EXTMEM).
type Extmem struct {
	Bytes []byte // the memory cannot be made smaller
	Key   any    // equal for the same memory, whichever program passes it
	Pools mem.Config
	Free  func() error
}

// foreign is a region in a program's memory. It lives as long as there are ports in it.
type foreign struct {
	*mem.Region
	key any
}

// Region returns the framework's own region. It serves all ports that are not in a program's
// memory.
func (r *Registry) Region() *mem.Region { return r.region }

// Regions returns all regions.
func (r *Registry) Regions() []*mem.Region {
	all := []*mem.Region{r.region}
	for _, f := range r.foreign {
		all = append(all, f.Region)
	}
	return all
}

// RegionFor finds the region with the memory id of a request, or makes one in the program's memory
// x. An error with x is an OptionError that wraps the error of mem.Over. EINVAL for an unknown id.
// The caller must call Leave with the region.
func (r *Registry) RegionFor(op, name string, id uint16, x *Extmem) (*mem.Region, error) {
	if x != nil {
		region, err := r.adopt(x)
		if err != nil {
			return nil, &session.OptionError{Option: abi.OptExtmem, Err: err}
		}
		return region, nil
	}
	if id == 0 || id == r.region.ID() {
		return r.region, nil
	}
	if f, ok := r.foreign[id]; ok {
		return f.Region, nil
	}
	return nil, fault.New(syscall.EINVAL, op, name,
		"no memory region %d; the one for all is %d", id, r.region.ID())
}

// adopt makes a region in a program's memory, or finds the one that exists.
func (r *Registry) adopt(x *Extmem) (*mem.Region, error) {
	for _, f := range r.foreign {
		if f.key == x.Key {
			x.Free()
			return f.Region, nil
		}
	}
	id := r.region.ID() + 1
	for r.foreign[id] != nil && id != 0 {
		id++
	}
	if id == 0 {
		x.Free()
		return nil, fault.New(syscall.ENOMEM, "make region", "external memory",
			"there are %d regions already", len(r.foreign)+1)
	}
	region, err := mem.Over(id, x.Bytes, x.Pools, x.Free)
	if err != nil {
		return nil, err
	}
	r.foreign[id] = &foreign{region, x.Key}
	return region, nil
}

// Leave closes a region in a program's memory if it has no ports.
func (r *Registry) Leave(region *mem.Region) {
	f := r.foreign[region.ID()]
	if f == nil || f.Region != region {
		return
	}
	if !slices.ContainsFunc(r.Entries(), func(p *Entry) bool { return p.Region == region }) {
		delete(r.foreign, region.ID())
		region.Close()
	}
}

// Reachable returns EBUSY for a port in a region that the program may not have mapped. A device
// maps only one region, and a program maps others by itself.
func (r *Registry) Reachable(p *Entry, from *mem.Region, x *Extmem) error {
	switch {
	case p.Region == from, p.Region == r.region && x == nil:
		return nil
	case x != nil:
		return fault.New(syscall.EBUSY, "open", p.Title(),
			"it is open already, in other memory (region %d)", p.Region.ID())
	}
	return fault.New(syscall.EBUSY, "open", p.Title(),
		"its memory is a program's own (region %d); bring the same memory, or share that "+
			"program's mapping and ask for the region by its number", p.Region.ID())
}
