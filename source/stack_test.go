//go:build linux

package source_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/vishvananda/netlink"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/packet"
	"github.com/seed-48afdc40/netmap/source"
)

var (
	hostAddr = netip.MustParseAddr("10.77.0.2")
	ourAddr  = netip.MustParseAddr("10.77.0.1")
)

// stack is an interface whose other end is Linux's network stack.
type stack struct {
	*source.Handle
	t    *testing.T
	ctx  context.Context
	ours net.HardwareAddr
	far  *testutil.NS
}

// newStack makes a veth pair. One end is a handle; the other has hostAddr in its own namespace.
func newStack(t *testing.T) *stack {
	testutil.CheckLeaks(t)
	here, there := testutil.NewNS(t), testutil.NewNS(t)
	testutil.Veth(t, here, "va", there, "vb", 1)
	var err error
	there.Do(func() {
		var link netlink.Link
		if link, err = netlink.LinkByName("vb"); err == nil {
			a := &net.IPNet{IP: hostAddr.AsSlice(), Mask: net.CIDRMask(24, 32)}
			err = netlink.AddrAdd(link, &netlink.Addr{IPNet: a})
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	var link *packet.Conn
	here.Do(func() {
		var port *netmap.Port
		if port, err = f.Open("netmap:va"); err == nil {
			link = packet.New(port)
		}
	})
	testutil.Require(t, "AF_XDP", err)
	ours := link.LocalAddr().(*packet.Addr).HardwareAddr
	if len(ours) != 6 || link.InterfaceIndex() == 0 {
		t.Fatalf("our address is %v, our index %d", ours, link.InterfaceIndex())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	s := &stack{source.New(ctx, link), t, ctx, ours, there}
	t.Cleanup(func() {
		cancel()
		s.Close()
	})
	return s
}

// resolve asks for the stack's hardware address by ARP.
func (s *stack) resolve() net.HardwareAddr {
	s.t.Helper()
	mustWrite(s.t, s.Handle, serialize(s.t,
		&layers.Ethernet{SrcMAC: s.ours, DstMAC: layers.EthernetBroadcast,
			EthernetType: layers.EthernetTypeARP},
		&layers.ARP{
			AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4,
			HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPRequest,
			SourceHwAddress: s.ours, SourceProtAddress: ourAddr.AsSlice(),
			DstHwAddress: make([]byte, 6), DstProtAddress: hostAddr.AsSlice(),
		}))
	if err := s.SetBPFFilter("arp"); err != nil {
		s.t.Fatal(err)
	}
	packets := gopacket.NewPacketSource(s, s.LinkType())
	for {
		p, err := packets.NextPacket()
		if err != nil {
			s.t.Fatal(err)
		}
		if arp, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok &&
			arp.Operation == layers.ARPReply {
			return arp.SourceHwAddress
		}
	}
}

// Linux answers ARP and receives the datagrams, so their checksums are right. Its answers arrive
// and can be decoded.
func TestLinuxAnswers(t *testing.T) {
	s := newStack(t)
	h := hosts{s.ours, s.resolve(), ourAddr.AsSlice(), hostAddr.AsSlice()}

	var conn *net.UDPConn
	var err error
	s.far.Do(func() { conn, err = net.ListenUDP("udp4", &net.UDPAddr{IP: h.dst, Port: 7}) })
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	echoed := make(chan error)
	const count = 100
	go func() {
		buf := make([]byte, 2048)
		for range count {
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err == nil {
				_, err = conn.WriteToUDPAddrPort(bytes.ToUpper(buf[:n]), from)
			}
			if err != nil {
				echoed <- err
				return
			}
		}
		echoed <- nil
	}()

	if err := s.SetBPFFilter("udp src port 7"); err != nil {
		t.Fatal(err)
	}
	packets := gopacket.NewPacketSource(s, s.LinkType())
	for i := range count {
		mustWrite(t, s.Handle, udp(t, h, 5001, 7, fmt.Sprintf("datagram %d", i)))
		p, err := packets.NextPacket()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("DATAGRAM %d", i); text(p) != want {
			t.Fatalf("%v, want %s", p, want)
		}
	}
	if err := <-echoed; err != nil {
		t.Error(err)
	}
	if got := s.Stats(); got.Sent != count+1 || got.Received != count+1 {
		t.Errorf("%+v", got)
	}
}

// tcpdump at the other end sees the frames that the link sends.
func TestTcpdumpSees(t *testing.T) {
	s := newStack(t)
	path, err := exec.LookPath("tcpdump")
	testutil.Require(t, "tcpdump", err)
	cmd := exec.CommandContext(s.ctx, path, "-i", "vb", "-nn", "-vv", "-l", "-c", "3",
		"udp port 4711")
	var seen, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &seen, &said
	s.far.Do(func() { err = cmd.Start() })
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	h := hosts{s.ours, net.HardwareAddr{2, 0, 0, 0, 0, 2}, ourAddr.AsSlice(), hostAddr.AsSlice()}
	f := udp(t, h, 5001, 4711, "seen by tcpdump")
	for wait := true; wait; { // until tcpdump has started and has seen three
		mustWrite(t, s.Handle, f)
		select {
		case err := <-ended:
			if err != nil {
				t.Fatalf("%v\n%s", err, said.String())
			}
			wait = false
		case <-time.After(50 * time.Millisecond):
		}
	}
	const line = "10.77.0.1.5001 > 10.77.0.2.4711: [udp sum ok] UDP, length 15"
	if got := strings.Count(seen.String(), line); got != 3 {
		t.Errorf("tcpdump saw\n%s", seen.String())
	}
}
