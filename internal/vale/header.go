package vale

import (
	"encoding/binary"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
)

// A port's frames may have a virtio-net header in front. Between ports whose headers differ in length it is taken off,
// put on, or changed:
//
//	from 0 to 10 or 12   a header of zeros
//	from 10 to 12        two zeros behind it
//	from 12 to 10        the first 10 bytes
//	from 10 or 12 to 0   none; what it asks for is done here: a checksum is completed, a packet larger than a frame split
//
// A converted packet fills the receiver's slots anew, however it was cut.

const (
	maxHeader = 12
	// maxFlat is the largest packet whose header asks for something: a whole IP packet behind an Ethernet header with tags.
	maxFlat = 1<<16 + 64
	// maxFrame is what a receiver without headers gets at most when a packet is split.
	maxFrame = 1514
)

// Header is the length of the virtio-net header that the port's frames have.
func (p *Port) Header() uint32 { return p.header.Load() }

// SetHeader changes it, between two syncs: 0, 10 or 12 bytes, EINVAL for others.
func (p *Port) SetHeader(length uint32) error {
	if length != 0 && length != 10 && length != maxHeader {
		return fault.New(syscall.EINVAL, "set header of", p.Name, "%d bytes; a virtio-net header has 10 or 12, or is not there", length)
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

// headBehind is Bufs.Head of the packet in the words from first to end, behind the sender's header, which is in the first
// slot, and may be all that is.
func (s *sender) headBehind(first, end uint32) (lo uint64, hi uint32, ok bool) {
	w, skip := s.words[first%batch], s.header
	if uint32(w.Len()) == skip && end-first > 1 {
		w, skip = s.words[(first+1)%batch], 0
	}
	if uint32(w.Len()) < skip+etherHead {
		return 0, 0, false
	}
	b := s.bufs.Bytes(w.BufIdx())[skip:]
	return binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint32(b[8:]), true
}

// source reads a packet byte by byte: what is in front, then what is in the slots.
type source struct {
	s     *sender
	front []byte
	words []abi.SlotWord
	at    uint32 // in the first word's buffer
}

// left is how many bytes are to come.
func (r *source) left() int {
	n := len(r.front) - int(r.at)
	for _, w := range r.words {
		n += int(w.Len())
	}
	return n
}

// read fills b.
func (r *source) read(b []byte) {
	n := copy(b, r.front)
	r.front, b = r.front[n:], b[n:]
	for len(b) > 0 && len(r.words) > 0 {
		w := r.words[0]
		n := copy(b, r.s.bufs.Bytes(w.BufIdx())[r.at:w.Len()])
		if r.at += uint32(n); r.at == uint32(w.Len()) {
			r.words, r.at = r.words[1:], 0
		}
		b = b[n:]
	}
}

// skip passes over n bytes.
func (r *source) skip(n int) {
	front := min(n, len(r.front))
	r.front, n = r.front[front:], n-front
	for n > 0 && len(r.words) > 0 {
		here := min(n, int(r.words[0].Len())-int(r.at))
		n -= here
		if r.at += uint32(here); r.at == uint32(r.words[0].Len()) {
			r.words, r.at = r.words[1:], 0
		}
	}
}

// convert is packet for a receiver whose header differs from the sender's.
func (f *filler) convert(words []abi.SlotWord) int {
	n := 1
	for n < len(words) && words[n-1].Flags()&abi.NSMoreFrag != 0 {
		n++
	}
	src := source{s: f.s, words: words[:n]}
	var h [maxHeader]byte
	src.read(h[:f.from])
	if f.to > 0 {
		clear(h[10:])
		src.front = h[:f.to]
		f.stream(&src)
		return n
	}
	wish := parseOffload(h[:10])
	switch {
	case !wish.valid():
		f.badHeader++
	case wish.none():
		f.stream(&src)
	default:
		f.offload(&src, wish)
	}
	return n
}

// offload does what the header asks for.
func (f *filler) offload(src *source, wish offload) {
	size := src.left()
	if size > len(f.s.flat) {
		f.badHeader++
		return
	}
	packet := f.s.flat[:size] // ours: the sender may write its buffers at any time
	src.read(packet)
	if wish.kind == gsoNone {
		if !wish.complete(packet) {
			f.badHeader++
			return
		}
		src.front = packet
		f.stream(src)
		return
	}
	var split segments
	if !split.init(packet, wish, min(maxFrame, int(f.s.bufs.Size()))) {
		f.badHeader++
		return
	}
	if uint64(split.count()) > uint64(f.room) {
		f.lost++
		return
	}
	torn := uint64(0)
	for split.more() {
		slot, idx, buf := f.next()
		length := split.write(buf)
		if idx == 0 {
			torn = 1
		}
		slot.SetWord(abi.MakeSlotWord(idx, uint16(length), 1<<abi.NSPortShift))
	}
	f.torn += torn
}

// stream writes what is left of a packet into as many slots as it takes, all of it or nothing.
func (f *filler) stream(src *source) {
	size := src.left()
	most := min(int(f.s.bufs.Size()), 1<<16-1)
	n := (size + most - 1) / most
	if uint64(n) > uint64(f.room) {
		f.lost++
		return
	}
	torn := uint64(0)
	for i := n; i > 0; i-- {
		length := min(size, most)
		size -= length
		flags := uint16(n)<<abi.NSPortShift | abi.NSMoreFrag
		if i == 1 {
			flags &^= abi.NSMoreFrag
		}
		slot, idx, buf := f.next()
		if idx != 0 {
			src.read(buf[:length])
		} else {
			src.skip(length)
			length, torn = 0, 1
		}
		slot.SetWord(abi.MakeSlotWord(idx, uint16(length), flags))
	}
	f.torn += torn
}

// next takes the receiver's next slot, of which there is one. Without a buffer in it, the index is 0 and there is nowhere to
// write.
func (f *filler) next() (slot *abi.Slot, idx uint32, buf []byte) {
	slot = f.ring.Slot(f.tail)
	f.tail = f.ring.Next(f.tail)
	f.room--
	if idx = slot.Word().BufIdx(); !f.s.bufs.Valid(idx) {
		return slot, 0, nil
	}
	return slot, idx, f.s.bufs.Bytes(idx)
}
