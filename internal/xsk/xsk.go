//go:build linux

// Package xsk is AF_XDP: a socket that exchanges frames with one queue of a network interface
// through four rings in shared memory, and the XDP program that directs the frames of a queue to
// its socket. It is large because it also knows what kernels and drivers do wrong or late: refused
// packets, queues that are freed late, interfaces that have another program.
//
// Frames are exchanged in batches. The receive side gives the kernel empty buffers and takes full
// ones:
//
//	n := s.FillRoom(want)                      n := s.RxReady(want)
//	for i := range n { s.FillAt(i, buf) }      for i := range n { buf, off, len, more := s.RxAt(i) }
//	s.FillCommit(n)                            s.RxRelease(n)
//	s.KickRx()
//
// The transmit side gives full buffers and takes them back when they are sent:
//
//	n := s.TxRoom(want)                                n := s.Done(want)
//	for i := range n { s.TxAt(i, buf, 0, len, more) }  for i := range n { buf := s.DoneAt(i) }
//	s.TxCommit(n)                                      s.DoneRelease(n)
//	s.KickTx()
//
// A buffer belongs to the kernel from FillCommit to RxAt, and from TxCommit to DoneAt. The two
// sides share nothing: one goroutine may use each at the same time. The data path allocates
// nothing.
//
// Open and Attach find an interface in the network namespace of the calling thread.
package xsk

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Mode is how frames travel between driver and buffers.
type Mode int

const (
	ZeroCopy Mode = iota // the device reads and writes the buffers itself
	Native               // XDP in the driver, the kernel copies
	Generic              // XDP in the network stack, the kernel copies: any driver can
)

func (m Mode) String() string {
	switch m {
	case ZeroCopy:
		return "zero-copy"
	case Native:
		return "native copy"
	case Generic:
		return "generic"
	}
	return fmt.Sprintf("mode %d", int(m))
}

// Config says what Open opens.
type Config struct {
	Ifindex int
	Queue   int
	// Size is the number of entries of the RX and TX rings, a power of two. At most so many buffers
	// may be in use in each direction.
	Size   uint32
	Rx, Tx bool // which sides the socket has, one at least
	Mode   Mode
	Memory *Memory // the buffers; may be nil with Share
	// Share is an open socket of another queue or interface whose memory this socket uses; or nil.
	Share *Socket
	// BusyPoll makes system calls on the socket run the driver's receive loop in the calling thread
	// (SO_PREFER_BUSY_POLL). It is how many microseconds a call that waits runs it; 0 leaves the loop
	// to interrupts.
	BusyPoll int
	// Fill are buffers to receive into from the start: some drivers that find none at bind never look
	// again.
	Fill []uint32
}

// Socket is an AF_XDP socket, bound to one queue of an interface.
//
//	             ring         entries                  producer index  consumer index  flags
//	             +---------+
//	FillAt  ---> |  fill   |  where to receive into    by us           by the kernel   by the kernel
//	             +---------+
//	RxAt    <--- |   RX    |  received: where, length  by the kernel   by us           -
//	             +---------+
//	TxAt    ---> |   TX    |  to send: where, length   by us           by the kernel   by the kernel
//	             +---------+
//	DoneAt  <--- | complet.|  sent: where              by the kernel   by us           -
//	             +---------+
//
// The kernel is trusted: what it writes is not checked, except that no index leads out of a ring.
//
// In copy modes the sending half is a socket of its own. The kernel sends in poll(2), too, and does
// not report which frames the device refused there. So a caller that waits for frames polls the
// socket that does not send.
type Socket struct {
	fd       int
	txFD     int // fd, or that of the sending half
	ifindex  int
	queue    int
	on       string // interface and queue, for errors
	zeroCopy bool
	multi    bool
	busy     bool // BusyPoll
	memory   *Memory
	mask     uint32 // ring entries - 1 of RX, TX and completion
	stride   uint32
	inverse  uint64   // 2^64 / stride, rounded up: see buffer
	bound    *queueID // nil before bind
	maps     [][]byte // the mapped rings
	none     atomic.Uint32

	rx        consumer
	rxDesc    []unix.XDPDesc
	fill      producer
	fillAddrs []uint64

	_ [64]byte // the two sides may run on two CPUs: keep their cache lines apart

	tx        producer
	txDesc    []unix.XDPDesc
	done      consumer
	doneAddrs []uint64
	budget    uint32 // descriptors that the kernel sends in one system call
	refused   refusal
}

const (
	// maxSize is small enough that sizes computed from it do not overflow.
	maxSize = 1 << 16
	// defaultBudget is how many frames the kernel sends in one system call in copy modes by default
	// (TX_BATCH_SIZE).
	defaultBudget = 32
)

