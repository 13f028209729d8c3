// Package source makes a source and sink of packets for gopacket of a netmap port.
//
//	port, err := netmap.Open("netmap:eth0")
//	…
//	handle := source.New(ctx, packet.New(port))
//	defer handle.Close()
//	packets := gopacket.NewPacketSource(handle, handle.LinkType())
//	for p := range packets.Packets() {
//		…
//	}
//
// A Handle has the methods of gopacket's own sources (pcap, afpacket, pcapgo), so that a program changes where it opens one, and
// little else. ZeroCopyReadPacketData with a gopacket.DecodingLayerParser allocates nothing; ReadPacketData allocates the
// packet that it returns.
package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/packet"
)

// Handle is a link as gopacket takes it. Its methods may be called by several goroutines, but the data of ZeroCopyReadPacketData is
// valid only until the next call that reads.
//
// Errors in reading are io.EOF when the context has ended or the link is closed, and else io.ErrUnexpectedEOF with what happened
// inside: both end the channel of gopacket.PacketSource.Packets.
type Handle struct {
	ctx  context.Context
	link *packet.Conn
}

var (
	_ gopacket.PacketDataSource         = (*Handle)(nil)
	_ gopacket.ZeroCopyPacketDataSource = (*Handle)(nil)
	_ bpf.Setter                        = (*Handle)(nil)
)

// New is a handle on a link, which may be used on its own besides. Reading and writing end with the context.
func New(ctx context.Context, link *packet.Conn) *Handle { return &Handle{ctx: ctx, link: link} }

// ReadPacketData waits for a frame and returns a copy. CaptureLength is less than Length if the filter wants less of it.
func (h *Handle) ReadPacketData() ([]byte, gopacket.CaptureInfo, error) {
	f, err := h.link.NextCopy(h.ctx)
	return h.packet(f, err)
}

// ZeroCopyReadPacketData waits for a frame and returns it in place: it is valid until the next call that reads.
func (h *Handle) ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error) {
	f, err := h.link.Next(h.ctx)
	return h.packet(f, err)
}

func (h *Handle) packet(f packet.Frame, err error) ([]byte, gopacket.CaptureInfo, error) {
	switch {
	case err == nil:
		return f.Data, gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data), Length: f.Length, InterfaceIndex: h.link.InterfaceIndex()}, nil
	case h.ctx.Err() != nil || errors.Is(err, net.ErrClosed):
		return nil, gopacket.CaptureInfo{}, io.EOF
	}
	return nil, gopacket.CaptureInfo{}, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err)
}

// WritePacketData sends a frame; it waits for room. Errors are those of packet.Conn.Send.
func (h *Handle) WritePacketData(frame []byte) error {
	_, err := h.link.Send(h.ctx, frame)
	return err
}

// SetBPFFilter has only packets read that match an expression as tcpdump has them, see packet.Conn.SetBPFFilter.
func (h *Handle) SetBPFFilter(expression string) error { return h.link.SetBPFFilter(expression) }

// SetBPF has only packets read that a classic BPF program lets pass, see packet.Conn.SetBPF.
func (h *Handle) SetBPF(program []bpf.RawInstruction) error { return h.link.SetBPF(program) }

// Stats is what the link has done so far.
func (h *Handle) Stats() packet.Stats { return h.link.Stats() }

// Drops are the frames that were lost at the port, see packet.Conn.Drops. They can be asked for until Close, also when the
// context has ended.
func (h *Handle) Drops() (netmap.Drops, error) { return h.link.Drops(context.WithoutCancel(h.ctx)) }

// LinkType is Ethernet. It is the decoder for gopacket.NewPacketSource.
func (h *Handle) LinkType() layers.LinkType { return layers.LinkTypeEthernet }

// Close closes the link and its port.
func (h *Handle) Close() error { return h.link.Close() }
