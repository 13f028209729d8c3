package source_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/packet"
	"github.com/seed-48afdc40/netmap/source"
)

// query is a frame with UDP from 10.0.0.1:5001 to 10.0.0.2:7.
const query = "\x02\x00\x00\x00\x00\x02\x02\x00\x00\x00\x00\x01\x08\x00" +
	"\x45\x00\x00\x21\x00\x00\x00\x00\x40\x11\x66\xca\x0a\x00\x00\x01\x0a\x00\x00\x02" +
	"\x13\x89\x00\x07\x00\x0d\x00\x00hello"

// handles returns both ends of a pipe. A program that uses /dev/netmap calls netmap.Open for an
// interface instead.
func handles(ctx context.Context) (a, b *source.Handle, closeAll func()) {
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	open := func(name string) *source.Handle {
		var port *netmap.Port
		if port, err = f.Open(name); err != nil {
			log.Fatal(err)
		}
		return source.New(ctx, packet.New(port))
	}
	a, b = open("x{1"), open("x}1")
	return a, b, func() { a.Close(); b.Close(); f.Close() }
}

// Decoded packets, until the context ends.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sender, handle, closeAll := handles(ctx)
	defer closeAll()
	if err := handle.SetBPFFilter("udp port 7"); err != nil {
		log.Fatal(err)
	}
	if err := sender.WritePacketData([]byte(query)); err != nil {
		log.Fatal(err)
	}

	packets := gopacket.NewPacketSource(handle, handle.LinkType())
	for p := range packets.Packets() {
		ip := p.NetworkLayer().NetworkFlow()
		udp := p.Layer(layers.LayerTypeUDP).(*layers.UDP)
		fmt.Printf("%v, port %d: %s\n", ip, udp.DstPort, udp.Payload)
		cancel() // ends the loop
	}
	// Output:
	// 10.0.0.1->10.0.0.2, port 7: hello
}

// The fastest way: packets are decoded in place, and nothing is allocated.
func ExampleHandle_ZeroCopyReadPacketData() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	sender, handle, closeAll := handles(ctx)
	defer closeAll()
	if err := sender.WritePacketData([]byte(query)); err != nil {
		log.Fatal(err)
	}

	var (
		eth     layers.Ethernet
		ip      layers.IPv4
		udp     layers.UDP
		payload gopacket.Payload
	)
	parser := gopacket.NewDecodingLayerParser(layers.LayerTypeEthernet, &eth, &ip, &udp, &payload)
	decoded := make([]gopacket.LayerType, 0, 4)
	data, info, err := handle.ZeroCopyReadPacketData()
	if err != nil {
		log.Fatal(err)
	}
	if err := parser.DecodeLayers(data, &decoded); err != nil {
		log.Fatal(err)
	}
	fmt.Println(info.Length, decoded, udp.DstPort)
	// Output:
	// 47 [Ethernet IPv4 UDP Payload] 7(echo)
}
