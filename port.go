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

// Port is an open port: the rings that were bound and the way to have them synced.
type Port struct {
	name      string
	transport Transport
	answer    abi.Register
	nifp      *abi.If
	bufs      shm.Bufs
	tx, rx    []*Ring
}

// ringFinder is a transport that knows which rings are bound where the interface (netmap_if) does not.
type ringFinder interface {
	Rings(mem []byte) (tx, rx []uint64)
}

func boundRings(t Transport, mem []byte) (tx, rx []uint64) {
	if f, ok := t.(ringFinder); ok {
		return f.Rings(mem)
	}
	return shm.Rings(mem, t.Register().Offset)
}

// offsetter is a transport that knows how large offsets in the bound rings may be.
type offsetter interface{ MaxOffset() int }

// NewPort is the port of that name behind a transport. It fails with EPROTO when what stands in the memory is not what
// the answer says.
func NewPort(name string, t Transport) (p *Port, err error) {
	defer func() {
		if r := recover(); r != nil { // a view outside of the memory
			err = fault.New(syscall.EPROTO, "open", name, "the framework's answer makes no sense: %v", r)
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

// Tx are the bound tx rings, host rings last.
func (p *Port) Tx() []*Ring { return p.tx }

// Rx are the bound rx rings, host rings last.
func (p *Port) Rx() []*Ring { return p.rx }

// Request is the answer to the request that opened the port: what was granted.
func (p *Port) Request() abi.Register { return p.answer }

// SameRegion says whether buffers may be swapped between the two ports.
func (p *Port) SameRegion(o *Port) bool {
	return shm.SameStart(p.transport.Memory(), o.transport.Memory())
}

// TxSync sends what was put into the tx rings and takes back the slots of frames that are out. Errors: EIO when the port
// is down or gone, ENXIO when it is closed. // NIOCTXSYNC
func (p *Port) TxSync() error { return p.transport.TxSync() }

// RxSync gives back the slots that were read and takes in frames that have arrived. Errors are those of TxSync.
// // NIOCRXSYNC
func (p *Port) RxSync() error { return p.transport.RxSync() }

// Poll syncs, and sleeps until one of the wanted events is there. It returns no events when the timeout is over; negative
// is for ever, and 0 does not sleep. The error is the context's, or that of the system call. Pending frames are sent
// whatever is wanted, unless the port was opened with NoTxPoll. // poll(2)
func (p *Port) Poll(ctx context.Context, want Events, timeout time.Duration) (Events, error) {
	got, err := p.transport.Wait(ctx, int16(want), timeout)
	return Events(got), err
}

// headers is a transport that knows of virtio-net headers.
type headers interface {
	Header() (uint32, error)
	SetHeader(length uint32) error
}

// Header is how many bytes of a virtio-net header each frame of the port starts with: 0 is none. Where the framework knows
// no headers there are none. // NETMAP_REQ_PORT_HDR_GET
func (p *Port) Header() (int, error) {
	h, ok := p.transport.(headers)
	if !ok {
		return 0, nil
	}
	n, err := h.Header()
	return int(n), err
}

// SetHeader sets that length, for a port of a VALE switch: 0, 10 or 12, EINVAL for others. ENXIO for ports of other kinds,
// EOPNOTSUPP where the framework knows no headers. // NETMAP_REQ_PORT_HDR_SET
func (p *Port) SetHeader(length int) error {
	h, ok := p.transport.(headers)
	if !ok {
		return fault.New(syscall.EOPNOTSUPP, "set header of", p.name, "open it without a sync loop")
	}
	return h.SetHeader(uint32(length))
}

// Close ends the use of the port. Its rings and frames must not be touched afterwards.
func (p *Port) Close() error { return p.transport.Close() }

// Buf is the whole buffer with that index. An index that is none gives buffer 0, which holds no frame.
func (p *Port) Buf(index uint32) []byte { return p.bufs.Bytes(index) }

// TakeExtra takes the port's extra buffers, by index. Whoever takes them keeps each in exactly one place, a slot or a list
// of his own, and returns as many with ReturnExtra before Close. A port that bound no rings cannot take any: it is from
// a ring that a program learns where the buffers are.
func (p *Port) TakeExtra() []uint32 {
	if p.bufs.Total() == 0 {
		return nil
	}
	var list []uint32
	for i := p.nifp.BufsHead.Swap(0); p.bufs.Valid(i) && len(list) < int(p.bufs.Total()); i = p.bufs.Link(i) {
		list = append(list, i)
	}
	return list
}

// ReturnExtra puts buffers on the port's list of extra buffers, from which Close frees them.
func (p *Port) ReturnExtra(buffers ...uint32) {
	for _, i := range buffers {
		p.bufs.SetLink(i, p.nifp.BufsHead.Load())
		p.nifp.BufsHead.Store(i)
	}
}
