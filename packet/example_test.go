package packet_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
	"github.com/seed-48afdc40/netmap/packet"
)

// open opens a link on a framework in this process. A program that uses /dev/netmap calls
// netmap.Open instead.
func open(f *embed.Framework, name string, options ...netmap.Option) *packet.Conn {
	port, err := f.Open(name, options...)
	if err != nil {
		log.Fatal(err)
	}
	return packet.New(port)
}

// Two links on a switch, one of them with a filter.
func Example() {
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	a, b := open(f, "vale0:a"), open(f, "vale0:b")
	defer a.Close()
	defer b.Close()

	if err := b.SetBPFFilter("ether proto 0x88b5"); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := a.Send(ctx, frame("one"), frame("two")); err != nil {
		log.Fatal(err)
	}
	for range 2 {
		frame, err := b.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", frame.Data[14:])
	}
	fmt.Println(b.Stats().Received, "frames")
	// Output:
	// one
	// two
	// 2 frames
}

// Deadlines work as in every net.PacketConn.
func ExampleConn_SetReadDeadline() {
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	conn := open(f, "vale0:a")
	defer conn.Close()

	conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, _, err = conn.ReadFrom(make([]byte, 2048))
	fmt.Println(errors.Is(err, os.ErrDeadlineExceeded))
	fmt.Println(err)
	// Output:
	// true
	// read netmap vale0:a: i/o timeout
}

// An error about a filter tells the position in it.
func ExampleConn_SetBPFFilter() {
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	conn := open(f, "vale0:a")
	defer conn.Close()

	fmt.Println(errors.Unwrap(conn.SetBPFFilter("tcp prot 80")))
	// Output:
	// invalid argument: filter "tcp prot 80": "prot" at 4: "and" or "or" is missing before it
}
