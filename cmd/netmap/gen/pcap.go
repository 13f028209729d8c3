package gen

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"github.com/seed-48afdc40/netmap/internal/frame"
)

// readFile reads the first packet of the file.
func (o *frames) readFile() error {
	f, err := os.Open(o.file)
	if err != nil {
		return fmt.Errorf("-P: %w", err)
	}
	defer f.Close()
	data, err := firstPacket(bufio.NewReader(f))
	if err == nil && (len(data) < minLen || len(data) > frame.MaxLen) {
		err = fmt.Errorf("its first packet has %d bytes, not %d to %d", len(data), minLen, frame.MaxLen)
	}
	if err != nil {
		return fmt.Errorf("-P %s: %w", o.file, err)
	}
	o.verbatim, o.lengths = data, lengths{most: len(data)}
	return nil
}

// firstPacket reads pcap or pcapng.
func firstPacket(r *bufio.Reader) ([]byte, error) {
	const section = "\x0a\x0d\x0d\x0a" // how pcapng begins
	var source interface {
		gopacket.PacketDataSource
		LinkType() layers.LinkType
	}
	var err error
	if start, _ := r.Peek(len(section)); string(start) == section {
		source, err = pcapgo.NewNgReader(r, pcapgo.DefaultNgReaderOptions)
	} else {
		source, err = pcapgo.NewReader(r)
	}
	if err != nil {
		return nil, fmt.Errorf("this is no pcap and no pcapng file: %w", err)
	}
	if kind := source.LinkType(); kind != layers.LinkTypeEthernet {
		return nil, fmt.Errorf("its packets are %v, not Ethernet frames", kind)
	}
	data, _, err := source.ReadPacketData()
	if errors.Is(err, io.EOF) {
		return nil, errors.New("there is no packet in it")
	}
	return data, err
}
