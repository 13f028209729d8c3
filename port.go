package netmap

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Port is an open port with its bound rings. See the package comment for which goroutines may use
// it.
type Port struct {
	name      string
	transport Transport
	answer    abi.Register
	nifp      *abi.If
	bufs      shm.Bufs
	tx, rx    []*Ring
}

// ringFinder is a transport that knows the bound rings, which the interface (netmap_if) may not
// list.
type ringFinder interface {
	Rings(mem []byte) (tx, rx []uint64)
}

func boundRings(t Transport, mem []byte) (tx, rx []uint64) {
	if f, ok := t.(ringFinder); ok {
		return f.Rings(mem)
	}
	return shm.Rings(mem, t.Register().Offset)
}

// offsetter is a transport that knows the largest offset in the bound rings.
type offsetter interface{ MaxOffset() int }

// NewPort returns the port behind a transport. It returns EPROTO if the memory does not agree with
// the transport's answer.
func NewPort(name string, t Transport) (p *Port, err error) {
	defer func() {
		if r := recover(); r != nil { // an access outside of the memory
			err = fault.New(syscall.EPROTO, "open", name, "the framework's answer is invalid: %v", r)
		}
	}()
	p = &Port{name: name, transport: t, answer: t.Register()}
	mem := t.Memory()
	p.nifp = shm.At[abi.If](mem, p.answer.Offset)
	tx, rx := boundRings(t, mem)
	for _, at := range tx {
		p.tx = append(p.tx, newRing(mem, at, true))
	}
	for _, at := range rx {
		p.rx = append(p.rx, newRing(mem, at, false))
	}
	maxOffset := 0
	if o, ok := t.(offsetter); ok {
		maxOffset = o.MaxOffset()
	}
	for _, r := range slices.Concat(p.tx, p.rx) {
		p.bufs, r.maxOffset = r.bufs, maxOffset
	}
	return p, nil
}

// Name is the name under which the port was opened.
func (p *Port) Name() string { return p.name }

// String describes the port for people.
func (p *Port) String() string {
	return fmt.Sprintf("%s: %d tx and %d rx rings", p.name, len(p.tx), len(p.rx))
}

// Tx returns the bound tx rings, host rings last.
func (p *Port) Tx() []*Ring { return p.tx }

// Rx returns the bound rx rings, host rings last.
func (p *Port) Rx() []*Ring { return p.rx }

// Request is the answer to the request that opened the port: what was granted.
func (p *Port) Request() abi.Register { return p.answer }

// SameRegion reports whether the two ports may swap buffers.
func (p *Port) SameRegion(o *Port) bool {
	return shm.SameStart(p.transport.Memory(), o.transport.Memory())
}

// TxSync sends the frames in the tx rings and takes back the slots of frames that were sent
// (NIOCTXSYNC). Errors: EIO if the port is down or gone, ENXIO if it is closed.
func (p *Port) TxSync() error { return p.transport.TxSync() }

// RxSync releases the slots that were read and receives frames (NIOCRXSYNC). Errors are those of
// TxSync.
func (p *Port) RxSync() error { return p.transport.RxSync() }

// Poll syncs, and sleeps until one of the wanted events is ready (poll(2)). At the end of the
// timeout it returns no events; a negative timeout has no end, and 0 does not sleep. Its error is
// the context's, or that of the system call. Poll sends frames whatever is wanted, unless the port
// was opened with NoTxPoll.
func (p *Port) Poll(ctx context.Context, want Events, timeout time.Duration) (Events, error) {
	got, err := p.transport.Wait(ctx, int16(want), timeout)
	return Events(got), err
}

// headers is a transport that supports virtio-net headers.
type headers interface {
	Header() (uint32, error)
	SetHeader(length uint32) error
}

// Header returns the length in bytes of the virtio-net header of the port's frames, 0 without a
// header. It is 0 if the transport does not support headers (NETMAP_REQ_PORT_HDR_GET).
func (p *Port) Header() (int, error) {
	h, ok := p.transport.(headers)
	if !ok {
		return 0, nil
	}
	n, err := h.Header()
	return int(n), err
}

// SetHeader sets the length of the virtio-net header of a VALE port's frames: 0, 10 or 12 bytes
// (NETMAP_REQ_PORT_HDR_SET). Errors: EINVAL for other lengths, ENXIO for other kinds of port,
// EOPNOTSUPP if the transport does not support headers.
func (p *Port) SetHeader(length int) error {
	h, ok := p.transport.(headers)
	if !ok {
		return fault.New(syscall.EOPNOTSUPP, "set header of", p.name, "open it without a sync loop")
	}
	return h.SetHeader(uint32(length))
}

// Close closes the port. Its rings and frames must not be used afterwards.
func (p *Port) Close() error { return p.transport.Close() }

// Buf returns the whole buffer with that index. For an invalid index it returns buffer 0, which
// never holds a frame.
func (p *Port) Buf(index uint32) []byte { return p.bufs.Bytes(index) }

// TakeExtra returns the indexes of the port's extra buffers. The program keeps each in exactly one
// place, a slot or a list of its own, and gives as many back with ReturnExtra before Close. A port
// without bound rings returns none, because only a ring tells where the buffers are.
func (p *Port) TakeExtra() []uint32 {
	if p.bufs.Total() == 0 {
		return nil
	}
	var list []uint32
	i := p.nifp.BufsHead.Swap(0)
	for ; p.bufs.Valid(i) && len(list) < int(p.bufs.Total()); i = p.bufs.Link(i) {
		list = append(list, i)
	}
	return list
}

// ReturnExtra puts buffers on the port's list of extra buffers. Close frees that list.
func (p *Port) ReturnExtra(buffers ...uint32) {
	for _, i := range buffers {
		p.bufs.SetLink(i, p.nifp.BufsHead.Load())
		p.nifp.BufsHead.Store(i)
	}
}
