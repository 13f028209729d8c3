package engine

import (
	"errors"
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/shadow"
)

// Shadow is a binding as a program of an old API has it: with an interface, and before API 10 with rings, in the layouts
// of that API, and its rules for syncs and poll. Our own rings know nothing of it.
type Shadow struct {
	b     *Binding
	api   *abi.API
	nifp  mem.Object
	port  *shadow.Port // nil where the program knows our rings
	rings [2][]shadowed
}

// shadowed is a bound ring and its shadow.
type shadowed struct {
	real *kring.Ring
	old  *shadow.Ring
}

// Shadow is how the binding's program has it, nil for one that knows our own layouts.
func (b *Binding) Shadow() *Shadow { return b.shadow }

// API is what the program speaks.
func (s *Shadow) API() *abi.API { return s.api }

// cast gives the binding its shadow. The interface is that of a predecessor if there is one: a program that chooses other
// rings goes on using it.
func (b *Binding) cast(api *abi.API, before *Shadow) (err error) {
	s := &Shadow{b: b, api: api}
	sh := b.shape()
	if !api.NativeRing() {
		if s.port, err = b.entry.shadowPort(api, b.entry.region, sh); err != nil {
			return err
		}
		if err = s.join(); err != nil {
			s.close()
			return err
		}
	}
	if before != nil {
		s.nifp, before.nifp = before.nifp, mem.Object{}
		shadow.SetOffsets(api, s.nifp, s.offsets(sh))
	} else if s.nifp, err = shadow.NewIf(api, b.entry.region, b.entry.shown(), sh, s.offsets(sh)); err != nil {
		s.close()
		return err
	}
	b.shadow, b.answer.Offset = s, s.nifp.Offset
	b.entry.region.FreeIf(b.nifp)
	b.nifp = nil
	return nil
}

// shape is the shape of the binding's port.
func (b *Binding) shape() shadow.Shape {
	is := port.ShapeOf(b.entry.port)
	return shadow.Shape{Rings: [2]int{int(is.TxRings), int(is.RxRings)}, Slots: [2]uint32{is.TxSlots, is.RxSlots}}
}

// shadowPort finds or makes the shadows of a port's rings.
func (p *entry) shadowPort(api *abi.API, region *mem.Region, sh shadow.Shape) (*shadow.Port, error) {
	for _, s := range p.shadows {
		if s.API == api {
			s.Users++
			return s, nil
		}
	}
	s, err := shadow.New(api, region, p.shown(), sh)
	if err != nil {
		return nil, err
	}
	s.Users = 1
	p.shadows = append(p.shadows, s)
	return s, nil
}

// join pairs the bound rings with their shadows. There are none of host rings after the first.
func (s *Shadow) join() error {
	for dir, rings := range s.b.rings {
		for _, r := range rings {
			old := s.port.Ring(kring.Dir(dir), r.ID)
			switch {
			case old == nil:
				continue
			case old.Slots() != r.N:
				return fault.New(syscall.EINVAL, "open", s.b.entry.title(),
					"%s has %d slots, other rings have %d", r.Name, r.N, old.Slots())
			}
			r.Hold()
			old.Join(r)
			r.Drop()
			s.rings[dir] = append(s.rings[dir], shadowed{r, old})
		}
	}
	return nil
}

// offsets are where the program finds its rings: all of them where they are shadows, else the bound ones.
func (s *Shadow) offsets(sh shadow.Shape) []uint64 {
	if s.port != nil {
		return s.port.Offsets()
	}
	tx := sh.Rings[abi.DirTx] + 1
	offsets := make([]uint64, tx+sh.Rings[abi.DirRx]+1)
	for dir, first := range []int{0, tx} {
		for _, r := range s.b.rings[dir] {
			if int(r.ID) <= sh.Rings[dir] {
				offsets[first+int(r.ID)] = r.Offset()
			}
		}
	}
	return offsets
}

// close undoes cast, before the rings are stopped.
func (s *Shadow) close() {
	for _, p := range slices.Concat(s.rings[:]...) {
		p.real.Hold()
		p.old.Leave(p.real)
		p.real.Drop()
	}
	if len(s.nifp.Bytes) > 0 {
		s.b.entry.region.FreeObject(s.nifp)
	}
	if s.port == nil {
		return
	}
	if s.port.Users--; s.port.Users == 0 {
		p := s.b.entry
		p.shadows = slices.DeleteFunc(p.shadows, func(o *shadow.Port) bool { return o == s.port })
		s.port.Free()
	}
}

