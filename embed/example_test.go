package embed_test

import (
	"errors"
	"fmt"
	"log"
	"syscall"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/embed"
)

// A switch and its ports in one process.
func Example() {
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	a, err := f.Open("vale0:a")
	if err != nil {
		log.Fatal(err)
	}
	b, err := f.Open("vale0:b")
	if err != nil {
		log.Fatal(err)
	}

	frame := []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5hello")
	a.Tx()[0].Send(frame)
	a.TxSync()
	b.RxSync()
	for _, frame := range b.Rx()[0].Frames() {
		fmt.Printf("%s\n", frame[14:])
	}
	// Output:
	// hello
}

// A small framework for large frames.
func ExampleNew() {
	f, err := embed.New(embed.Config{Buffers: 1024, BufSize: 4096, Rings: 8, NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	p, err := f.Open("jumbo{1", netmap.Slots(128, 128))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(p, "of", p.Tx()[0].NumSlots(), "slots and buffers of", p.Tx()[0].BufSize(), "bytes")
	// Output:
	// jumbo{1: 1 tx and 1 rx rings of 128 slots and buffers of 4096 bytes
}

// Errors carry the errno that a C program sees, and say what to do.
func ExampleFramework_Open() {
	f, err := embed.New(embed.Config{NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Open("vale0:a/x"); err != nil {
		log.Fatal(err)
	}
	_, err = f.Open("vale0:a")
	fmt.Println(errors.Is(err, syscall.EBUSY))
	_, err = f.Open("vale0")
	fmt.Println(err)
	// Output:
	// true
	// port name "vale0": switch "vale0" at 0: want a port after it, as in vale0:a
}
