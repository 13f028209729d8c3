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

// sender is what a tx ring remembers. The slots of a packet whose end the program has not handed over wait from next to HwCur.
type sender struct {
	next  uint32 // the first slot that is not done with
	bad   bool   // dropping the rest of a packet of too many slots
	words [abi.MaxFrags]abi.SlotWord
}

// syncTx has the host receive the frames in the slots up to head, which are all free afterwards but one.
func (s *Stack) syncTx(r *kring.Ring) error {
	if err := s.trouble(); err != nil {
		return err
	}
	x, q := &s.tx[s.number(r)], s.cable.Load().tap.Queue(s.queue(r))
	var drops [kring.Reasons]uint64
	cut := false
	for x.next != r.Head() {
		n, whole := gather(r, x.next, r.Head(), &x.words)
		if !whole && n < abi.MaxFrags && n < r.N-1 {
			break // its end is still to come
		}
		why, err := kring.TooManyFrags, syscall.E2BIG
		if whole && !x.bad {
			why, err = deliver(q, r, x.words[:n])
		}
		if err != 0 && !x.bad { // the rest of a packet has been counted with its start
			drops[why]++
			cut = cut || err == syscall.EBADFD
		}
		x.bad = !whole
		acknowledge(r, x.next, x.words[:n])
		x.next = (x.next + n) % r.N
	}
	count(r, &drops)
	r.HwCur.Store(r.Head())
	r.HwTail.Store((x.next + r.N - 1) % r.N)
	if cut {
		return s.isCut()
	}
	return nil
}

// gather reads the slots of the packet that starts at slot k, as many as there are before slot end, and says whether it is whole.
func gather(r *kring.Ring, k, end uint32, words *[abi.MaxFrags]abi.SlotWord) (n uint32, whole bool) {
	for k != end && n < abi.MaxFrags {
		w := r.Slot(k).Word()
		words[n] = w
		n++
		if w.Flags()&abi.NSMoreFrag == 0 {
			return n, true
		}
		k = r.Next(k)
	}
	return n, false
}

// acknowledge takes in what the program says about slots.
func acknowledge(r *kring.Ring, k uint32, words []abi.SlotWord) {
	const said = abi.NSBufChanged | abi.NSReport
	for _, w := range words {
		if w.Flags()&said != 0 {
			r.Slot(k).Flags = w.Flags() &^ said
		}
		k = r.Next(k)
	}
}

// Send has the host receive the packet that starts at slot k of any ring and ends before slot end. It returns the slot after it.
func (s *Stack) Send(r *kring.Ring, k, end uint32) (next uint32) {
	var words [abi.MaxFrags]abi.SlotWord
	n, whole := gather(r, k, end, &words)
	why, err := kring.NotOpen, syscall.ENXIO
	if c := s.cable.Load(); !whole {
		why = kring.TooManyFrags
	} else if c != nil {
		why, err = deliver(c.tap.Queue(0), r, words[:n])
	}
	if err != 0 {
		r.Drops.Add(why, 1)
	}
	return (k + n) % r.N
}

// deliver writes a packet to the TAP, or says what is wrong with it.
func deliver(q *tap.Queue, r *kring.Ring, words []abi.SlotWord) (kring.Reason, syscall.Errno) {
	bufs, length := r.Bufs(), uint32(0)
	for _, w := range words {
		switch {
		case !bufs.Valid(w.BufIdx()):
			return kring.BadBuffer, syscall.EINVAL
		case uint32(w.Len()) > bufs.Size():
			return kring.BadLength, syscall.EINVAL
		}
		length += uint32(w.Len())
	}
	if length < etherHead {
		return kring.TooShort, syscall.EINVAL
	}
	if len(words) > 1 {
		return kring.LinkError, deliverPieces(q, r, words)
	}
	return kring.LinkError, q.Write(bufs.Bytes(words[0].BufIdx())[:length])
}

func deliverPieces(q *tap.Queue, r *kring.Ring, words []abi.SlotWord) syscall.Errno {
	var pieces [abi.MaxFrags][]byte
	for i, w := range words {
		pieces[i] = r.Bufs().Bytes(w.BufIdx())[:w.Len()]
	}
	return q.WritePieces(pieces[:len(words)])
}

// syncRx takes back the slots up to head and fills the free ones with what the host has sent.
func (s *Stack) syncRx(r *kring.Ring) error {
	if err := s.trouble(); err != nil {
		return err
	}
	r.HwCur.Store(r.Head())
	return s.receive(r, s.cable.Load().tap.Queue(s.queue(r)))
}

// receive reads frames into the slots from the tail on, as long as there is room for the longest. One that is longer still is
// lost.
func (s *Stack) receive(r *kring.Ring, q *tap.Queue) (err error) {
	tail := r.HwTail.Load()
	var drops [kring.Reasons]uint64
	for room := r.Room(); room >= s.span; {
		for i, k := 0, tail; i < int(s.span); i, k = i+1, r.Next(k) {
			q.Into(i, r.Bufs().Bytes(r.Slot(k).Word().BufIdx())[:s.cfg.Piece]) // buffer 0 if the program left none here
		}
		n, e := q.Read(int(s.span))
		if e != 0 {
			if e == syscall.EBADFD {
				err = s.isCut()
			}
			break
		}
		if uint32(n) > s.span*s.cfg.Piece {
			drops[kring.BadLength]++
			continue
		}
		next, torn := s.fill(r, tail, uint32(n))
		if torn {
			drops[kring.BadBuffer]++
		}
		room -= r.Dist(tail, next)
		tail = next
	}
	count(r, &drops)
	r.HwTail.Store(tail)
	return err
}

// fill describes a frame of n bytes in the slots from k on, and returns the first slot after it, and whether a part is lost
// because the program left a slot without a buffer.
func (s *Stack) fill(r *kring.Ring, k, n uint32) (next uint32, torn bool) {
	for {
		idx, length, flags := r.Slot(k).Word().BufIdx(), min(n, s.cfg.Piece), uint16(0)
		if n -= length; n > 0 {
			flags = abi.NSMoreFrag
		}
		if !r.Bufs().Valid(idx) {
			idx, length, torn = 0, 0, true
		}
		r.Slot(k).SetWord(abi.MakeSlotWord(idx, uint16(length), flags))
		if k = r.Next(k); n == 0 {
			return k, torn
		}
	}
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
