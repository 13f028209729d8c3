package session

import (
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/oldapi"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// old is what a program of an old API finds in the region: an interface, and before API 10 rings,
// in the layouts of that API. Our own rings know nothing of it.
type old struct {
	api  *abi.API
	nifp mem.Object
	port *oldapi.Port // nil where the program knows our rings
}

// API is what the program speaks; nil for today's.
func (s *Session) API() *abi.API {
	if s.old == nil {
		return nil
	}
	return s.old.api
}

// cast gives the session the layouts of an API. The interface is that of a predecessor if there is
// one: a program that chooses other rings goes on using it.
func (s *Session) cast(api *abi.API, before *old) (err error) {
	o := &old{api: api}
	shape, region := port.ShapeOf(s.target.Port), s.target.Region
	if !api.NativeRing() {
		if o.port, err = s.target.oldPort(api, shape); err != nil {
			return err
		}
		if err = s.pair(o.port); err != nil {
			s.uncast(o)
			return err
		}
	}
	offsets := s.oldOffsets(o, shape)
	if before != nil {
		o.nifp, before.nifp = before.nifp, mem.Object{}
		oldapi.SetOffsets(api, o.nifp, offsets)
	} else if o.nifp, err = oldapi.NewIf(api, region, s.target.Shown(), shape, offsets); err != nil {
		s.uncast(o)
		return err
	}
	s.old, s.answer.Offset = o, o.nifp.Offset
	region.FreeIf(s.nifp)
	s.nifp = nil
	return nil
}

// oldPort finds or makes the rings of a port in the layout of an API.
func (t *Target) oldPort(api *abi.API, shape port.Shape) (*oldapi.Port, error) {
	for _, p := range t.old {
		if p.API == api {
			p.Users++
			return p, nil
		}
	}
	p, err := oldapi.New(api, t.Region, t.Shown(), shape)
	if err != nil {
		return nil, err
	}
	p.Users = 1
	t.old = append(t.old, p)
	return p, nil
}

// pair joins the bound rings with those of the old layout. There are none of host rings after the
// first: syncs do not look at these.
func (s *Session) pair(p *oldapi.Port) error {
	s.synced = [2][]bound{}
	for dir, rings := range s.rings {
		for _, r := range rings {
			o := p.Ring(r.Dir, r.ID)
			switch {
			case o == nil:
				continue
			case o.Slots() != r.N:
				return fault.New(syscall.EINVAL, "open", s.target.Title(),
					"%s has %d slots, other rings have %d", r.Name, r.N, o.Slots())
			}
			r.Hold()
			o.Join(r)
			r.Drop()
			s.synced[dir] = append(s.synced[dir], bound{Ring: r, viewed: true, old: o})
		}
	}
	return nil
}

// oldOffsets are where the program finds its rings: all of the port where they have an old layout,
// else the bound ones.
func (s *Session) oldOffsets(o *old, shape port.Shape) []uint64 {
	if o.port != nil {
		return o.port.Offsets()
	}
	tx := int(shape.TxRings) + 1
	offsets := make([]uint64, tx+int(shape.RxRings)+1)
	for _, r := range s.rings[abi.DirTx] {
		if r.ID <= shape.TxRings {
			offsets[r.ID] = r.Offset()
		}
	}
	for _, r := range s.rings[abi.DirRx] {
		if r.ID <= shape.RxRings {
			offsets[tx+int(r.ID)] = r.Offset()
		}
	}
	return offsets
}

// uncast undoes cast, before the rings are stopped.
func (s *Session) uncast(o *old) {
	for _, r := range slices.Concat(s.synced[:]...) {
		if r.old != nil {
			r.Hold()
			r.old.Leave(r.Ring)
			r.Drop()
		}
	}
	if len(o.nifp.Bytes) > 0 {
		s.target.Region.FreeObject(o.nifp)
	}
	if o.port == nil {
		return
	}
	if o.port.Users--; o.port.Users == 0 {
		s.target.old = slices.DeleteFunc(s.target.old, func(p *oldapi.Port) bool { return p == o.port })
		o.port.Free()
	}
}

// forgive, of an old API, clears the marks of rings that made no sense, where an API has such, and
// says whether there was one.
func (s *Session) forgive() (was bool) {
	if s.old.port == nil || !s.old.api.Reinits {
		return false
	}
	for dir := range s.synced {
		for i := range s.synced[dir] {
			if r := &s.synced[dir][i]; s.await(r) {
				was = r.old.ClearReinit() || was
				r.Drop()
			}
		}
	}
	return was
}

// has, of an old API, says whether any ring of an old layout has slots for the program already. Of
// one that programs of other layouts have, too, only a sync can tell.
func (s *Session) has(dir int, want int16) bool {
	return want != 0 && slices.ContainsFunc(s.synced[dir], func(r bound) bool {
		return r.old != nil && r.old.Ready() && !r.old.Shared(r.Ring)
	})
}
