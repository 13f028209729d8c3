//go:build linux

package xsk

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/unix"
)

// RxReady is the number of received frames that RxAt can read, at most max.
func (s *Socket) RxReady(max uint32) uint32 { return s.rx.ready(max) }

// RxAt returns received frame i of those that RxReady counted: length bytes from offset of a
// buffer. More means that the packet goes on in the next frame.
//
// The low 48 bits of the address are the chunk that FillAt made of the buffer. The high 16 are the
// offset of the frame in the chunk.
func (s *Socket) RxAt(i uint32) (buf, offset, length uint32, more bool) {
	d := &s.rxDesc[(s.rx.tail+i)&s.mask]
	return s.buffer(d.Addr&addrMask + headroom), uint32(d.Addr>>48) - headroom, d.Len,
		d.Options&unix.XDP_PKT_CONTD != 0
}

// RxWhole is how many of the first n received frames make whole packets. The frames after them
// belong to a packet whose end is not among the n.
func (s *Socket) RxWhole(n uint32) uint32 {
	for n > 0 && s.rxDesc[(s.rx.tail+n-1)&s.mask].Options&unix.XDP_PKT_CONTD != 0 {
		n--
	}
	return n
}

// Stamp returns when the frame in a buffer arrived, in nanoseconds of the card's clock, or 0 if the
// driver did not tell. It needs a program of AttachStamping and Memory with Spare. The first buffer
// of a packet has the stamp, and Stamp returns it once.
func (s *Socket) Stamp(buf uint32) uint64 {
	p := s.memory.Mem[uint64(buf)*uint64(s.stride)-stampSize:][:stampSize]
	t := binary.NativeEndian.Uint64(p)
	binary.NativeEndian.PutUint64(p, 0)
	return t
}

// RxRelease gives the entries of the first n frames back. Their buffers stay with the caller.
func (s *Socket) RxRelease(n uint32) { s.rx.release(n) }

// FillRoom is the number of buffers that FillAt can take, at most max.
func (s *Socket) FillRoom(max uint32) uint32 { return s.fill.room(max) }

// FillAt sets entry i of those that FillRoom counted to a buffer. CanFill must be true of the
// buffer.
func (s *Socket) FillAt(i, buf uint32) { s.Filler().Set(i, buf) }

// Filler is a copy of what FillAt needs, small enough for the registers of a loop. It is valid
// until the next FillCommit.
type Filler struct {
	addrs         []uint64
	first, stride uint32
}

// Filler returns the Filler of the entries that are not committed yet.
func (s *Socket) Filler() Filler { return Filler{s.fillAddrs, s.fill.head, s.stride} }

// Set is FillAt.
func (f Filler) Set(i, buf uint32) {
	f.addrs[(f.first+i)&uint32(len(f.addrs)-1)] = uint64(buf)*uint64(f.stride) - headroom
}

// FillCommit hands the first n buffers to the kernel.
func (s *Socket) FillCommit(n uint32) { s.fill.commit(n) }

// KickRx wakes a driver that ran out of buffers, after FillCommit. Only zero-copy drivers ask for
// that.
func (s *Socket) KickRx() {
	if s.fill.needWakeup() {
		s.recv()
	}
}

// PollDriver runs the driver's receive loop in this call, if nothing has been received and the
// socket was opened with BusyPoll.
func (s *Socket) PollDriver() {
	if s.busy && s.rx.ready(1) == 0 {
		s.recv()
	}
}

// PollSent makes a polled driver report which frames are sent, if it has not reported any. In copy
// modes they are sent when KickTx returns.
func (s *Socket) PollSent() {
	if s.busy && s.zeroCopy && s.done.ready(1) == 0 {
		s.recv()
	}
}

// recv makes the kernel handle the receive side. An error means that the queue is going away, which
// the transmit side and poll(2) report.
func (s *Socket) recv() {
	unix.Syscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}

// Wake makes a zero-copy driver look at its rings, even if it has not asked for that: some drivers
// that found no buffers at bind ask only later, and sleep meanwhile.
func (s *Socket) Wake() {
	if s.zeroCopy {
		// Drivers do not distinguish directions here.
		unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	}
	s.KickRx()
}

// TxRoom is the number of frames that TxAt can take, at most max.
func (s *Socket) TxRoom(max uint32) uint32 { return s.tx.room(max) }

