package vale

import (
	"encoding/binary"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/vnethdr"
)

// A port's frames may have a virtio-net header in front. Between ports whose headers differ in
// length it is taken off, put on, or changed:
//
//	from 0 to 10 or 12   a header of zeros
//	from 10 to 12        two zeros behind it
//	from 12 to 10        the first 10 bytes
//	from 10 or 12 to 0   none; its offloads are done here (package vnethdr)
//
// A converted packet fills the receiver's slots anew, however it was cut. So does one between ports
// whose buffers are not the same pool, or whose frames start inside of their buffers.

const (
	// maxFlat is the largest packet whose header asks for something: a whole IP packet behind an
	// Ethernet header with tags.
	maxFlat = 1<<16 + 64
	// maxFrame is what a receiver without headers gets at most when a packet is split.
	maxFrame = 1514
)

// Header is the length of the virtio-net header that the port's frames have.
func (p *Port) Header() uint32 { return p.header.Load() }

// SetHeader changes it, between two syncs: 0, 10 or 12 bytes, EINVAL for others.
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

// headBehind is Bufs.Head of the packet in the words from first to end, behind the sender's header,
// which is in the first slot, and may be all that is.
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

// source reads a packet byte by byte: what is in front, then what is in the slots.
type source struct {
	s          *sender
	front      []byte
	first, end uint32 // words
	at         uint32 // in the first word's frame
}

// left is how many bytes are to come.
func (r *source) left() int {
	n := len(r.front) - int(r.at)
	for i := r.first; i < r.end; i++ {
		n += r.length(i)
	}
	return n
}

func (r *source) length(i uint32) int { return int(r.s.words[i%batch].Len()) }

// take passes over n bytes of the first word's frame, which has as many.
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

// convertAll is run for a receiver whose slots are filled anew.
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

// offload does what the header asks for.
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

// stream writes what is left of a packet into as many slots as it takes, all of it or nothing.
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

// slotsFor is how many of the receiver's next slots a packet of that size takes: more than there
// are if they do not suffice.
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

// mostInSlot is what a slot's length can say.
const mostInSlot = 1<<16 - 1

// next takes the receiver's next slot, of which there is one, and the part of its buffer where a
// frame may be written. Without a buffer in it, the index is 0 and nothing may be written.
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
