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

// old is the netmap_if of a program of an old API, and its rings if the API is older than 10, in
// that API's layouts.
type old struct {
	api  *abi.API
	nifp mem.Object
	port *oldapi.Port // nil if the program uses today's rings
}

// API returns the API of the program; nil for today's.
func (s *Session) API() *abi.API {
	if s.old == nil {
		return nil
	}
	return s.old.api
}

// addLayout makes netmap_if and rings in the layouts of an API. A program that chooses other rings
// keeps the netmap_if of its previous session.
func (s *Session) addLayout(api *abi.API, before *old) (err error) {
	o := &old{api: api}
	shape, region := port.ShapeOf(s.target.Port), s.target.Region
	if !api.NativeRing() {
		if o.port, err = s.target.oldPort(api, shape); err != nil {
			return err
		}
		if err = s.pair(o.port); err != nil {
			s.removeLayout(o)
			return err
		}
	}
	offsets := s.oldOffsets(o, shape)
	if before != nil {
		o.nifp, before.nifp = before.nifp, mem.Object{}
		oldapi.SetOffsets(api, o.nifp, offsets)
	} else if o.nifp, err = oldapi.NewIf(api, region, s.target.Shown(), shape, offsets); err != nil {
		s.removeLayout(o)
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

// pair joins each bound ring with the ring in the old layout. Old layouts have only one host ring
// in each direction: other host rings are not synced.
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

// oldOffsets returns the offsets of the program's rings: of all rings of the port if they are in an
// old layout, otherwise of the bound rings.
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

// removeLayout undoes addLayout, before the rings are stopped.
func (s *Session) removeLayout(o *old) {
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

// clearReinits clears the flags of rings whose indexes were out of range (NR_REINIT), in APIs that
// have the flag. It reports whether one was set.
func (s *Session) clearReinits() (was bool) {
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

// has reports whether a ring in an old layout has slots for the program without a sync. A ring that
// is shared with programs of other layouts needs a sync.
func (s *Session) has(dir int, want int16) bool {
	return want != 0 && slices.ContainsFunc(s.synced[dir], func(r bound) bool {
		return r.old != nil && r.old.Ready() && !r.old.Shared(r.Ring)
	})
}
