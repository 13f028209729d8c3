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

// sender is the state of a tx ring between syncs. The slots from next to HwCur belong to a packet
// whose last slot has not been handed over.
type sender struct {
	next    uint32 // the first slot that is not processed
	packets kring.Packets
}

// syncTx passes the frames in the slots up to head to the host. All slots but one are free
// afterwards, unless a packet is incomplete.
func (s *Stack) syncTx(r *kring.Ring, _ kring.Memory) error {
	if err := s.trouble(); err != nil {
		return err
	}
	x, q := &s.tx[s.number(r)], s.tap.Load().dev.Queue(s.queue(r))
	var drops [kring.Reasons]uint64
	frames, bytes, gone := uint64(0), uint64(0), false
	for x.next != r.Head() {
		packet, state := x.packets.Next(r, x.next, abi.MaxFrags)
		if state == kring.Pending {
			break
		}
		why, err := kring.TooManyFrags, syscall.E2BIG
		if state == kring.Whole {
			why, err = s.deliver(q, r, packet)
		}
		if state != kring.Rest { // a Rest was counted with its start
			frames++
			if err != 0 {
				drops[why]++
				gone = gone || err == syscall.EBADFD
			}
		}
		for _, p := range packet {
			bytes += uint64(p.Len())
		}
		acknowledge(r, x.next, packet)
		x.next = (x.next + uint32(len(packet))) % r.N
	}
	count(r, &drops)
	r.Traffic.Add(frames, bytes)
	r.HwCur.Store(r.Head())
	r.HwTail.Store((x.next + r.N - 1) % r.N)
	if gone {
		return s.tapDeleted()
	}
	return nil
}

// acknowledge clears the request flags of a packet's slots, whose first one is k.
func acknowledge(r *kring.Ring, k uint32, packet []kring.Fragment) {
	const said = abi.NSBufChanged | abi.NSReport | abi.NSForward
	for _, w := range packet {
		if w.Flags()&said != 0 {
			r.Slot(k).Flags = w.Flags() &^ said
		}
		k = r.Next(k)
	}
}

// Send passes a packet of any ring to the host. The packet starts at slot k and ends before slot
// end. Send returns the slot after it.
func (s *Stack) Send(r *kring.Ring, k, end uint32) (next uint32) {
	var memory [abi.MaxFrags]kring.Fragment
	packet, whole := r.Gather(k, end, memory[:])
	why, err := kring.NotOpen, syscall.ENXIO
	if c := s.tap.Load(); !whole {
		why = kring.TooManyFrags
	} else if c != nil {
		why, err = s.deliver(c.dev.Queue(0), r, packet)
	}
	if err != 0 {
		r.Drops.Add(why, 1)
	}
	return (k + uint32(len(packet))) % r.N
}

// deliver writes a packet to the TAP. If it cannot, it returns the reason for the drop and the
// errno.
func (s *Stack) deliver(q *tap.Queue, r *kring.Ring,
	packet []kring.Fragment) (kring.Reason, syscall.Errno) {
	bufs, length := r.Bufs(), uint32(0)
	for _, p := range packet {
		switch {
		case !bufs.Valid(p.BufIdx()):
			return kring.BadBuffer, syscall.EINVAL
		case uint32(p.Len()) > p.Room:
			return kring.BadLength, syscall.EINVAL
		}
		length += uint32(p.Len())
	}
	if length < etherHead {
		return kring.TooShort, syscall.EINVAL
	}
	if prefixed := s.prefixed.Load(); prefixed || len(packet) > 1 {
		return kring.LinkError, s.deliverPieces(q, r, packet, prefixed)
	}
	return kring.LinkError, q.Write(bytesOf(r, packet[0]))
}

func (s *Stack) deliverPieces(q *tap.Queue, r *kring.Ring, packet []kring.Fragment,
	prefixed bool) syscall.Errno {
	var pieces [1 + abi.MaxFrags][]byte
	n := 0
	if prefixed {
		pieces[0], n = s.prefixOf(bytesOf(r, packet[0])), 1
	}
	for _, p := range packet {
		pieces[n] = bytesOf(r, p)
		n++
	}
	return q.WritePieces(pieces[:n])
}

func bytesOf(r *kring.Ring, p kring.Fragment) []byte {
	return r.Bufs().Bytes(p.BufIdx())[p.Offset:][:p.Len()]
}

// syncRx releases the slots up to head and fills the free ones with frames that the host has sent.
func (s *Stack) syncRx(r *kring.Ring, _ kring.Memory) error {
	if err := s.trouble(); err != nil {
		return err
	}
	r.HwCur.Store(r.Head())
	return s.receive(r, s.tap.Load().dev.Queue(s.queue(r)))
}

// receive reads frames into the slots from the tail on while there is room for the longest frame. A
// frame that is longer than that room is dropped.
func (s *Stack) receive(r *kring.Ring, q *tap.Queue) (err error) {
	tail, span := r.HwTail.Load(), s.span(r)
	var drops [kring.Reasons]uint64
	frames, bytes := uint64(0), uint64(0)
	for room := r.Room(); room >= span; {
		most := s.offer(r, q, tail, span)
		n, e := q.Read(int(span))
		if e != 0 {
			if e == syscall.EBADFD {
				err = s.tapDeleted()
			}
			break
		}
		if uint32(n) > most {
			drops[kring.BadLength]++
			continue
		}
		next, torn := fill(r, q, tail, uint32(n))
		if torn {
			drops[kring.BadBuffer]++
		}
		room -= r.Dist(tail, next)
		tail = next
		frames, bytes = frames+1, bytes+uint64(n)
	}
	count(r, &drops)
	r.Traffic.Add(frames, bytes)
	r.HwTail.Store(tail)
	return err
}

// span returns the number of slots that the longest frame takes.
func (s *Stack) span(r *kring.Ring) uint32 {
	longest, least := uint32(s.cfg.MTU())+frameOverhead, max(min(r.LeastRoom(), s.cfg.Piece), 1)
	if longest <= least {
		return 1
	}
	return min((longest+least-1)/least, abi.MaxFrags, r.N-1)
}

// offer passes the buffers of span slots from k on to the next read, and returns how many bytes
// they hold.
func (s *Stack) offer(r *kring.Ring, q *tap.Queue, k, span uint32) (most uint32) {
	for i := range int(span) {
		slot := r.Slot(k)
		offset, room := r.Span(slot)
		room = min(room, s.cfg.Piece)
		// If the program has left no valid buffer here, this is buffer 0.
		q.Into(i, r.Bufs().Bytes(slot.Word().BufIdx())[offset:][:room])
		most += room
		k = r.Next(k)
	}
	return most
}

// fill describes a frame of n bytes that was read into the slots from k on. It returns the first
// slot after the frame, and whether a part is lost because a slot had no valid buffer.
func fill(r *kring.Ring, q *tap.Queue, k, n uint32) (next uint32, torn bool) {
	for i := 0; ; i++ {
		idx, length, flags := r.Slot(k).Word().BufIdx(), min(n, q.Room(i)), uint16(0)
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

// trouble returns the reason why no frame can move; nil if frames can.
func (s *Stack) trouble() error {
	if err := s.deleted.Load(); err != nil {
		return err
	}
	return s.cfg.Trouble()
}

// tapDeleted notes that somebody else has deleted the TAP, and returns the error for it.
func (s *Stack) tapDeleted() error {
	why := fault.New(syscall.EIO, reach, s.cfg.Name(),
		"the TAP interface that led there was deleted; open the port again")
	s.deleted.Store(why)
	s.wakeAll()
	return why
}