// Open opens a socket on a queue. No frame is received before the socket is Put into a Program.
func Open(c Config) (*Socket, error) {
	const op = "open socket on"
	name, err := ifname(op, c.Ifindex)
	if err != nil {
		return nil, err
	}
	on := queueName(name, c.Queue)
	if c.Memory == nil && c.Share != nil {
		c.Memory = c.Share.memory
	}
	if why := c.check(); why != "" {
		return nil, invalid(op, on, why)
	}
	if err := c.Memory.check(c.Mode == ZeroCopy); err != nil {
		return nil, err
	}
	if why := c.checkFill(); why != "" {
		return nil, invalid(op, on, why)
	}
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fail(op, on, err, socketHints)
	}
	s := &Socket{
		fd: fd, txFD: fd, ifindex: c.Ifindex, queue: c.Queue, on: on, memory: c.Memory,
		mask:    c.Size - 1,
		stride:  c.Memory.Stride,
		inverse: inverse(c.Memory.Stride),
	}
	if err := s.setUp(&c); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// check returns why the configuration cannot work, or "".
func (c *Config) check() string {
	switch {
	case bits.OnesCount32(c.Size) != 1 || c.Size > maxSize:
		return fmt.Sprintf("ring size %d is not a power of two up to %d", c.Size, maxSize)
	case !c.Rx && !c.Tx:
		return "neither side is asked for"
	case c.Memory == nil:
		return "there is no memory"
	case c.Share != nil && c.Memory != c.Share.memory:
		return "the socket to share with has other memory"
	case c.Share != nil && c.Share.fd < 0:
		return "the socket to share with is closed"
	case c.Share != nil && (c.Mode == ZeroCopy) != c.Share.zeroCopy:
		return "sockets that share memory are all zero-copy or none is"
	}
	return ""
}

// checkFill returns why the buffers in Fill cannot be received into, or "". The memory has been
// checked.
func (c *Config) checkFill() string {
	switch {
	case len(c.Fill) > 0 && !c.Rx:
		return "there are buffers to receive into, but no receive side"
	case len(c.Fill) > int(c.Size):
		return fmt.Sprintf("%d buffers to receive into are too many for a ring of %d", len(c.Fill),
			c.Size)
	}
	for _, buf := range c.Fill {
		if !c.Memory.CanFill(buf, c.Mode == ZeroCopy) {
			return fmt.Sprintf("buffer %d cannot be received into", buf)
		}
	}
	return ""
}

// setUp makes a new socket ready for use. The kernel prescribes the order: memory and rings,
// mappings, buffers, bind.
func (s *Socket) setUp(c *Config) error {
	if c.Share == nil {
		if err := registerMemory(s.fd, c.Memory.Mem, c.Memory.chunk()); err != nil {
			return fail("register memory for", s.on, err, memoryHints)
		}
	}
	if err := s.makeRings(c); err != nil {
		return fail("make rings for", s.on, err, ringHints)
	}
	if c.BusyPoll > 0 {
		if err := s.preferBusyPoll(c.BusyPoll); err != nil {
			return fail(busyOp, s.on, err, busyHints)
		}
	}
	n := s.FillRoom(uint32(len(c.Fill)))
	for i := range n {
		s.FillAt(i, c.Fill[i])
	}
	s.FillCommit(n)
	if err := s.bind(c); err != nil {
		return fail(fmt.Sprintf("bind socket (%v) to", c.Mode), s.on, err, bindHints)
	}
	if err := s.checkBusyPoll(); err != nil {
		return err
	}
	if c.splits() {
		if err := s.openSender(c); err != nil {
			return err
		}
	}
	options, err := unix.GetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	if err != nil {
		return fail("ask for mode of", s.on, err, nil)
	}
	s.zeroCopy = options&unix.XDP_OPTIONS_ZEROCOPY != 0
	if s.zeroCopy {
		s.budget = c.Size // the device sends by itself: one call is enough
	}
	return nil
}

// makeRings makes the rings in the kernel and maps them. Every queue needs a fill and a completion
// ring, even if only one side is used.
//
// A completion ring of Size entries cannot overflow: the kernel takes no TX descriptor without a
// free entry for it. The fill ring is twice as long: the kernel may show a received frame before it
// marks the fill entry of that frame as free, so for a moment a buffer counts in both rings.
func (s *Socket) makeRings(c *Config) error {
	fillSize := 2 * c.Size
	err := errors.Join(
		unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_UMEM_FILL_RING, int(fillSize)),
		unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_UMEM_COMPLETION_RING, int(c.Size)),
	)
	if c.Rx {
		err = errors.Join(err, unix.SetsockoptInt(s.fd, unix.SOL_XDP, unix.XDP_RX_RING, int(c.Size)))
	}
	if err != nil {
		return err
	}
	if err := s.mapRings(c, fillSize); err != nil {
		return err
	}
	s.tx = producer{prod: &s.none, cons: &s.none, flags: &s.none}
	if c.Tx && !c.splits() {
		return s.makeTx(c)
	}
	return nil
}

