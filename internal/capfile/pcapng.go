package capfile

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"

	"github.com/gopacket/gopacket/layers"
)

// sectionMagic begins a pcapng file. It is the type of a block.
const sectionMagic = "\x0a\x0d\x0d\x0a"

// Blocks and options that are only read.
const (
	oldPacket    = 2 // the Packet Block, which is obsolete
	simplePacket = 3

	blockHeader = 8        // type and length
	maxBlock    = 16 << 20 // libpcap's limit

	ifFCSLen   = 13
	ifTsoffset = 14
	epbFlags   = 2
)

// pcapng is a file of sections. Each section describes its own interfaces.
type pcapng struct {
	order
	interfaces []source
}

// source is an interface of a section.
type source struct {
	link   layers.LinkType
	snap   uint32
	second uint64 // units of time in a second
	offset int64  // seconds to add
	fcs    int    // bytes of frame check sequence at the end of each packet
}

// openPcapng reads up to the first interface with Ethernet frames.
func openPcapng(r *Reader, live bool) (*pcapng, error) {
	f := &pcapng{}
	for {
		p, is, err := f.step(r)
		n := len(f.interfaces)
		switch {
		case err == io.EOF && n == 0 && r.packets == 0:
			return nil, errors.New("it describes no interface, and has no packet")
		case err == io.EOF:
			return nil, noEthernet(f.interfaces[n-1].link)
		case err != nil:
			return nil, err
		case is && live:
			return nil, noEthernet(p.link)
		case is:
			r.count(&p)
		case n > 0 && f.interfaces[n-1].link == ethernet:
			return f, nil
		}
	}
}

// step reads a block.
func (f *pcapng) step(r *Reader) (p Packet, is bool, err error) {
	r.release()
	kind, b, err := f.block(r)
	if err != nil {
		return p, false, err
	}
	switch kind {
	case sectionHeader:
		err = f.section(b)
	case interfaceDesc:
		err = f.describe(b)
	case enhancedPacket, oldPacket:
		p, err = f.packet(kind, b)
		is = err == nil
	case simplePacket:
		p, err = f.simple(b)
		is = err == nil
	}
	return p, is, err
}

// block reads a block, and returns its body. The type of a section is the same in both byte orders,
// and the section then tells its byte order.
func (f *pcapng) block(r *Reader) (kind uint32, body []byte, err error) {
	b, err := r.peek(blockHeader)
	if err != nil {
		return 0, nil, err
	}
	if kind = f.u32(b); kind == sectionHeader {
		if b, err = r.peek(blockHeader + 4); err != nil {
			return 0, nil, whole(err)
		}
		switch le.Uint32(b[blockHeader:]) {
		case byteOrder:
			f.big = false
		case bits.ReverseBytes32(byteOrder):
			f.big = true
		default:
			return 0, nil, fmt.Errorf("this is no pcapng file: % x is no order of bytes", b[blockHeader:])
		}
	}
	size := f.u32(b[4:])
	if size < blockHeader+blockTrailer || size%4 != 0 || size > maxBlock {
		return 0, nil, fmt.Errorf("a block of %d bytes: the file is damaged", size)
	}
	if b, err = r.take(int(size)); err != nil {
		return 0, nil, err
	}
	end := len(b) - blockTrailer
	// libpcap, too, accepts a section with a wrong length at its end.
	if again := f.u32(b[end:]); again != size && kind != sectionHeader {
		return 0, nil, fmt.Errorf("a block of %d bytes has %d of them at its end: the file is damaged",
			size, again)
	}
	return kind, b[blockHeader:end], nil
}

// section begins a section.
func (f *pcapng) section(b []byte) error {
	if len(b) < 16 {
		return errBlock(sectionHeader)
	}
	// Programs that have more types of blocks write version 1.2.
	if major, minor := f.u16(b[4:]), f.u16(b[6:]); major != 1 || minor != 0 && minor != 2 {
		return fmt.Errorf("a section of version %d.%d of pcapng: only 1.0 and 1.2 are known", major,
			minor)
	}
	f.interfaces = f.interfaces[:0]
	return nil
}

func errBlock(kind uint32) error {
	return fmt.Errorf("a block of type %d ends too early: the file is damaged", kind)
}

// describe adds an interface.
func (f *pcapng) describe(b []byte) error {
	if len(b) < 8 {
		return errBlock(interfaceDesc)
	}
	if len(f.interfaces) > math.MaxUint16 {
		return fmt.Errorf("a section with more than %d interfaces", len(f.interfaces))
	}
	s := source{link: layers.LinkType(f.u16(b)), snap: f.u32(b[4:]), second: 1e6}
	if s.snap == 0 || s.snap > MaxSnap {
		s.snap = MaxSnap
	}
	for b = b[8:]; len(b) > 0; {
		code, value, rest, ok := f.option(b)
		if !ok {
			return errBlock(interfaceDesc)
		}
		if code == optEnd {
			break
		}
		if err := s.set(f.order, code, value); err != nil {
			return err
		}
		b = rest
	}
	f.interfaces = append(f.interfaces, s)
	return nil
}

