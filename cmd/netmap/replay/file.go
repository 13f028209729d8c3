package replay

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// source is a capture file that is read from its beginning on.
type source struct {
	reader
	buf    *bufio.Reader // what the reader reads from
	closer io.Closer
}

// reader is what gopacket's readers of both formats can do. The data is good until the next call.
type reader interface {
	ZeroCopyReadPacketData() (data []byte, info gopacket.CaptureInfo, err error)
	LinkType() layers.LinkType
}

// How files begin.
const (
	section = "\x0a\x0d\x0d\x0a" // pcapng
	zipped  = "\x1f\x8b"
)

// stdin is the name that stands for standard input.
const stdin = "-"

// openSource opens a file of either format, zipped or not.
func openSource(name string) (*source, error) {
	f := os.Stdin
	if name != stdin {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
	}
	s, err := newSource(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	s.closer = f
	return s, nil
}

func newSource(r io.Reader) (*source, error) {
	const ahead = 1 << 20
	s := &source{buf: bufio.NewReaderSize(r, ahead)}
	if start, _ := s.buf.Peek(len(zipped)); string(start) == zipped {
		z, err := gzip.NewReader(s.buf)
		if err != nil {
			return nil, err
		}
		s.buf = bufio.NewReaderSize(z, ahead)
	}
	var err error
	if start, _ := s.buf.Peek(len(section)); string(start) == section {
		s.reader, err = pcapgo.NewNgReader(s.buf, pcapgo.DefaultNgReaderOptions)
	} else {
		s.reader, err = pcapgo.NewReader(s.buf)
	}
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends before anything begins")
		}
		return nil, fmt.Errorf("this is no pcap and no pcapng file: %w", err)
	}
	if kind := s.LinkType(); kind != layers.LinkTypeEthernet {
		return nil, fmt.Errorf("its packets are %v, not Ethernet frames", kind)
	}
	return s, nil
}