// splits says whether the sending half is a socket of its own.
func (c *Config) splits() bool { return c.Rx && c.Tx && c.Mode != ZeroCopy }

// openSender makes the sending half on the same queue, with the same memory, fill ring and
// completion ring.
func (s *Socket) openSender(c *Config) (err error) {
	const op = "open sending socket on"
	if s.txFD, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		s.txFD = s.fd
		return fail(op, s.on, err, socketHints)
	}
	if err := s.makeTx(c); err != nil {
		return fail("make rings for", s.on, err, ringHints)
	}
	addr := &unix.SockaddrXDP{
		Flags: unix.XDP_SHARED_UMEM, SharedUmemFD: uint32(s.fd),
		Ifindex: uint32(c.Ifindex), QueueID: uint32(c.Queue),
	}
	return fail(op, s.on, unix.Bind(s.txFD, addr), bindHints)
}

// makeTx makes the TX ring in the kernel and maps it.
func (s *Socket) makeTx(c *Config) error {
	if err := unix.SetsockoptInt(s.txFD, unix.SOL_XDP, unix.XDP_TX_RING, int(c.Size)); err != nil {
		return err
	}
	s.raiseLimits(c.Size)
	off, err := mmapOffsets(s.txFD)
	if err != nil {
		return err
	}
	m, err := s.mapRing(s.txFD, unix.XDP_PGOFF_TX_RING, off.Tx.Desc+16*uint64(c.Size))
	if err != nil {
		return err
	}
	s.tx, s.txDesc = newProducer(m, off.Tx, c.Size), entries[unix.XDPDesc](m, off.Tx.Desc, c.Size)
	return nil
}

// raiseLimits makes one system call send the whole TX ring in copy modes, and lets the frames of
// the whole ring wait in the device. Linux has the first since 6.17; it saves KickTx calls. The
// default of the second is 208 KiB as the kernel counts, fewer than a hundred frames of full size.
// Where the kernel refuses either, the default works too.
func (s *Socket) raiseLimits(size uint32) {
	s.budget = defaultBudget
	if size > defaultBudget && unix.SetsockoptInt(s.txFD, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET,
		int(size)) == nil {
		s.budget = size
	}
	// The kernel doubles the value.
	unix.SetsockoptInt(s.txFD, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, int(size)*maxChunk/2)
}

// mapRings maps the rings except TX. A side that was not asked for has no ring and no entries:
// nothing to read, no room to write.
func (s *Socket) mapRings(c *Config, fillSize uint32) error {
	off, err := mmapOffsets(s.fd)
	if err != nil {
		return err
	}
	m, err := s.mapRing(s.fd, unix.XDP_UMEM_PGOFF_FILL_RING, off.Fr.Desc+8*uint64(fillSize))
	if err != nil {
		return err
	}
	s.fill, s.fillAddrs = newProducer(m, off.Fr, fillSize), entries[uint64](m, off.Fr.Desc, fillSize)

	m, err = s.mapRing(s.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, off.Cr.Desc+8*uint64(c.Size))
	if err != nil {
		return err
	}
	s.done, s.doneAddrs = newConsumer(m, off.Cr), entries[uint64](m, off.Cr.Desc, c.Size)

	s.rx = consumer{prod: &s.none, cons: &s.none}
	if c.Rx {
		if m, err = s.mapRing(s.fd, unix.XDP_PGOFF_RX_RING, off.Rx.Desc+16*uint64(c.Size)); err != nil {
			return err
		}
		s.rx, s.rxDesc = newConsumer(m, off.Rx), entries[unix.XDPDesc](m, off.Rx.Desc, c.Size)
	}
	return nil
}

func (s *Socket) mapRing(fd int, pgoff int64, size uint64) ([]byte, error) {
	m, err := unix.Mmap(fd, pgoff, int(size), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_POPULATE)
	if err == nil {
		s.maps = append(s.maps, m)
	}
	return m, err
}

func newProducer(ring []byte, off unix.XDPRingOffset, size uint32) producer {
	return producer{
		prod: word(ring, off.Producer), cons: word(ring, off.Consumer), flags: word(ring, off.Flags),
		size: size,
	}
}

func newConsumer(ring []byte, off unix.XDPRingOffset) consumer {
	return consumer{prod: word(ring, off.Producer), cons: word(ring, off.Consumer)}
}