// TxAt sets entry i of those that TxRoom counted to a frame: 1 to MaxTx bytes from offset of a
// buffer, within the buffer. More means that the packet goes on in the next entry; that needs
// Multi, and the caller must commit whole packets only. On many kernels the buffer of an invalid
// entry is lost, and the entries behind it wait for the next KickTx. The caller must check the end:
// the kernel accepts a frame that runs up to 256 bytes into the next buffer.
func (s *Socket) TxAt(i, buf, offset, length uint32, more bool) {
	options := uint32(0)
	if more {
		options = unix.XDP_PKT_CONTD
	}
	s.Sender().set(i, buf, offset, length, options)
}

// Sender is a copy of what TxAt needs, small enough for the registers of a loop. It is valid until
// the next TxCommit.
type Sender struct {
	desc          []unix.XDPDesc
	first, stride uint32
}

// Sender returns the Sender of the entries that are not committed yet.
func (s *Socket) Sender() Sender { return Sender{s.txDesc, s.tx.head, s.stride} }

// Set is TxAt for a whole packet at the start of its buffer.
func (t Sender) Set(i, buf, length uint32) { t.set(i, buf, 0, length, 0) }

func (t Sender) set(i, buf, offset, length, options uint32) {
	d := &t.desc[(t.first+i)&uint32(len(t.desc)-1)]
	d.Addr, d.Len, d.Options = uint64(buf)*uint64(t.stride)+uint64(offset), length, options
}

// TxCommit hands the first n frames to the kernel, which sends them at once or at KickTx.
func (s *Socket) TxCommit(n uint32) { s.tx.commit(n) }

// TxPending is the number of frames that the kernel has not taken yet. In copy modes it takes them
// only in KickTx, and leaves them when the device is full: while there are any, KickTx must be
// called again later.
func (s *Socket) TxPending() uint32 { return s.tx.pending() }

// KickTx makes the kernel send the committed frames, if the kernel waits to be told. It stops at a
// packet that the device has refused. That packet is out of the ring and its buffers come back
// through Done; the packets behind it wait for the next KickTx, unless PutBack puts it in front of
// them. An error means that the queue is gone or down (ENXIO, ENETDOWN). A full device is not an
// error.
//
// In copy modes one system call sends as many frames as its budget allows, then returns EAGAIN.
// KickTx repeats it: the other frames might wait for a KickTx that never comes, and veth would lose
// a tenth of its throughput. But EAGAIN also means that the device is full, and then repeating is
// useless. So KickTx makes no more calls than it takes to send everything when each call uses its
// whole budget. ENOBUFS and ENOMEM mean that the device takes no more of the kernel's memory; it
// counts as full.
//
// EBUSY means that the device has dropped a packet. Any other error that leaves nothing in the ring
// means that the device dropped the last packet. The kernel does not distinguish a full device,
// such as a veth pair, from one that will never take this packet.
func (s *Socket) KickTx() (refused bool, err error) {
	if !s.tx.needWakeup() && !s.busy { // a polled driver sends only in a system call
		return false, nil
	}
	for left := s.tx.pending(); left > 0; left -= min(left, s.budget) {
		_, _, e := unix.Syscall6(unix.SYS_SENDTO, uintptr(s.txFD), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		switch {
		case e == 0:
			return false, nil
		case !s.zeroCopy && (e == unix.EBUSY || int32(s.tx.cons.Load()-s.tx.head) >= 0):
			s.refuse()
			return true, nil
		case e == unix.EAGAIN:
			s.tx.look() // refuse searches from where the next call begins
		case e == unix.EBUSY || e == unix.ENOBUFS || e == unix.ENOMEM:
			return false, nil
		default:
			return false, e
		}
	}
	return false, nil
}

// Done is the number of sent buffers that DoneAt can read, at most max.
func (s *Socket) Done(max uint32) uint32 { return s.done.ready(max) }

// DoneAt returns buffer i of those that Done counted. Its frame was sent, or the driver dropped it.
func (s *Socket) DoneAt(i uint32) (buf uint32) {
	return s.buffer(s.doneAddrs[(s.done.tail+i)&s.mask] & addrMask)
}

// DoneRelease gives the entries of the first n buffers back. The buffers are the caller's again.
func (s *Socket) DoneRelease(n uint32) { s.done.release(n) }

// buffer is the buffer that holds byte addr of the memory: addr / stride, by a multiplication that
// is several times faster than the division. It is exact for addr < 2^48 and stride < 2^16.
func (s *Socket) buffer(addr uint64) uint32 {
	hi, _ := bits.Mul64(addr, s.inverse)
	return uint32(hi)
}

// inverse is 2^64 / stride, rounded up.
func inverse(stride uint32) uint64 { return ^uint64(0)/uint64(stride) + 1 }
