package helper

import (
	"context"
	"encoding/binary"
	"errors"
	"sync/atomic"
	"time"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
)

// The addresses of the stations. testpmd sends to the receiver's address by default.
var (
	senderMAC   = []byte{2, 0, 0, 0, 0, 1}
	receiverMAC = []byte{2, 0, 0, 0, 0, 0}
)

// minLength is the length of the shortest frame on an interface, without its checksum.
const minLength = 60

// payloadAt is the offset of a frame's number, after the headers.
const payloadAt = 44

// testFrame makes a UDP packet like those of testpmd, so that the kernel handles both alike.
func testFrame(length int) []byte {
	f := make([]byte, length)
	copy(f, receiverMAC)
	copy(f[6:], senderMAC)
	copy(f[12:], []byte{0x08, 0x00, 0x45, 0})
	ip := f[14:34]
	binary.BigEndian.PutUint16(ip[2:], uint16(length-14))
	copy(ip[8:], []byte{64, 17, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2})
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	binary.BigEndian.PutUint16(f[34:], 9)
	binary.BigEndian.PutUint16(f[36:], 9)
	binary.BigEndian.PutUint16(f[38:], uint16(length-34))
	return f
}

func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum&0xffff + sum>>16
	return ^uint16(sum + sum>>16)
}

// send writes a whole frame, with its number in it, into every slot. Each poll sends a batch.
func send(p *netmap.Port, length, batch int) error {
	frame, ring, seq := testFrame(length), p.Tx()[0], uint64(0)
	for {
		first, rest := ring.Batch(batch)
		for _, slots := range [2][]abi.Slot{first, rest} {
			for i := range slots {
				s := &slots[i]
				buf := ring.Buf(s.BufIdx)
				copy(buf, frame)
				binary.LittleEndian.PutUint64(buf[payloadAt:], seq)
				s.Len = uint16(length)
				seq++
			}
		}
		ring.Advance(len(first) + len(rest))
		if err := poll(p, netmap.Out, -1); err != nil {
			return err
		}
	}
}

// sequence checks that frames come in the order in which they were sent. Some may be missing.
type sequence struct{ next uint64 }

func (s *sequence) check(frame []byte) bool {
	n := binary.LittleEndian.Uint64(frame[payloadAt:])
	ok := n >= s.next
	s.next = n + 1
	return ok
}

var errOrder = errors.New("a frame came twice, late or changed")

// receive reads every frame, and counts.
func receive(p *netmap.Port) error {
	if err := greet(p); err != nil {
		return err
	}
	var counter atomic.Uint64
	var order sequence
	announce(&counter)
	for {
		if err := poll(p, netmap.In, -1); err != nil {
			return err
		}
		for _, ring := range p.Rx() {
			first, rest := ring.Batch(ring.NumSlots())
			for _, slots := range [2][]abi.Slot{first, rest} {
				for i := range slots {
					if !order.check(ring.Buf(slots[i].BufIdx)) {
						return errOrder
					}
				}
			}
			n := len(first) + len(rest)
			ring.Advance(n)
			counter.Add(uint64(n))
		}
	}
}

// greet sends a frame, from which a switch learns the receiver's address.
func greet(p *netmap.Port) error {
	f := testFrame(60)
	copy(f, senderMAC)
	copy(f[6:], receiverMAC)
	p.Tx()[0].Send(f)
	return p.TxSync()
}

var errTimeout = errors.New("no frame came in time")

// poll waits for the event.
func poll(p *netmap.Port, want netmap.Events, timeout time.Duration) error {
	got, err := p.Poll(context.Background(), want, timeout)
	switch {
	case err != nil:
		return err
	case got&netmap.Err != 0:
		return errors.Join(p.TxSync(), p.RxSync(), errors.New("the port is gone"))
	case got == 0:
		return errTimeout
	}
	return nil
}
