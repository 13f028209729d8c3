package capfile

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

// Reader reads a capture file from its beginning on: pcap or pcapng, of Ethernet frames, zipped or
// not.
type Reader struct {
	reader
	buf    *bufio.Reader // what the reader reads from
	closer io.Closer     // nil if it is not ours
}

// Buffered is how many bytes of the file are in memory, to be read without waiting.
func (r *Reader) Buffered() int { return r.buf.Buffered() }

// Close closes the file that Open opened.
func (r *Reader) Close() error {
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
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

// Stdin is the name that stands for standard input.
const Stdin = "-"

// Open opens a file. Errors are those of os.Open, and others for what is no such file.
func Open(name string) (*Reader, error) {
	f := os.Stdin
	if name != Stdin {
		var err error
		if f, err = os.Open(name); err != nil {
			return nil, err
		}
	}
	r, err := NewReader(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	r.closer = f
	return r, nil
}

// NewReader reads a file that somebody else closes.
func NewReader(from io.Reader) (*Reader, error) {
	const ahead = 1 << 20
	r := &Reader{buf: bufio.NewReaderSize(from, ahead)}
	if start, _ := r.buf.Peek(len(zipped)); string(start) == zipped {
		z, err := gzip.NewReader(r.buf)
		if err != nil {
			return nil, err
		}
		r.buf = bufio.NewReaderSize(z, ahead)
	}
	var err error
	if start, _ := r.buf.Peek(len(section)); string(start) == section {
		r.reader, err = pcapgo.NewNgReader(r.buf, pcapgo.DefaultNgReaderOptions)
	} else {
		r.reader, err = pcapgo.NewReader(r.buf)
	}
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = errors.New("it ends before anything begins")
		}
		return nil, fmt.Errorf("this is no pcap and no pcapng file: %w", err)
	}
	if kind := r.LinkType(); kind != layers.LinkTypeEthernet {
		return nil, fmt.Errorf("its packets are %v, not Ethernet frames", kind)
	}
	return r, nil
}
