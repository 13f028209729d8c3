package vale

import (
	"encoding/binary"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/vnethdr"
)

// A port's frames may start with a virtio-net header. Between ports whose headers differ in length
// the switch converts it:
//
//	from 0 to 10 or 12   a header of zeros
//	from 10 to 12        two zeros behind it
//	from 12 to 10        the first 10 bytes
//	from 10 or 12 to 0   none; its offloads are done here (package vnethdr)
//
// A converted packet is cut to the receiver's slots, however the sender cut it. So is a packet
// between ports with different buffer pools, or whose frames start inside their buffers.

const (
	// maxFlat is the largest packet whose header requests offloads: a whole IP packet behind an
	// Ethernet header with tags.
	maxFlat = 1<<16 + 64
	// maxFrame is the largest frame for a receiver without headers when a packet is split.
	maxFrame = 1514
)

// Header returns the length of the virtio-net header of the port's frames.
func (p *Port) Header() uint32 { return p.header.Load() }

// SetHeader changes the length of the header, between two syncs: 0, 10 or 12 bytes, EINVAL for
// others.
func (p *Port) SetHeader(length uint32) error {
	if !vnethdr.ValidLength(length) {
		return fault.New(syscall.EINVAL, "set header of", p.Name,
			"%d bytes; a virtio-net header has 10 or 12, or is not there", length)
	}
	for _, r := range p.rings[abi.DirTx] {
		r.Hold()
		defer r.Drop()
	}
	for _, s := range p.senders {
		if length > 0 && s.flat == nil {
			s.flat = make([]byte, maxFlat)
		}
	}
	p.header.Store(length)
	return nil
}

// headBehind is Bufs.Head of the packet in the words from first to end, without the sender's
// header. The header is in the first slot, and that slot may hold nothing else.
func (s *sender) headBehind(first, end uint32) (lo uint64, hi uint32, ok bool) {
	skip := s.header
	if skip > 0 && uint32(s.words[first%batch].Len()) == skip && end-first > 1 {
		first, skip = first+1, 0
	}
	if uint32(s.words[first%batch].Len()) < skip+etherHead {
		return 0, 0, false
	}
	b := s.data(first)[skip:]
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), true
}

// source reads a packet byte by byte: first the bytes in front, then those in the slots.
type source struct {
	s          *sender
	front      []byte
	first, end uint32 // words
	at         uint32 // in the first word's frame
}

// left returns the number of bytes that are not read yet.
func (r *source) left() int {
	n := len(r.front) - int(r.at)
	for i := r.first; i < r.end; i++ {
		n += r.length(i)
	}
	return n
}

func (r *source) length(i uint32) int { return int(r.s.words[i%batch].Len()) }

// take passes over n bytes of the first word's frame, which has at least n bytes.
func (r *source) take(n int) {
	if r.at += uint32(n); int(r.at) == r.length(r.first) {
		r.first, r.at = r.first+1, 0
	}
}

// read fills b.
func (r *source) read(b []byte) {
	n := copy(b, r.front)
	r.front, b = r.front[n:], b[n:]
	for len(b) > 0 && r.first < r.end {
		n := copy(b, r.s.data(r.first)[r.at:r.length(r.first)])
		r.take(n)
		b = b[n:]
	}
}

// skip passes over n bytes.
func (r *source) skip(n int) {
	front := min(n, len(r.front))
	r.front, n = r.front[front:], n-front
	for n > 0 && r.first < r.end {
		here := min(n, r.length(r.first)-int(r.at))
		n -= here
		r.take(here)
	}
}

// convertAll is run for a receiver whose slots do not match the sender's.
func (f *filler) convertAll(r run) {
	for first := uint32(r.first); first < uint32(r.end); {
		end := min(f.s.packetEnd(first, uint32(r.end)), uint32(r.end))
		f.convert(first, end)
		first = end
	}
}

