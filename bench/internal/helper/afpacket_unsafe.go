package helper

import (
	"fmt"
	"net"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// packetBatch is the number of frames that a system call moves.
const packetBatch = 64

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
}

// packets is a batch of messages, each with a buffer.
type packets struct {
	messages [packetBatch]message
	vectors  [packetBatch]unix.Iovec
	buffers  [packetBatch][2048]byte
}

// newPackets gives each message a buffer: a copy of the frame, or if frame is nil, room to receive
// into.
func newPackets(frame []byte) *packets {
	p := &packets{}
	for i := range p.messages {
		b := p.buffers[i][:]
		if frame != nil {
			b = b[:copy(b, frame)]
		}
		p.vectors[i].Base = &b[0]
		p.vectors[i].SetLen(len(b))
		p.messages[i].header.Iov = &p.vectors[i]
		p.messages[i].header.SetIovlen(1)
	}
	return p
}

// packetSocket opens a socket that is bound to an interface. It receives frames only if told to.
func packetSocket(iface string, receive bool) (int, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return -1, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open an AF_PACKET socket: %w", err)
	}
	address := unix.SockaddrLinklayer{Ifindex: i.Index}
	if receive {
		address.Protocol = unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8 // in network byte order
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
	} else {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1)
	}
	if err == nil {
		err = unix.Bind(fd, &address)
	}
	if err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("set up an AF_PACKET socket: %w", err)
	}
	return fd, nil
}

// packetSend sends frames as fast as possible.
func packetSend(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("want an interface and a length, not %q", args)
	}
	fd, err := packetSocket(args[0], false)
	if err != nil {
		return err
	}
	p := newPackets(testFrame(number(args[1])))
	for {
		_, _, e := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(&p.messages)),
			packetBatch, 0, 0, 0)
		// a full queue is no error: the frames are sent again
		if e != 0 && e != unix.ENOBUFS && e != unix.EAGAIN && e != unix.EINTR {
			return fmt.Errorf("sendmmsg: %w", e)
		}
	}
}

// packetReceive reads every frame, and counts.
func packetReceive(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want an interface, not %q", args)
	}
	fd, err := packetSocket(args[0], true)
	if err != nil {
		return err
	}
	p := newPackets(nil)
	var counter atomic.Uint64
	var order sequence
	announce(&counter)
	for {
		n, _, e := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&p.messages)),
			packetBatch, unix.MSG_WAITFORONE, 0, 0)
		if e == unix.EINTR {
			continue
		}
		if e != 0 {
			return fmt.Errorf("recvmmsg: %w", e)
		}
		for i := range n {
			if frame := p.buffers[i][:p.messages[i].length]; len(frame) < minLength || !order.check(frame) {
				return errOrder
			}
		}
		counter.Add(uint64(n))
	}
}
