package helper

import (
	"fmt"
	"net"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/xsk"
)

// The sizes of a bare AF_XDP socket: rings as large as a port's, and a batch as large as that of
// senders on a port.
const (
	xdpSize   = 1024
	xdpStride = 2048
	xdpBatch  = 512
)

// bareSocket opens an AF_XDP socket as a port opens one, with separate memory, and attaches the
// same program to the interface. Buffers from 2 on are free. With c.Rx, the kernel gets the first
// xdpSize of them to receive into.
func bareSocket(iface string, c xsk.Config) (*xsk.Socket, *xsk.Memory, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, nil, err
	}
	mem, err := unix.Mmap(-1, 0, 4*xdpSize*xdpStride, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, nil, fmt.Errorf("take memory: %w", err)
	}
	c.Ifindex, c.Size, c.Mode = i.Index, xdpSize, xsk.Native
	c.Memory = &xsk.Memory{Mem: mem, Stride: xdpStride}
	if c.Rx {
		for buf := range uint32(xdpSize) {
			c.Fill = append(c.Fill, 2+buf)
		}
	}
	s, err := xsk.Open(c)
	if err != nil {
		return nil, nil, err
	}
	if attached, err = xsk.Attach(i.Index, 1, xsk.Native); err == nil && c.Rx {
		err = attached.Put(0, s)
	}
	return s, c.Memory, err
}

// attached keeps the program until the process ends. Without a reference it would be detached.
var attached *xsk.Program

// xdpSend sends frames that were written once, again and again, one batch per system call. This is
// the cost of sending without a framework.
func xdpSend(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want an interface and a length, not %q", args)
	}
	s, m, err := bareSocket(args[0], xsk.Config{Tx: true})
	if err != nil {
		return err
	}
	frame := testFrame(number(args[1]))
	var free []uint32
	for buf := range uint32(xdpSize) {
		copy(m.Mem[(2+buf)*m.Stride:], frame)
		free = append(free, 2+buf)
	}
	for {
		done := s.Done(xdpSize)
		for i := range done {
			free = append(free, s.DoneAt(i))
		}
		s.DoneRelease(done)
		n := s.TxRoom(min(xdpBatch, uint32(len(free))))
		for i := range n {
			s.TxAt(i, free[len(free)-1], 0, uint32(len(frame)), false)
			free = free[:len(free)-1]
		}
		s.TxCommit(n)
		if _, err := s.KickTx(); err != nil {
			return fmt.Errorf("sendto: %w", err)
		}
	}
}

// xdpReceive reads every frame, and counts. It never sleeps.
func xdpReceive(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want an interface, not %q", args)
	}
	s, m, err := bareSocket(args[0], xsk.Config{Rx: true})
	if err != nil {
		return err
	}
	var counter atomic.Uint64
	var order sequence
	announce(&counter)
	for {
		n := s.FillRoom(s.RxReady(xdpSize))
		for i := range n {
			buf, offset, length, _ := s.RxAt(i)
			frame := m.Mem[buf*m.Stride+offset:][:length]
			if len(frame) < minLength || !order.check(frame) {
				return errOrder
			}
			s.FillAt(i, buf)
		}
		s.RxRelease(n)
		s.FillCommit(n)
		s.KickRx()
		counter.Add(uint64(n))
	}
}
