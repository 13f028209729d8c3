package session

import (
	"math"
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/port"
)

// Offsets let frames start inside their buffers, at the offset in the slot's ptr
// (NETMAP_REQ_OPT_OFFSETS).
type Offsets struct {
	Max     uint64 // in bytes; Session.MaxOffset returns the maximum in effect
	Initial uint64 // for all slots of rings that no other session has
	Bits    uint32 // how many low bits of ptr are the offset; 0 means all
	MinGap  uint64 // bytes writable from an offset on; 0 means up to the buffer's end
}

// kringOffsets converts the option for rings. EINVAL if its values contradict each other.
func (o *Offsets) kringOffsets(name string, size uint32) (kring.Offsets, error) {
	const op = "use offsets on"
	if o.Bits > 64 {
		return kring.Offsets{}, fault.New(syscall.EINVAL, op, name,
			"%d bits; a slot's ptr has 64", o.Bits)
	}
	k := kring.Offsets{Mask: ^uint64(0), Max: uint32(min(o.Max, uint64(size))),
		Gap: uint32(min(o.MinGap, uint64(size)))}
	if o.Bits > 0 {
		k.Mask >>= 64 - o.Bits
	}
	switch {
	case o.Max > uint64(size):
		return k, fault.New(syscall.EINVAL, op, name,
			"offsets of up to %d bytes; a buffer has %d", o.Max, size)
	case o.Max&^k.Mask != 0:
		return k, fault.New(syscall.EINVAL, op, name,
			"offsets of up to %d bytes do not fit in %d bits", o.Max, o.Bits)
	case o.Initial > o.Max:
		return k, fault.New(syscall.EINVAL, op, name,
			"an initial offset of %d bytes is larger than the largest, %d", o.Initial, o.Max)
	}
	return k, nil
}

// setOffsets sets the offsets of all bound rings, or of none after an error, which is an
// OptionError. EBUSY if a ring has smaller offsets already.
func (s *Session) setOffsets(req *abi.Register, o *Offsets) error {
	err := s.ptrHasOneUse(req, o)
	switch {
	case o == nil:
		return err
	case err == nil:
		err = s.trySetOffsets(o)
	}
	if err != nil {
		return &OptionError{abi.OptOffsets, err}
	}
	return nil
}

func (s *Session) trySetOffsets(o *Offsets) error {
	name := s.target.Shown()
	want, err := o.kringOffsets(name, s.target.Region.Bufs.Size())
	if err != nil {
		return err
	}
	rings := s.all()
	for _, r := range rings {
		if have := r.Offsets(); have.Mask != 0 &&
			(have.Mask&want.Mask != want.Mask || have.Max < want.Max) {
			return fault.New(syscall.EBUSY, "use offsets on", name,
				"%s has offsets of up to %d bytes already, with mask %#x; ask for no "+
					"more", label(r), have.Max, have.Mask)
		}
	}
	if p, ok := s.target.Port.(port.OffsetAcceptor); ok {
		if err := p.AcceptOffsets(want.Max); err != nil {
			return err
		}
	}
	for _, r := range rings {
		n, _ := r.Users()
		if have := r.Offsets(); have.Mask != 0 {
			want = have
		}
		r.Hold()
		r.SetOffsets(want)
		if n == 1 && o.Initial > 0 {
			r.SetInitialOffset(uint32(o.Initial))
		}
		r.Drop()
	}
	return nil
}

// MaxOffset returns the largest offset in bytes that all bound rings allow; 0 if a ring has none.
func (s *Session) MaxOffset() int {
	most := uint32(math.MaxUint32)
	for _, r := range s.all() {
		most = min(most, r.Offsets().Max)
	}
	if most == math.MaxUint32 { // no rings
		return 0
	}
	return int(most)
}

// ptrHasOneUse returns EBUSY if a slot's ptr would have to be both an offset and a time stamp, for
// this program or for another one that has the port open.
func (s *Session) ptrHasOneUse(req *abi.Register, o *Offsets) error {
	stamps := req.Flags&abi.NRRxStamps != 0
	for _, other := range s.target.Sessions {
		stamps = stamps || other.answer.Flags&abi.NRRxStamps != 0
	}
	offsets := o != nil || slices.ContainsFunc(s.rings[abi.DirRx], (*kring.Ring).HasOffsets)
	if !stamps || !offsets {
		return nil
	}
	return fault.New(syscall.EBUSY, "use offsets on", s.target.Shown(),
		"time stamps of received frames stand where offsets would; use one of the two")
}
