//go:build linux

package netmap_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/embed"
)

// to makes an Ethernet frame to the broadcast address.
func to(text string) []byte {
	return append([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5"), text...)
}

// open opens ports of a framework inside this process. A program that uses /dev/netmap calls
// netmap.Open instead.
func open(names ...string) (ports []*netmap.Port, closeAll func()) {
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range names {
		p, err := f.Open(name)
		if err != nil {
			log.Fatal(err)
		}
		ports = append(ports, p)
	}
	return ports, func() { f.Close() }
}

// Two ports of a VALE switch: what one sends, the other receives.
func Example() {
	ports, closeAll := open("vale0:a", "vale0:b")
	defer closeAll()
	a, b := ports[0], ports[1]

	a.Tx()[0].Send(to("one"), to("two"), to("three"))
	if err := a.TxSync(); err != nil {
		log.Fatal(err)
	}

	if _, err := b.Poll(context.Background(), netmap.In, -1); err != nil {
		log.Fatal(err)
	}
	for _, ring := range b.Rx() {
		for _, frame := range ring.Frames() {
			fmt.Printf("%d bytes: %s\n", len(frame), frame[14:])
		}
	}
	// Output:
	// 17 bytes: one
	// 17 bytes: two
	// 19 bytes: three
}

// A bridge between two pipes. Frames are not copied: the slots of the two rings exchange their
// buffers.
func Example_zeroCopyBridge() {
	ports, closeAll := open("left{1", "left}1", "right{1", "right}1")
	defer closeAll()
	source, in, out, sink := ports[0], ports[1], ports[2], ports[3]

	source.Tx()[0].Send(to("across"), to("the"), to("bridge"))
	source.TxSync()

	in.RxSync()
	rx, tx := in.Rx()[0].Window(), out.Tx()[0].Window()
	for rx.Len() > 0 {
		if _, moved := rx.MoveTo(&tx); moved.Stays() {
			break
		}
	}
	tx.Commit()
	rx.Commit()
	out.TxSync()
	in.RxSync() // the left pipe gets its slots back, with other buffers

	sink.RxSync()
	for _, frame := range sink.Rx()[0].Frames() {
		fmt.Printf("%s\n", frame[14:])
	}
	// Output:
	// across
	// the
	// bridge
}

// CopyTo leaves the received frame as it is, so that two ports can get it.
func ExampleWindow_CopyTo() {
	ports, closeAll := open("in{1", "in}1", "a{1", "a}1", "b{1", "b}1")
	defer closeAll()
	source, in, a, b := ports[0], ports[1], ports[2], ports[4]
	source.Tx()[0].Send(to("both"))
	source.TxSync()

	in.RxSync()
	rx, toA, toB := in.Rx()[0].Window(), a.Tx()[0].Window(), b.Tx()[0].Window()
	again := rx // a window is a value: the copy stays at the frame
	fmt.Println(rx.CopyTo(&toA))
	fmt.Println(again.MoveTo(&toB))
	toA.Commit()
	toB.Commit()
	again.Commit()
	a.TxSync()
	b.TxSync()

	for _, sink := range []*netmap.Port{ports[3], ports[5]} {
		sink.RxSync()
		for _, frame := range sink.Rx()[0].Frames() {
			fmt.Printf("%s\n", frame[14:])
		}
	}
	// Output:
	// 18 0
	// 18 0
	// both
	// both
}

// A reader joins the slots of a frame. It keeps only the first bytes of frames that are longer than
// keep.
func ExampleReader() {
	ports, closeAll := open("x{1", "x}1")
	defer closeAll()
	tx, rx := ports[0], ports[1]
	tx.Tx()[0].Send(to("short"), make([]byte, 5000), make([]byte, 20000))
	tx.TxSync()

	reader := rx.Rx()[0].Reader(9000)
	rx.RxSync()
	for frame := range reader.Frames() {
		fmt.Println(len(frame), "bytes of", reader.Size())
	}
	// Output:
	// 19 bytes of 19
	// 5000 bytes of 5000
	// 9000 bytes of 20000
}

// A frame that does not fit in the ring now differs from one that never will.
func ExampleRing_MaxFrame() {
	ports, closeAll := open("x{1")
	defer closeAll()
	ring := ports[0].Tx()[0]
	frame := make([]byte, ring.MaxFrame())
	fmt.Println(ring.Send(frame), ring.Send(frame), len(frame) <= ring.MaxFrame())
	fmt.Println(ring.NumSlots(), "slots of", ring.BufSize(), "bytes,", ring.MaxFrame(), "bytes in all")
	// Output:
	// 1 0 true
	// 1024 slots of 2112 bytes, 2160576 bytes in all
}

// Frames that the loop has not reached stay in the ring.
func ExampleRing_Frames() {
	ports, closeAll := open("x{1", "x}1")
	defer closeAll()
	ports[0].Tx()[0].Send(to("one"), to("two"), to("stop"), to("four"))
	ports[0].TxSync()

	port := ports[1]
	port.RxSync()
	ring := port.Rx()[0]
	for slot, frame := range ring.Frames() {
		text := string(frame[14:])
		fmt.Println(slot.Len, text)
		if text == "stop" {
			break
		}
	}
	fmt.Println(ring.Len(), "left")
	// Output:
	// 17 one
	// 17 two
	// 18 stop
	// 1 left
}

// Poll ends when its context does.
func ExamplePort_Poll() {
	ports, closeAll := open("vale0:a")
	defer closeAll()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := ports[0].Poll(ctx, netmap.In, -1)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))

	// The end of a timeout is no error: there are no events.
	got, err := ports[0].Poll(context.Background(), netmap.In, time.Millisecond)
	fmt.Println(got, err)

	// There is room to send at once.
	got, err = ports[0].Poll(context.Background(), netmap.In|netmap.Out, -1)
	fmt.Println(got == netmap.Out, err)
	// Output:
	// true
	// 0 <nil>
	// true <nil>
}

