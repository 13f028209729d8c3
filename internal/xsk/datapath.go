//go:build linux

package xsk

import (
	"encoding/binary"
	"math/bits"

	"golang.org/x/sys/unix"
)

// RxReady is the number of received frames that RxAt can read, at most max.
func (s *Socket) RxReady(max uint32) uint32 { return s.rx.ready(max) }

// RxAt is received frame i of those that RxReady counted: length bytes from offset of a buffer.
// More means that the packet goes on in the next one.
//
// The kernel reports the chunk that FillAt made of the buffer in the low 48 bits, and in the high
// 16 how far the frame is into the chunk.
func (s *Socket) RxAt(i uint32) (buf, offset, length uint32, more bool) {
	d := &s.rxDesc[(s.rx.tail+i)&s.mask]
	return s.buffer(d.Addr&addrMask + headroom), uint32(d.Addr>>48) - headroom, d.Len,
		d.Options&unix.XDP_PKT_CONTD != 0
}

// RxWhole is how many of the first n received frames make whole packets: those after them belong to
// a packet whose end is not among the n.
func (s *Socket) RxWhole(n uint32) uint32 {
	for n > 0 && s.rxDesc[(s.rx.tail+n-1)&s.mask].Options&unix.XDP_PKT_CONTD != 0 {
		n--
	}
	return n
}

// Stamp is when the frame in a buffer arrived, in nanoseconds by the clock of the card, 0 if the
// driver did not say. It is there once, for the first buffer of a packet, if a program of
// AttachStamping is on the interface and Memory has Spare.
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

// FillAt sets entry i of those that FillRoom counted to a buffer, which must be one that CanFill.
func (s *Socket) FillAt(i, buf uint32) { s.Filler().Set(i, buf) }

// Filler is what FillAt needs to know, small enough for registers, for loops: until the next
// FillCommit.
type Filler struct {
	addrs         []uint64
	first, stride uint32
}

// Filler returns that of the entries that are not committed yet.
func (s *Socket) Filler() Filler { return Filler{s.fillAddrs, s.fill.head, s.stride} }

// Set is FillAt.
func (f Filler) Set(i, buf uint32) {
	f.addrs[(f.first+i)&uint32(len(f.addrs)-1)] = uint64(buf)*uint64(f.stride) - headroom
}

// FillCommit hands the first n buffers to the kernel.
func (s *Socket) FillCommit(n uint32) { s.fill.commit(n) }

// KickRx wakes a driver that ran out of buffers, after FillCommit. Only zero-copy drivers ever ask
// for it.
func (s *Socket) KickRx() {
	if s.fill.needWakeup() {
		s.recv()
	}
}

// PollDriver has the driver receive, here and now, if nothing has been received and the socket was
// opened with BusyPoll.
func (s *Socket) PollDriver() {
	if s.busy && s.rx.ready(1) == 0 {
		s.recv()
	}
}

// PollSent has the driver say which frames are out, if it has said of none and is polled. In copy
// modes they are when KickTx returns.
func (s *Socket) PollSent() {
	if s.busy && s.zeroCopy && s.done.ready(1) == 0 {
		s.recv()
	}
}

// recv has the kernel see to the receive side. An error means that the queue is going away, which
// the transmit side and poll(2) report.
func (s *Socket) recv() {
	unix.Syscall6(unix.SYS_RECVFROM, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
}

// Wake has a zero-copy driver look at its rings, whether it has asked for that or not: after a bind
// with nothing to receive into, some ask only later, and sleep meanwhile.
func (s *Socket) Wake() {
	if s.zeroCopy {
		unix.Syscall6(unix.SYS_SENDTO, uintptr(s.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0) // drivers do not distinguish directions here
	}
	s.KickRx()
}

// TxRoom is the number of frames that TxAt can take, at most max.
func (s *Socket) TxRoom(max uint32) uint32 { return s.tx.room(max) }

// TxAt sets entry i of those that TxRoom counted to a frame: 1 to MaxTx bytes from offset of a
// buffer, within the buffer. More means that the packet goes on in the next entry, which needs
// Multi; the kernel is to be given whole packets only. Of an entry that is not valid the buffer is
// lost on many kernels, and those behind it wait for the next KickTx. The kernel lets a frame run
// into the next buffer by 256 bytes: it is the caller who has to check.
func (s *Socket) TxAt(i, buf, offset, length uint32, more bool) {
	options := uint32(0)
	if more {
		options = unix.XDP_PKT_CONTD
	}
	s.Sender().set(i, buf, offset, length, options)
}

// Sender is what TxAt needs to know, small enough for registers, for loops: until the next
// TxCommit.
type Sender struct {
	desc          []unix.XDPDesc
	first, stride uint32
}

// Sender returns that of the entries that are not committed yet.
func (s *Socket) Sender() Sender { return Sender{s.txDesc, s.tx.head, s.stride} }

// Set is TxAt for a whole packet at the start of its buffer.
func (t Sender) Set(i, buf, length uint32) { t.set(i, buf, 0, length, 0) }

func (t Sender) set(i, buf, offset, length, options uint32) {
	d := &t.desc[(t.first+i)&uint32(len(t.desc)-1)]
	d.Addr, d.Len, d.Options = uint64(buf)*uint64(t.stride)+uint64(offset), length, options
}

// TxCommit hands the first n frames to the kernel, which sends them when it likes or at KickTx.
func (s *Socket) TxCommit(n uint32) { s.tx.commit(n) }

// TxPending is the number of frames that the kernel has not taken yet. In copy modes it takes them
// in KickTx only, and leaves them when the device is full: as long as there are any, KickTx has to
// be called again some time.
func (s *Socket) TxPending() uint32 { return s.tx.pending() }

// KickTx makes the kernel send what TxCommit handed over, if it waits to be told. It stops at a
// packet that the device has refused: the packet is out of the ring, its buffers come back through
// Done, and those behind it wait for the next KickTx, unless PutBack puts it in front of them. An
// error means that the queue is gone or down (ENXIO, ENETDOWN); a full device is none.
//
// In copy modes one system call sends as many frames as its budget allows, then says EAGAIN. It is
// repeated for the others: left to the next KickTx they would wait for a call that may never come,
// and on veth a tenth of the throughput is lost. But EAGAIN also means that the device is full,
// where repeating is no help. So there are never more calls than it takes to send everything when
// each uses its budget up. Also full is a device that takes no more of the kernel's memory
// (ENOBUFS, ENOMEM).
//
// EBUSY means that the device has dropped a packet, any other error after which nothing is left
// that it said so of the last. The kernel does not tell a device that is full, as a veth pair can
// be, from one that will never take this packet.
func (s *Socket) KickTx() (refused bool, err error) {
	if !s.tx.needWakeup() && !s.busy { // a driver that is polled sends only then
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
			s.tx.look() // a refusal is found from where this call began
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

// DoneAt is buffer i of those that Done counted: it was sent, or dropped by the driver.
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
