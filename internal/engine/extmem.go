package engine

import (
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
)

// Extmem is memory of a program's that is to be the region of a port. // NETMAP_REQ_OPT_EXTMEM
type Extmem struct {
	Bytes []byte // nobody can make it smaller
	Key   any    // equal for the same memory, whoever comes with it
	Pools mem.Config
	Free  func() error
}

// foreign is a region in a program's memory. It lives as long as there are ports in it.
type foreign struct {
	*mem.Region
	key any
}

// wish is where a new port's memory is to come from.
type wish struct {
	region *mem.Region
	asked  bool // the program named the region, so it knows where its memory is
}

// regionWish finds the region that a request means: that of its memory id, or a new one in memory that the program
// brings. EINVAL for an id that no region has, and the errors of mem.Over. The caller calls leave when it is done.
func (e *Engine) regionWish(op, name string, id uint16, x *Extmem) (wish, error) {
	if x != nil {
		region, err := e.adopt(x)
		if err != nil {
			return wish{}, &session.OptionError{Option: abi.OptExtmem, Err: err}
		}
		return wish{region, true}, nil
	}
	if id == 0 || id == e.region.ID() {
		return wish{e.region, false}, nil
	}
	if f, ok := e.foreign[id]; ok {
		return wish{f.Region, true}, nil
	}
	return wish{}, fault.New(syscall.EINVAL, op, name, "no memory region %d; the one for all is %d", id, e.region.ID())
}

// adopt makes a region of a program's memory, or finds the one that is there already.
func (e *Engine) adopt(x *Extmem) (*mem.Region, error) {
	for _, f := range e.foreign {
		if f.key == x.Key {
			x.Free()
			return f.Region, nil
		}
	}
	id := e.region.ID() + 1
	for e.foreign[id] != nil && id != 0 {
		id++
	}
	if id == 0 {
		x.Free()
		return nil, fault.New(syscall.ENOMEM, "make region", "external memory", "there are %d regions already", len(e.foreign)+1)
	}
	r, err := mem.Over(id, x.Bytes, x.Pools, x.Free)
	if err != nil {
		return nil, err
	}
	e.foreign[id] = &foreign{r, x.Key}
	return r, nil
}

// leave closes a program's region in which there are no ports any more.
func (e *Engine) leave(r *mem.Region) {
	f := e.foreign[r.ID()]
	if f == nil || f.Region != r {
		return
	}
	if !slices.ContainsFunc(e.entries(), func(p *entry) bool { return p.Region == r }) {
		delete(e.foreign, r.ID())
		r.Close()
	}
}

// reachable says EBUSY for a port whose memory the program does not know to be where it is: a device can map but one
// region, so those who have no mapping of another cannot use a port in it.
func (w wish) reachable(p *entry, own *mem.Region, x *Extmem) error {
	switch {
	case p.Region == w.region, p.Region == own && x == nil:
		return nil
	case x != nil:
		return fault.New(syscall.EBUSY, "open", p.Title(),
			"it is open already, in other memory (region %d)", p.Region.ID())
	}
	return fault.New(syscall.EBUSY, "open", p.Title(),
		"its memory is a program's own (region %d); bring the same memory, or share that "+
			"program's mapping and ask for the region by its number", p.Region.ID())
}

// PoolsInfo describes the region of that number. EINVAL if there is none. // NETMAP_REQ_POOLS_INFO_GET
func (e *Engine) PoolsInfo(id uint16) (abi.PoolsInfo, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w, err := e.regionWish("describe", "", id, nil)
	if err != nil {
		return abi.PoolsInfo{}, err
	}
	return w.region.Info(), nil
}