// Batch fills many slots at little cost for each.
func ExampleRing_Batch() {
	ports, closeAll := open("x{1", "x}1")
	defer closeAll()
	tx, rx := ports[0].Tx()[0], ports[1].Rx()[0]

	frame := to("all alike")
	first, rest := tx.Batch(512)
	for _, slots := range [2][]abi.Slot{first, rest} {
		for i := range slots {
			slots[i].Len = uint16(copy(tx.Buf(slots[i].BufIdx), frame))
		}
	}
	tx.Advance(len(first) + len(rest))
	ports[0].TxSync()

	ports[1].RxSync()
	fmt.Println(rx.Len(), "frames")
	// Output:
	// 512 frames
}

// Window visits slots one by one.
func ExampleRing_Window() {
	ports, closeAll := open("x{1", "x}1")
	defer closeAll()

	w := ports[0].Tx()[0].Window()
	for n := 1; n <= 3 && w.Len() > 0; n++ {
		w.SetLen(copy(w.Buf(), to(fmt.Sprint("frame ", n))))
		w.Next()
	}
	w.Commit()
	ports[0].TxSync()

	ports[1].RxSync()
	for w := ports[1].Rx()[0].Window(); w.Len() > 0; w.Next() {
		fmt.Printf("slot %d: %s\n", w.Index(), w.Frame()[14:])
	}
	// Output:
	// slot 0: frame 1
	// slot 1: frame 2
	// slot 2: frame 3
}

// An extra buffer takes the place of one that a program keeps.
func ExamplePort_TakeExtra() {
	f, err := embed.New(embed.Config{Buffers: 8192, NoHugePages: true})
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	tx, err := f.Open("x{1")
	if err != nil {
		log.Fatal(err)
	}
	rx, err := f.Open("x}1", netmap.ExtraBufs(4))
	if err != nil {
		log.Fatal(err)
	}
	tx.Tx()[0].Send(to("keep me"))
	tx.TxSync()

	rx.RxSync()
	spare := rx.TakeExtra()
	w := rx.Rx()[0].Window()
	slot, n := w.Slot(), len(w.Frame())
	kept := slot.BufIdx
	slot.BufIdx, slot.Flags = spare[0], slot.Flags|abi.NSBufChanged
	w.Next()
	w.Commit()
	rx.RxSync() // the slot is released, and the program has the frame

	fmt.Printf("%s\n", rx.Buf(kept)[14:n])
	rx.ReturnExtra(append(spare[1:], kept)...)
	// Output:
	// keep me
}
