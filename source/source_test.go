package source_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"golang.org/x/net/bpf"

	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/netmaptest"
	"github.com/seed-48afdc40/netmap/packet"
	"github.com/seed-48afdc40/netmap/source"
)

// datagram is a frame with UDP from port 5001 to port.
func datagram(t testing.TB, port uint16, text string) []byte {
	t.Helper()
	return udp(t, hosts{
		srcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, dstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2},
		src: net.IP{10, 0, 0, 1}, dst: net.IP{10, 0, 0, 2},
	}, 5001, port, text)
}

// hosts are the addresses of both ends of a connection.
type hosts struct {
	srcMAC, dstMAC net.HardwareAddr
	src, dst       net.IP
}

func udp(t testing.TB, h hosts, from, to uint16, text string) []byte {
	t.Helper()
	ip := &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP,
		SrcIP: h.src, DstIP: h.dst}
	u := &layers.UDP{SrcPort: layers.UDPPort(from), DstPort: layers.UDPPort(to)}
	u.SetNetworkLayerForChecksum(ip)
	eth := &layers.Ethernet{SrcMAC: h.srcMAC, DstMAC: h.dstMAC,
		EthernetType: layers.EthernetTypeIPv4}
	return serialize(t, eth, ip, u, gopacket.Payload(text))
}

func serialize(t testing.TB, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(b, options, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pair(t testing.TB, ctx context.Context) (a, b *source.Handle) {
	t.Helper()
	pa, pb := netmaptest.Pair(t)
	a, b = source.New(ctx, packet.New(pa)), source.New(ctx, packet.New(pb))
	t.Cleanup(func() {
		a.Close()
		b.Close()
	})
	return a, b
}

func mustWrite(t testing.TB, h *source.Handle, frames ...[]byte) {
	t.Helper()
	for _, f := range frames {
		if err := h.WritePacketData(f); err != nil {
			t.Fatal(err)
		}
	}
}

// text is the payload of a datagram.
func text(p gopacket.Packet) string {
	u, ok := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
	if !ok {
		return p.String()
	}
	return string(u.Payload)
}

func TestPackets(t *testing.T) {
	testutil.CheckLeaks(t)
	ctx, cancel := context.WithCancel(t.Context())
	a, b := pair(t, ctx)
	packets := gopacket.NewPacketSource(b, b.LinkType()).Packets()
	mustWrite(t, a, datagram(t, 6001, "one"), datagram(t, 6001, "two"))
	for _, want := range []string{"one", "two"} {
		p := <-packets
		info := p.Metadata()
		if text(p) != want || p.ErrorLayer() != nil || info.Length != 60 ||
			info.CaptureLength != 60 || info.Truncated || time.Since(info.Timestamp) > time.Minute {
			t.Errorf("%v, %+v", p, info)
		}
	}
	cancel()
	if p, more := <-packets; more {
		t.Errorf("after the end of the context: %v", p)
	}
	if s := b.Stats(); s.Received != 2 || s.ReceivedBytes != 120 {
		t.Errorf("%+v", s)
	}
}

// The channel of packets ends when the source ends, whatever the reason.
func TestChannelEnds(t *testing.T) {
	testutil.CheckLeaks(t)
	late, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		end  func(*packet.Conn)
		want error
	}{
		"a context's deadline": {late, func(*packet.Conn) {}, io.EOF},
		"close":                {t.Context(), func(c *packet.Conn) { c.Close() }, io.EOF},
		"a port that fails":    {t.Context(), func(c *packet.Conn) { c.Port().Close() }, syscall.ENXIO},
	} {
		p, _ := netmaptest.Pair(t)
		link := packet.New(p)
		h := source.New(c.ctx, link)
		packets := gopacket.NewPacketSource(h, h.LinkType()).Packets()
		c.end(link)
		select {
		case _, more := <-packets:
			if more {
				t.Errorf("%s: a packet", name)
			}
		case <-time.After(5 * time.Second):
			t.Errorf("%s does not end the channel", name)
		}
		if _, _, err := h.ReadPacketData(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		link.Close()
	}
}

func TestFilters(t *testing.T) {
	a, b := pair(t, t.Context())
	if err := b.SetBPFFilter("udp port 6001"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, a, datagram(t, 80, "no"), datagram(t, 6001, "yes"))
	packets := gopacket.NewPacketSource(b, b.LinkType())
	if p, err := packets.NextPacket(); err != nil || text(p) != "yes" {
		t.Errorf("%v, %v", p, err)
	}

	raw, err := bpf.Assemble([]bpf.Instruction{bpf.RetConstant{Val: 40}})
	if err == nil {
		err = b.SetBPF(raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, a, datagram(t, 80, "of this only the beginning"))
	if p, err := packets.NextPacket(); err != nil || !p.Metadata().Truncated ||
		p.Metadata().CaptureLength != 40 || p.Metadata().Length != 68 {
		t.Errorf("%v, %v", p, err)
	}
}

// The next calls do not change what ReadPacketData returned.
func TestReadPacketDataCopies(t *testing.T) {
	a, b := pair(t, t.Context())
	mustWrite(t, a, datagram(t, 6001, "kept"))
	kept, _, err := b.ReadPacketData()
	if err != nil {
		t.Fatal(err)
	}
	for range 2000 {
		mustWrite(t, a, datagram(t, 6001, "other"))
		if _, _, err := b.ZeroCopyReadPacketData(); err != nil {
			t.Fatal(err)
		}
	}
	if want := datagram(t, 6001, "kept"); string(kept) != string(want) {
		t.Errorf("%q", kept)
	}
}

func TestZeroCopyAllocatesNothing(t *testing.T) {
	a, b := pair(t, context.Background())
	var (
		eth     layers.Ethernet
		ip      layers.IPv4
		u       layers.UDP
		payload gopacket.Payload
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip, &u, &payload)
	decoded := make([]gopacket.LayerType, 0, 4)
	f := datagram(t, 6001, "nothing is allocated")
	run := func() {
		if err := a.WritePacketData(f); err != nil {
			t.Fatal(err)
		}
		data, _, err := b.ZeroCopyReadPacketData()
		if err == nil {
			err = parser.DecodeLayers(data, &decoded)
		}
		if err != nil || len(decoded) != 4 || u.DstPort != 6001 {
			t.Fatal(decoded, err)
		}
	}
	for range 100 {
		run()
	}
	if n := testing.AllocsPerRun(1000, run); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
