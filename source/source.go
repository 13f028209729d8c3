// Package source makes a netmap port a source and sink of packets for gopacket.
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
// A Handle has the methods of gopacket's own sources (pcap, afpacket, pcapgo). So a program changes
// little but the place where it opens one. ZeroCopyReadPacketData with a
// gopacket.DecodingLayerParser allocates nothing; ReadPacketData allocates memory for the packet.
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

// Handle is a link with the methods that gopacket needs. Several goroutines may call the methods,
// but the data of ZeroCopyReadPacketData are valid only until the next call that reads.
//
// When the context has ended or the link is closed, reading returns io.EOF. Other errors are
// io.ErrUnexpectedEOF, with the cause wrapped as well. Both end the channel of
// gopacket.PacketSource.Packets.
type Handle struct {
	ctx  context.Context
	link *packet.Conn
}

var (
	_ gopacket.PacketDataSource         = (*Handle)(nil)
	_ gopacket.ZeroCopyPacketDataSource = (*Handle)(nil)
	_ bpf.Setter                        = (*Handle)(nil)
)

// New returns a handle on a link. The link may also be used directly. When the context ends,
// reading and writing end.
func New(ctx context.Context, link *packet.Conn) *Handle { return &Handle{ctx: ctx, link: link} }

// ReadPacketData waits for a frame and returns a copy. CaptureLength is less than Length if the
// filter asks for less.
func (h *Handle) ReadPacketData() ([]byte, gopacket.CaptureInfo, error) {
	f, err := h.link.NextCopy(h.ctx)
	return h.packet(f, err)
}

// ZeroCopyReadPacketData waits for a frame and returns it without a copy: it is valid until the
// next call that reads.
func (h *Handle) ZeroCopyReadPacketData() ([]byte, gopacket.CaptureInfo, error) {
	f, err := h.link.Next(h.ctx)
	return h.packet(f, err)
}

func (h *Handle) packet(f packet.Frame, err error) ([]byte, gopacket.CaptureInfo, error) {
	switch {
	case err == nil:
		return f.Data, gopacket.CaptureInfo{Timestamp: f.Time, CaptureLength: len(f.Data),
			Length: f.Length, InterfaceIndex: h.link.InterfaceIndex()}, nil
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

// SetBPFFilter sets the filter to an expression in the syntax of tcpdump, see
// packet.Conn.SetBPFFilter.
func (h *Handle) SetBPFFilter(expression string) error { return h.link.SetBPFFilter(expression) }

// SetBPF sets the filter to a classic BPF program, see packet.Conn.SetBPF.
func (h *Handle) SetBPF(program []bpf.RawInstruction) error { return h.link.SetBPF(program) }

// Stats returns what the link has done so far.
func (h *Handle) Stats() packet.Stats { return h.link.Stats() }

// Drops returns the frames that were lost at the port, see packet.Conn.Drops. It may be called
// until Close, also after the context has ended.
func (h *Handle) Drops() (netmap.Drops, error) { return h.link.Drops(context.WithoutCancel(h.ctx)) }

// LinkType is Ethernet, the decoder for gopacket.NewPacketSource.
func (h *Handle) LinkType() layers.LinkType { return layers.LinkTypeEthernet }

// Close closes the link and its port.
func (h *Handle) Close() error { return h.link.Close() }
