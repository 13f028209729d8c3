//go:build linux

package hoststack

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/tap"
)

const etherHead = 14

// syncTx has the host receive what is in the slots up to head. All slots but one are free afterwards.
func (s *Stack) syncTx(r *kring.Ring) error {
	if err := s.trouble(); err != nil {
		return err
	}
	q := s.cable.Load().tap.Queue(s.queue(r))
	cut, fragment := false, false
	var drops [kring.Reasons]uint64
	for k, head := r.HwCur.Load(), r.Head(); k != head; k = r.Next(k) {
		w := r.Slot(k).Word()
		more := w.Flags()&abi.NSMoreFrag != 0
		switch why, err := deliver(q, r, w, more || fragment); {
		case err == syscall.EBADFD:
			cut = true
		case err != 0:
			drops[why]++
		}
		fragment = more
		if w.Flags()&(abi.NSBufChanged|abi.NSReport) != 0 {
			r.Slot(k).Flags = w.Flags() &^ (abi.NSBufChanged | abi.NSReport)
		}
	}
	count(r, &drops)
	r.HwCur.Store(r.Head())
	r.HwTail.Store((r.Head() + r.N - 1) % r.N)
	if cut {
		return s.isCut()
	}
	return nil
}

// Send has the host receive the frame of a slot of any ring, and says whether it could.
func (s *Stack) Send(r *kring.Ring, w abi.SlotWord) bool {
	c := s.cable.Load()
	if c == nil {
		r.Drops.Add(kring.NotOpen, 1)
		return false
	}
	why, err := deliver(c.tap.Queue(0), r, w, w.Flags()&abi.NSMoreFrag != 0)
	if err != 0 {
		r.Drops.Add(why, 1)
	}
	return err == 0
}

// deliver writes a slot's frame to the TAP, or says what is wrong with it.
func deliver(q *tap.Queue, r *kring.Ring, w abi.SlotWord, fragment bool) (kring.Reason, syscall.Errno) {
	bufs := r.Bufs()
	switch {
	case fragment:
		return kring.TooManyFrags, syscall.EINVAL
	case !bufs.Valid(w.BufIdx()):
		return kring.BadBuffer, syscall.EINVAL
	case uint32(w.Len()) > bufs.Size():
		return kring.BadLength, syscall.EINVAL
	case w.Len() < etherHead:
		return kring.TooShort, syscall.EINVAL
	}
	return kring.LinkError, q.Write(bufs.Bytes(w.BufIdx())[:w.Len()])
}

// syncRx takes back the slots up to head and fills the free ones with what the host has sent.
func (s *Stack) syncRx(r *kring.Ring) error {
	if err := s.trouble(); err != nil {
		return err
	}
	r.HwCur.Store(r.Head())
	return s.receive(r, s.cable.Load().tap.Queue(s.queue(r)))
}

// receive reads frames into the slots from the tail on. One that is longer than a buffer is lost.
func (s *Stack) receive(r *kring.Ring, q *tap.Queue) (err error) {
	bufs, tail := r.Bufs(), r.HwTail.Load()
	var drops [kring.Reasons]uint64
	for room := r.Room(); room > 0; {
		idx := r.Slot(tail).Word().BufIdx()
		b := bufs.Bytes(idx) // buffer 0 if the program left none here
		n, e := q.Read(b)
		if e != 0 {
			if e == syscall.EBADFD {
				err = s.isCut()
			}
			break
		}
		if n > len(b) {
			drops[kring.BadLength]++
			continue
		}
		if !bufs.Valid(idx) {
			drops[kring.BadBuffer]++
			idx, n = 0, 0
		}
		r.Slot(tail).SetWord(abi.MakeSlotWord(idx, uint16(n), 0))
		tail = r.Next(tail)
		room--
	}
	count(r, &drops)
	r.HwTail.Store(tail)
	return err
}

func count(r *kring.Ring, drops *[kring.Reasons]uint64) {
	for why, n := range drops {
		r.Drops.Add(kring.Reason(why), n)
	}
}

// trouble is why nothing can move.
func (s *Stack) trouble() error {
	if cut := s.cut.Load(); cut != nil {
		return cut
	}
	return s.cfg.Trouble()
}

// isCut notes that somebody else has deleted the TAP.
func (s *Stack) isCut() error {
	why := fault.New(syscall.EIO, "reach the host stack of", s.cfg.Name, "the TAP interface that led there was deleted; open the port again")
	s.cut.Store(why)
	s.Wake()
	return why
}