// convert is packet for such a receiver.
func (f *filler) convert(first, end uint32) {
	src := source{s: f.s, first: first, end: end}
	if f.from == f.to {
		f.stream(&src)
		return
	}
	var h [vnethdr.MaxLength]byte
	src.read(h[:f.from])
	if f.to > 0 {
		clear(h[vnethdr.MinLength:])
		src.front = h[:f.to]
		f.stream(&src)
		return
	}
	wish := vnethdr.Parse(h[:vnethdr.MinLength])
	switch {
	case !wish.Valid():
		f.badHeader++
	case wish.None():
		f.stream(&src)
	default:
		f.offload(&src, wish)
	}
}

// offload does what the header requests.
func (f *filler) offload(src *source, wish vnethdr.Offload) {
	size := src.left()
	if size > len(f.s.flat) {
		f.badHeader++
		return
	}
	packet := f.s.flat[:size] // ours: the sender may write its buffers at any time
	src.read(packet)
	if !wish.Splits() {
		if !wish.Complete(packet) {
			f.badHeader++
			return
		}
		src.front = packet
		f.stream(src)
		return
	}
	var split vnethdr.Segments
	if !split.Init(packet, wish, min(maxFrame, int(f.ring.LeastRoom()))) {
		f.badHeader++
		return
	}
	if uint64(split.Count()) > uint64(f.room) {
		f.lost++
		return
	}
	torn := uint64(0)
	for split.More() {
		slot, idx, buf := f.next()
		if idx == 0 {
			buf, torn = nil, 1
		}
		length := split.Write(buf)
		slot.SetWord(abi.MakeSlotWord(idx, uint16(length), 1<<abi.NSPortShift))
		f.frames++
		f.bytes += uint64(length)
	}
	f.torn += torn
}

// stream writes the rest of a packet into as many slots as it takes, all of it or nothing.
func (f *filler) stream(src *source) {
	n := f.slotsFor(src.left())
	if n > f.room {
		f.lost++
		return
	}
	torn := uint64(0)
	flags := uint16(n)<<abi.NSPortShift | abi.NSMoreFrag
	for i := n; i > 0; i-- {
		if i == 1 {
			flags &^= abi.NSMoreFrag
		}
		slot, idx, buf := f.next()
		length := min(src.left(), len(buf))
		if idx != 0 {
			src.read(buf[:length])
		} else {
			src.skip(length)
			length, torn = 0, 1
		}
		slot.SetWord(abi.MakeSlotWord(idx, uint16(length), flags))
		f.bytes += uint64(length)
	}
	f.frames++
	if src.left() > 0 { // the receiver changed its offsets meanwhile
		torn = 1
	}
	f.torn += torn
}

// slotsFor returns the number of the receiver's next slots that a packet of that size takes, or
// more than there are if they do not suffice.
func (f *filler) slotsFor(size int) (n uint32) {
	for k := f.tail; size > 0; k = f.ring.Next(k) {
		if n == f.room || n == abi.MaxFrags {
			return f.room + 1
		}
		_, room := f.ring.Span(f.ring.Slot(k))
		size -= int(min(room, mostInSlot))
		n++
	}
	return n
}

// mostInSlot is the largest length in a slot.
const mostInSlot = 1<<16 - 1

// next takes the receiver's next slot, which must be free, and returns the part of its buffer where
// a frame may be written. If the slot has no buffer, the index is 0 and nothing may be written.
func (f *filler) next() (slot *abi.Slot, idx uint32, buf []byte) {
	slot = f.ring.Slot(f.tail)
	f.tail = f.ring.Next(f.tail)
	f.room--
	idx = slot.Word().BufIdx()
	at, room := f.ring.Span(slot)
	bufs := f.ring.Bufs()
	if !bufs.Valid(idx) {
		idx = 0
	}
	return slot, idx, bufs.Bytes(idx)[at : at+min(room, mostInSlot)]
}