// option returns the first option, and the rest.
func (f *pcapng) option(b []byte) (code uint16, value, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	code, n := f.u16(b), int(f.u16(b[2:]))
	b = b[4:]
	if padded := (n + 3) &^ 3; padded <= len(b) {
		return code, b[:n], b[padded:], true
	}
	return 0, nil, nil, false
}

// set sets what an option says. Only these three options matter.
func (s *source) set(o order, code uint16, value []byte) error {
	if want := optionSizes[code]; want > 0 && len(value) != want {
		return fmt.Errorf("option %d of an interface has %d bytes, not %d", code, len(value), want)
	}
	switch code {
	case ifTsresol:
		return s.resolve(value[0])
	case ifTsoffset:
		s.offset = int64(o.u64(value))
	case ifFCSLen:
		// The specification says bits, but its example, 4, is bytes.
		if s.fcs = int(value[0]); s.fcs >= 16 {
			s.fcs /= 8
		}
	}
	return nil
}

// optionSizes are the sizes of options.
var optionSizes = map[uint16]int{ifTsresol: 1, ifFCSLen: 1, ifTsoffset: 8}

// resolve sets the unit of time: a negative power of 10 or, if the upper bit is set, of 2.
func (s *source) resolve(v byte) error {
	base, n := uint64(10), v
	if v&0x80 != 0 {
		base, n = 2, v&0x7f
	}
	s.second = 1
	for range n {
		hi, lo := bits.Mul64(s.second, base)
		if hi != 0 {
			return fmt.Errorf("an interface has times in %d^-%d s: a second of them does not fit in 64 bits",
				base, n)
		}
		s.second = lo
	}
	return nil
}

// time returns nanoseconds since 1970. Times are limited so that any two are less than an int64
// apart.
func (s *source) time(t uint64) int64 {
	const far = 4_600_000_000 // 145 years, in seconds
	hi, lo := bits.Mul64(t%s.second, 1e9)
	ns, _ := bits.Div64(hi, lo, s.second)
	seconds := int64(t/s.second + uint64(s.offset))
	return min(max(seconds, -far), far)*1e9 + int64(ns)
}

// packet reads an Enhanced Packet Block, or its obsolete predecessor.
func (f *pcapng) packet(kind uint32, b []byte) (p Packet, err error) {
	const header = 20
	if len(b) < header {
		return p, errBlock(kind)
	}
	id := f.u32(b)
	if kind == oldPacket {
		id = uint32(f.u16(b))
	}
	s, err := f.source(id)
	if err != nil {
		return p, err
	}
	if p.link = s.link; !p.IsEthernet() {
		return p, nil // a packet, which may be longer than a frame
	}
	kept, data := f.u32(b[12:]), b[header:]
	switch {
	case kept > MaxSnap:
		return p, tooLong(kept)
	case len(data) < int(kept):
		return p, errBlock(kind)
	}
	fcs := s.fcs
	if padded := int(kept+3) &^ 3; padded < len(data) {
		fcs = f.fcs(data[padded:], fcs)
	}
	p.Data = data[:kept]
	p.Time = s.time(uint64(f.u32(b[4:]))<<32 | uint64(f.u32(b[8:])))
	p.cut(f.u32(b[16:]), fcs)
	return p, nil
}

// fcs is the length of a packet's frame check sequence: what its options say, or else unsaid.
// Errors in the options do not affect the packet.
func (f *pcapng) fcs(options []byte, unsaid int) int {
	for {
		code, value, rest, ok := f.option(options)
		if !ok || code == optEnd {
			return unsaid
		}
		if code == epbFlags && len(value) == 4 {
			if n := f.u32(value) >> 5 & 15; n > 0 {
				return int(n)
			}
			return unsaid
		}
		options = rest
	}
}

// simple reads a Simple Packet Block: a packet of the first interface, without a time.
func (f *pcapng) simple(b []byte) (p Packet, err error) {
	if len(b) < 4 {
		return p, errBlock(simplePacket)
	}
	s, err := f.source(0)
	if err != nil {
		return p, err
	}
	p.link, p.Timeless = s.link, true
	if !p.IsEthernet() {
		return p, nil
	}
	length := f.u32(b)
	kept := min(length, s.snap)
	if uint64(len(b)-4) < uint64(kept) {
		return p, errBlock(simplePacket)
	}
	p.Data = b[4 : 4+kept]
	p.cut(length, s.fcs)
	return p, nil
}

func (f *pcapng) source(id uint32) (*source, error) {
	if id >= uint32(len(f.interfaces)) {
		return nil, fmt.Errorf("a packet of interface %d, which is not described before it", id)
	}
	return &f.interfaces[id], nil
}
