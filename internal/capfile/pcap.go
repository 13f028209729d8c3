package capfile

import (
	"fmt"

	"github.com/gopacket/gopacket/layers"
)

// Magic numbers of pcap files, in either byte order.
const (
	pcapMicros    = 0xa1b2c3d4
	pcapKuznetzov = 0xa1b2cd34 // of old patched versions of libpcap: longer packet headers
)

// zipped is the magic number of gzip.
const zipped = "\x1f\x8b"

// otherFormats are other kinds of files, with their magic numbers and advice.
var otherFormats = []struct{ magic, is string }{
	{"\x28\xb5\x2f\xfd", "packed with zstd: unpack it first, zstd -dc FILE, and read it from -"},
	{"\x04\x22\x4d\x18", "packed with lz4: unpack it first, lz4 -dc FILE, and read it from -"},
	{"\xfd7zX", "packed with xz: unpack it first, xz -dc FILE, and read it from -"},
	{"BZh", "packed with bzip2: unpack it first, bzip2 -dc FILE, and read it from -"},
	{"\xac\x01\x00\x1c", ixia}, {"\x1c\x00\x01\xac", ixia},
	{"\xab\x01\x00\x1c", ixia}, {"\x1c\x00\x01\xab", ixia},
	{"snoo", "a file of snoop" + convert}, {"GMBU", "a file of Network Monitor" + convert},
	{"RTSS", "a file of Network Monitor" + convert}, {"XCP\x00", "a file of NetXRay" + convert},
	{"TRSN", "a file of a Sniffer" + convert},
	{"\xa1\x2b\x3c\x4d", navtel}, {"\x4d\x3c\x2b\xa1", navtel},
	{"\xa1\xb2\x34\xcd", mesquita}, {"\xcd\x34\xb2\xa1", mesquita},
	{"\xa1\xb2\xc3\xcb", filterFile}, {"\xcb\xc3\xb2\xa1", filterFile},
}

const (
	convert    = ": make it a pcapng file first, with Wireshark's editcap FILE NEW"
	ixia       = "a file of an IXIA" + convert
	navtel     = "pcap as Navtel has it, which libpcap does not read either"
	mesquita   = "pcap as F. Mesquita has it, which libpcap does not read either"
	filterFile = "a filter that libpcap saved, not packets"
)

// pcap is a file of the old format.
type pcap struct {
	order
	header  int   // bytes of a packet header
	unit    int64 // of the lower half of a time, in nanoseconds
	lengths lengths
	fcs     int // bytes of frame check sequence at the end of each packet
}

// lengths is the order of the two lengths in a packet header. Version 2.3 swapped them, but some of
// its files have the old order.
type lengths int

const (
	keptFirst lengths = iota
	realFirst
	shorterFirst
)

const (
	fileHeader      = 24
	kuznetzovHeader = 24
)

// openPcap reads the header of a file.
func openPcap(r *Reader) (*pcap, error) {
	magic, err := r.peek(4)
	if err != nil {
		return nil, whole(err)
	}
	f := &pcap{header: pcapHeader, unit: 1000}
	f.big = magic[0] == pcapMicros>>24
	switch f.u32(magic) {
	case pcapMicros:
	case pcapNanosec:
		f.unit = 1
	case pcapKuznetzov:
		f.header = kuznetzovHeader
	default:
		return nil, notCapture(magic)
	}
	b, err := r.take(fileHeader)
	if err != nil {
		return nil, err
	}
	return f, f.parse(b)
}

// notCapture is the error of a file that is neither pcap nor pcapng.
func notCapture(b []byte) error {
	for _, s := range otherFormats {
		if string(b[:len(s.magic)]) == s.magic {
			return fmt.Errorf("this is %s", s.is)
		}
	}
	return fmt.Errorf("this is no pcap and no pcapng file: it begins with % x", b)
}

// parse reads the version and the link type. Version 543.0 is that of DG/UX.
func (f *pcap) parse(b []byte) error {
	major, minor := f.u16(b[4:]), f.u16(b[6:])
	switch {
	case major == 2 && minor < 3, major == 543 && minor == 0:
		f.lengths = realFirst
	case major == 2 && minor == 3:
		f.lengths = shorterFirst
	case major != 2 || minor > 4:
		return fmt.Errorf("its version of pcap is %d.%d: only 2.0 to 2.4 are known", major, minor)
	}
	const (
		linkMask = 0xffff
		reserved = 0x03ff0000
		hasFCS   = 1 << 26
		fcsShift = 28 // its length, in units of 16 bits
	)
	network := f.u32(b[20:])
	if network&reserved != 0 {
		return fmt.Errorf("its link type is %#x, which is unknown", network)
	}
	if network&hasFCS != 0 {
		f.fcs = int(network>>fcsShift) * 2
	}
	if link := layers.LinkType(network & linkMask); link != ethernet {
		return noEthernet(link)
	}
	return nil
}

// step reads a record, which is always a packet.
func (f *pcap) step(r *Reader) (p Packet, is bool, err error) {
	r.release()
	b, err := r.peek(f.header)
	if err != nil {
		return p, false, err
	}
	kept, length := f.u32(b[8:]), f.u32(b[12:])
	if f.lengths == realFirst || f.lengths == shorterFirst && kept > length {
		kept, length = length, kept
	}
	if kept > MaxSnap {
		return p, false, tooLong(kept)
	}
	if b, err = r.take(f.header + int(kept)); err != nil {
		return p, false, err
	}
	p.Data, p.link = b[f.header:], ethernet
	p.Time = int64(f.u32(b))*1e9 + int64(f.u32(b[4:]))*f.unit
	p.cut(length, f.fcs)
	return p, true, nil
}

func tooLong(n uint32) error {
	return fmt.Errorf("a packet of %d bytes, more than %d: the file is damaged", n, MaxSnap)
}
