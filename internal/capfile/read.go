package capfile

import (
	"bufio"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"github.com/gopacket/gopacket/layers"
)

// Reader reads a capture file, pcap or pcapng, zipped or not. It reads what libpcap reads, but only
// packets of Ethernet; its errors say what is wrong with other files. Unlike libpcap, it takes
// pcapng files with several link types, snapshot lengths or byte orders, and frames that are longer
// than the snapshot length.
type Reader struct {
	buf    *bufio.Reader
	used   int // bytes of buf that hold the last packet
	format format
	closer io.Closer // nil if the caller closes the file

	packets uint64 // so far
	others  uint64 // of them, those that are not Ethernet frames
}

// format is the format of a file. step reads a record or a block, which may be a packet.
type format interface {
	step(*Reader) (p Packet, is bool, err error)
}

// Packet is a packet of a file.
type Packet struct {
	Data     []byte // without its frame check sequence; valid until the next call
	Length   int    // of the captured packet: more than len(Data) if the file has only its beginning
	Time     int64  // in nanoseconds since 1970
	Timeless bool   // the file has no time for it
	Trimmed  bool   // the file has more bytes than the packet had
	FCS      int    // bytes of the frame check sequence that it had

	link layers.LinkType
}

// IsEthernet reports whether the packet is an Ethernet frame.
func (p *Packet) IsEthernet() bool { return p.link == ethernet }

// Errors of files.
var (
	errEmpty = errors.New("the file is empty")
	errShort = fmt.Errorf("the file is cut short: %w", io.ErrUnexpectedEOF)
)

// Stdin is the name that stands for standard input.
const Stdin = "-"

// Open opens a file. Errors are those of os.Open, and errors for files of another format.
func Open(name string) (*Reader, error) {
	f := os.Stdin
	if name != Stdin {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
	}
	r, err := newReader(f, name == Stdin)
	if err != nil {
		f.Close()
		if named := new(fs.PathError); errors.As(err, &named) { // the error has the name already
			err = named.Err
		}
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	r.closer = f
	return r, nil
}

// NewReader reads a file that the caller closes.
func NewReader(from io.Reader) (*Reader, error) { return newReader(from, false) }

// ahead is how many bytes are read at a time. It holds the longest record of a pcap file.
const ahead = 1 << 20

// newReader opens a file of Ethernet frames. Other packets may come before them, unless the file is
// live: then Ethernet frames might never come.
func newReader(from io.Reader, live bool) (*Reader, error) {
	r := &Reader{buf: bufio.NewReaderSize(from, ahead)}
	if start, _ := r.buf.Peek(len(zipped)); string(start) == zipped {
		z, err := gzip.NewReader(r.buf)
		if err != nil {
			return nil, whole(err)
		}
		r.buf = bufio.NewReaderSize(z, ahead)
	}
	start, err := r.peek(4)
	switch {
	case err == io.EOF:
		return nil, errEmpty
	case err != nil:
		return nil, err
	case string(start) == sectionMagic:
		r.format, err = openPcapng(r, live)
	default:
		r.format, err = openPcap(r)
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Next returns the next packet, of any link type. At the end of the file it returns io.EOF. Other
// errors say after which packet they are.
func (r *Reader) Next() (Packet, error) {
	for {
		p, is, err := r.format.step(r)
		switch {
		case err == io.EOF:
			return p, err
		case err != nil:
			return p, fmt.Errorf("after packet %d: %w", r.packets, err)
		case is:
			r.count(&p)
			return p, nil
		}
	}
}

func (r *Reader) count(p *Packet) {
	r.packets++
	if !p.IsEthernet() {
		r.others++
	}
}

// Packets returns how many packets have been read, and how many of them are not Ethernet frames.
func (r *Reader) Packets() (all, others uint64) { return r.packets, r.others }

// Buffered returns how many bytes of the file are in memory and can be read without waiting.
func (r *Reader) Buffered() int { return r.buf.Buffered() - r.used }

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// release discards the last packet.
func (r *Reader) release() {
	r.buf.Discard(r.used) // cannot fail: the bytes are in the buffer
	r.used = 0
}

// peek returns the next n bytes, without reading past them. The error is io.EOF if the file ends
// before them.
func (r *Reader) peek(n int) ([]byte, error) {
	b, err := r.buf.Peek(n)
	if err == io.EOF && len(b) == 0 {
		return nil, err
	}
	return b, whole(err)
}

// whole turns the end of the file into the error for a truncated file.
func whole(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errShort
	}
	return err
}

// take returns the next n bytes, which are valid until the next call. If they do not fit into the
// buffer, they get memory of their own.
func (r *Reader) take(n int) ([]byte, error) {
	if n > ahead {
		b := make([]byte, n)
		_, err := io.ReadFull(r.buf, b)
		return b, whole(err)
	}
	b, err := r.peek(n)
	if err == nil {
		r.used = n
	}
	return b, whole(err)
}

// cut limits a packet to its length on the wire, and removes the fcs bytes of frame check sequence
// at its end.
func (p *Packet) cut(length uint32, fcs int) {
	p.Length = int(min(length, math.MaxInt32))
	if p.Trimmed = p.Length < len(p.Data); p.Trimmed {
		p.Data = p.Data[:p.Length]
	}
	p.FCS = min(p.Length, fcs)
	p.Length -= p.FCS
	p.Data = p.Data[:min(len(p.Data), p.Length)]
}

// noEthernet is the error of a file whose packets are not Ethernet frames.
func noEthernet(link layers.LinkType) error {
	if name := link.String(); name != layers.LinkType(math.MaxUint16).String() {
		return fmt.Errorf("its packets are of link type %d, %s, not Ethernet frames", link, name)
	}
	return fmt.Errorf("its packets are of link type %d, not Ethernet frames", link)
}

// order is the byte order of a file.
type order struct{ big bool }

func (o order) u16(b []byte) uint16 {
	if o.big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (o order) u32(b []byte) uint32 {
	if o.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (o order) u64(b []byte) uint64 {
	if o.big {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}