// Rebind is a new binding to other rings of the same port, in place of this one, which is closed. What the program knows of
// the port stays where it is. When it fails, this one stays. Errors are those of Register.
func (s *Shadow) Rebind(req abi.Register) (*Binding, error) {
	e := s.b.eng
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.b.closed.Load() {
		return nil, s.b.closedError("open")
	}
	if req.Mode == abi.RegDefault || req.Mode > abi.RegOneSW {
		return nil, fault.New(syscall.EINVAL, "open", s.b.entry.title(), "mode %d is none", req.Mode)
	}
	b := &Binding{eng: e, entry: s.b.entry}
	if err := b.bind(&req, nil); err != nil {
		return nil, err
	}
	if err := b.cast(s.api, s); err != nil {
		b.release()
		return nil, err
	}
	b.entry.bindings = append(b.entry.bindings, b)
	e.unbind(s.b)
	return b, nil
}

// TxSync is Binding.TxSyncFrom.
func (s *Shadow) TxSync(m kring.Memory) error {
	if s.port == nil {
		return s.b.TxSyncFrom(m)
	}
	err := s.b.usable("txsync")
	if err != nil {
		return err
	}
	s.forgive()
	for i := range s.rings[abi.DirTx] {
		p := &s.rings[abi.DirTx][i]
		if !s.keep(p.real, p.real.TryHold()) {
			continue
		}
		if e := s.txSync(p, m); e != nil && e != errReinit {
			err = e
		}
		p.real.Drop()
	}
	return err
}

// RxSync is Binding.RxSync.
func (s *Shadow) RxSync() error {
	if s.port == nil {
		return s.b.RxSync()
	}
	err := s.b.usable("rxsync")
	if err != nil {
		return err
	}
	s.forgive()
	for i := range s.rings[abi.DirRx] {
		p := &s.rings[abi.DirRx][i]
		if !s.keep(p.real, p.real.TryHold()) {
			continue
		}
		if e := s.rxSync(p); e != nil && e != errReinit {
			err = e
		}
		p.real.Drop()
	}
	return err
}

// keep lets a ring go whose shadow is gone, because the binding has been closed meanwhile.
func (s *Shadow) keep(r *kring.Ring, held bool) bool {
	if held && s.b.closed.Load() {
		r.Drop()
		return false
	}
	return held && keep(r)
}

func (s *Shadow) await(r *kring.Ring) bool {
	r.Hold()
	return s.keep(r, true)
}

// errReinit stands for a ring that made no sense: POLLERR from poll, nothing from a sync.
var errReinit = errors.New("the ring made no sense")

// txSync and rxSync sync a ring that is held.
func (s *Shadow) txSync(p *shadowed, m kring.Memory) error {
	if !p.old.Begin(p.real) {
		return errReinit
	}
	defer p.old.Give(p.real)
	return finish(p.real, m)
}

func (s *Shadow) rxSync(p *shadowed) error {
	if !p.old.Begin(p.real) {
		return errReinit
	}
	s.b.forward(p.real)
	defer p.old.Give(p.real)
	return finishRx(p.real)
}

// forgive clears the marks of rings that made no sense, and says whether there was one.
func (s *Shadow) forgive() (was bool) {
	if !s.api.Reinits {
		return false
	}
	for _, rings := range s.rings {
		for i := range rings {
			if s.await(rings[i].real) {
				was = rings[i].old.Forgive() || was
				rings[i].real.Drop()
			}
		}
	}
	return was
}

// Poll is Binding.PollFrom. As the programs expect, it syncs no rings of a direction in which one has slots already, but
// sends pending frames.
func (s *Shadow) Poll(m kring.Memory, events int16) (ready int16) {
	switch {
	case s.port == nil:
		return s.b.PollFrom(m, events)
	case s.b.closed.Load(), s.b.csb.Load(), s.forgive():
		return PollErr
	}
	in, out := events&wantIn, events&wantOut
	if ready = s.ready(abi.DirRx, in); ready != 0 {
		in = 0
	}
	if got := s.ready(abi.DirTx, out); got != 0 {
		ready, out = ready|got, 0
	}
	if s.b.answer.Flags&abi.NRNoTxPoll == 0 || out != 0 {
		ready |= s.poll(abi.DirTx, out, func(p *shadowed) error {
			if out == 0 && !p.old.Pending() {
				return nil
			}
			return s.txSync(p, m)
		})
	}
	if in != 0 {
		ready |= s.poll(abi.DirRx, in, s.rxSync)
	}
	return ready
}

// ready is what is wanted if any ring has slots for the program already.
func (s *Shadow) ready(dir kring.Dir, want int16) int16 {
	if want != 0 && slices.ContainsFunc(s.rings[dir], func(p shadowed) bool { return p.old.Ready() && !p.old.Shared(p.real) }) {
		return want
	}
	return 0
}

// poll syncs all rings of a direction. What is wanted is ready when one has slots then.
func (s *Shadow) poll(dir kring.Dir, want int16, sync func(*shadowed) error) (ready int16) {
	for i := range s.rings[dir] {
		p := &s.rings[dir][i]
		if !s.await(p.real) {
			continue
		}
		if sync(p) != nil {
			ready |= PollErr
		}
		if p.old.Ready() {
			ready |= want
		}
		p.real.Drop()
	}
	return ready
}