// bind binds the socket to its queue, for packets of several buffers where kernel and driver
// support them.
func (s *Socket) bind(c *Config) error {
	addr := &unix.SockaddrXDP{Ifindex: uint32(c.Ifindex), QueueID: uint32(c.Queue)}
	if c.Share != nil { // mode, wake-ups and buffers per packet are the shared socket's
		addr.Flags, addr.SharedUmemFD = unix.XDP_SHARED_UMEM, uint32(c.Share.fd)
		s.multi = c.Share.multi
		return s.bindTo(addr)
	}
	addr.Flags = unix.XDP_USE_NEED_WAKEUP | unix.XDP_COPY | unix.XDP_USE_SG
	if c.Mode == ZeroCopy {
		addr.Flags ^= unix.XDP_COPY | unix.XDP_ZEROCOPY
	}
	err := s.bindTo(addr)
	// Linux before 6.6 and some drivers do not support packets of several buffers.
	if s.multi = err == nil; err == unix.EINVAL || err == unix.EOPNOTSUPP {
		addr.Flags &^= unix.XDP_USE_SG
		err = s.bindTo(addr)
	}
	return err
}

// bindTo waits for a busy queue, but only as long as patience: callers may hold locks.
func (s *Socket) bindTo(addr *unix.SockaddrXDP) error {
	q := s.id()
	for start := time.Now(); ; time.Sleep(2 * time.Millisecond) {
		err := unix.Bind(s.fd, addr)
		if err == nil {
			took(q)
			s.bound = &q
		}
		if err != unix.EBUSY {
			return err
		}
		if time.Since(start) >= patience {
			return busy(q, s.on, err)
		}
	}
}

// FD is the descriptor for poll(2), which waits until something is received. The caller must not
// close it.
func (s *Socket) FD() int { return s.fd }

// ZeroCopy tells whether the device reads and writes the buffers itself.
func (s *Socket) ZeroCopy() bool { return s.zeroCopy }

// Multi tells whether a packet may span several buffers, sent and received (XDP_USE_SG).
func (s *Socket) Multi() bool { return s.multi }

// CanFill tells whether a buffer can be received into. The first buffer of the memory cannot,
// because its chunk would begin before the memory. In zero-copy mode the
// buffers at the end of each 2 MiB cannot, because their chunk goes on in the next 2 MiB. The
// kernel never gives back such a buffer if FillAt hands it over.
func (s *Socket) CanFill(buf uint32) bool { return s.memory.CanFill(buf, s.zeroCopy) }

// CanSend tells whether a buffer can be sent from. The kernel drops what it cannot send, and its
// buffer never comes back.
func (s *Socket) CanSend(buf uint32) bool { return !s.zeroCopy || s.memory.CanSend(buf) }

// Close gives the queue back, to the host if the socket was in a Program. The caller has all
// buffers again: none comes back through a ring any more. The data path must not be used during or
// after it. Closing twice does nothing.
func (s *Socket) Close() error {
	if s.fd < 0 {
		return nil
	}
	var errs []error
	for _, m := range s.maps {
		errs = append(errs, unix.Munmap(m))
	}
	if s.txFD != s.fd {
		errs = append(errs, unix.Close(s.txFD))
	}
	errs = append(errs, unix.Close(s.fd))
	if s.bound != nil {
		gave(*s.bound)
	}
	s.maps, s.fd, s.txFD = nil, -1, -1
	return fail("close socket of", s.on, errors.Join(errs...), nil)
}

// Stats are counters of the kernel since Open (XDP_STATISTICS).
type Stats struct {
	// RxDropped are frames for which the fill ring had too few buffers, and without Multi those
	// longer than a buffer.
	RxDropped     uint64
	RxInvalid     uint64 // invalid fill entries; always 0: kernels do not report them so far
	TxInvalid     uint64 // invalid TX descriptors
	RxRingFull    uint64 // frames dropped because the RX ring was full
	FillRingEmpty uint64 // times the kernel wanted a buffer and had none
	TxRingEmpty   uint64 // times the kernel wanted to send and had nothing
}

// Stats reads the counters of the kernel.
func (s *Socket) Stats() (Stats, error) {
	st, err := statistics(s.fd)
	if err != nil {
		return Stats{}, fail("read statistics of", s.on, err, nil)
	}
	sent, err := statistics(s.txFD)
	if err != nil {
		return Stats{}, fail("read statistics of", s.on, err, nil)
	}
	return Stats{
		RxDropped:     st.Rx_dropped,
		RxInvalid:     st.Rx_invalid_descs,
		TxInvalid:     sent.Tx_invalid_descs,
		RxRingFull:    st.Rx_ring_full,
		FillRingEmpty: st.Rx_fill_ring_empty_descs,
		TxRingEmpty:   sent.Tx_ring_empty_descs,
	}, nil
}
