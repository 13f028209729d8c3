//go:build linux || freebsd

// Package device is the transport of a port behind a device node, for netmap.Open. A request is an
// ioctl, a wait is poll(2), and the region is mapped from the node.
package device

import (
	"errors"
	"math"
	"runtime"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// Opening holds the arguments of Open: netmap.Opening without the sync loop.
type Opening struct {
	abi.Register
	Port    string
	Offsets *abi.OptionOffsets // nil for none
	Extmem  *Extmem            // nil for the device's own memory
}

// Extmem is netmap.Extmem: a program's own memory, as the port's region.
type Extmem struct {
	Memory []byte
	File   string
	Pools  abi.PoolsInfo
}

// Port is a port behind a device node. It implements netmap.Transport.
type Port struct {
	fd     int
	path   string // of the node
	name   string
	answer abi.Register
	legacy bool // the device knows only requests of API 11
	region *region

	maxOffset int // largest offset of a frame in its buffer, in bytes

	wakeMu sync.Mutex
	wakers *waker

	use    sync.RWMutex // held for reading while fd is used
	closed atomic.Bool
}

// Open opens the node and registers the port. Errors are those of netmap.Open.
func Open(path string, o Opening) (*Port, error) {
	fd, err := nioctl.Open(path)
	if err != nil {
		return nil, err
	}
	name := shortName(o.Port, abi.ReqNameSize-1)
	p := &Port{fd: fd, path: path, name: name, answer: o.Register}
	own, err := o.Extmem.mapping()
	if err == nil {
		err = p.register(o.Offsets, own, o.Extmem)
	}
	if err != nil {
		own.Close()
		unix.Close(fd)
		return nil, err
	}
	if p.region, err = mapRegion(fd, p.answer, own); err != nil {
		unix.Close(fd)
		return nil, fault.Wrap(err, "map the memory of", o.Port, "")
	}
	return p, nil
}

// shortName returns the name of an interface if it fits into a request. An altname may be too long;
// then it returns the interface's own name.
func shortName(name string, most int) string {
	if len(name) > most {
		if own, err := netdev.Own(name); err == nil {
			return own
		}
	}
	return name
}

// mapping maps the file, or wraps memory that the program has mapped. It is nil without external
// memory.
func (x *Extmem) mapping() (*shm.Mapping, error) {
	switch {
	case x == nil:
		return nil, nil
	case x.File == "":
		return shm.Borrow(x.Memory), nil
	}
	return shm.MapFile(x.File)
}

// register sends the request, and replaces p.answer by the answer.
func (p *Port) register(offsets *abi.OptionOffsets, own *shm.Mapping, x *Extmem) error {
	if len(p.name) >= abi.ReqNameSize {
		return fault.New(unix.ENXIO, "open", p.name,
			"there is no interface of that name, and those of other ports are shorter")
	}
	h := p.request(abi.ReqRegister)
	var options [][]byte
	var granted abi.OptionOffsets // the answer replaces the request
	if offsets != nil {
		granted = *offsets
		granted.Type = abi.OptOffsets
		options = append(options, abi.Bytes(&granted))
	}
	if own != nil {
		o := abi.OptionExtmem{Option: abi.Option{Type: abi.OptExtmem},
			UsrPtr: shm.Address(own.Bytes()), Info: x.Pools}
		o.Info.MemSize = uint64(len(own.Bytes()))
		options = append(options, abi.Bytes(&o))
	}
	switch err := nioctl.Control(p.fd, &h, &p.answer, options...); {
	case err == nil:
		p.maxOffset = int(min(granted.MaxOffset, math.MaxInt32))
		return nil
	case !isLegacy(p.fd, err):
		return nioctl.Explain(err, p.path, "open", p.name, openHints)
	case len(options) > 0:
		return fault.New(unix.EOPNOTSUPP, "open", p.name,
			"the device speaks API %d, which has neither offsets nor external memory", legacyAPI)
	}
	return p.registerLegacy()
}

// request returns the header of a request about this port.
func (p *Port) request(kind uint16) abi.Header {
	h := abi.Header{Version: abi.Version, Type: kind}
	copy(h.Name[:abi.ReqNameSize-1], p.name)
	return h
}

// openHints say what to do when the device refuses to open a port.
var openHints = fault.Hints{
	unix.ENXIO: "there is no such interface",
	unix.EINVAL: "the port has no such ring, its MTU does not fit the buffers, or the device " +
		"does not know the request",
	unix.EBUSY: "another program has the rings exclusively, or the port is opened exclusively " +
		"and its rings are in use",
	unix.EOPNOTSUPP: "the port, or the device, has no such option; or the external memory cannot be " +
		"shared: map a memfd of MFD_ALLOW_SEALING",
	unix.ENOMEM: "the device's memory is used up; close ports, or give it more " +
		"(netmap serve --buffers, --rings, --ports; its log names the pool)",
}

// Register implements netmap.Transport.
func (p *Port) Register() abi.Register { return p.answer }

// Memory implements netmap.Transport.
func (p *Port) Memory() []byte { return p.region.Bytes() }

// MaxOffset is the largest offset of a frame in its buffer, in bytes.
func (p *Port) MaxOffset() int { return p.maxOffset }

// TxSync implements netmap.Transport.
func (p *Port) TxSync() error { return p.sync("txsync", abi.NIOCTXSYNC) }

// RxSync implements netmap.Transport.
func (p *Port) RxSync() error { return p.sync("rxsync", abi.NIOCRXSYNC) }

// Header returns the length of the port's virtio-net header, in bytes (NETMAP_REQ_PORT_HDR_GET).
func (p *Port) Header() (uint32, error) {
	var h abi.PortHdr
	err := p.header("get header of", abi.ReqPortHdrGet, &h)
	return h.HdrLen, err
}

// SetHeader sets the length of the port's virtio-net header, in bytes (NETMAP_REQ_PORT_HDR_SET).
func (p *Port) SetHeader(length uint32) error {
	return p.header("set header of", abi.ReqPortHdrSet, &abi.PortHdr{HdrLen: length})
}

func (p *Port) header(op string, request uint16, body *abi.PortHdr) error {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.closed.Load() {
		return p.isClosed(op)
	}
	h := p.request(request)
	if err := nioctl.Control(p.fd, &h, body); err != nil {
		return fault.Wrap(err, op, p.name, "")
	}
	return nil
}

func (p *Port) sync(op string, request uint) error {
	p.use.RLock()
	defer p.use.RUnlock()
	if p.closed.Load() {
		return p.isClosed(op)
	}
	if runtime.GOOS == "freebsd" {
		request |= abi.FreeBSDVoid
	}
	if e := nioctl.Do[struct{}](p.fd, request, nil); e != 0 {
		return useHints.Wrap(e, op, p.name)
	}
	return nil
}

// isClosed is the error of every request to a port that the program has closed.
func (p *Port) isClosed(op string) error {
	return fault.New(unix.ENXIO, op, p.name, "the port is closed")
}

// useHints say what to do when an open port stops working.
var useHints = fault.Hints{
	unix.ENOTCONN:     endedHint,
	unix.ECONNABORTED: endedHint,
	unix.EIO: "the interface is down, gone, or has other queues: look at it with netmap info, and " +
		"open it again",
}

const endedHint = "the daemon behind the device has ended: start netmap serve again, and open " +
	"the port again"

// Close ends the binding and unmaps the memory. A Wait in progress returns POLLERR.
func (p *Port) Close() error {
	if p.closed.Swap(true) {
		return nil
	}
	p.wakeAll()
	p.use.Lock()
	defer p.use.Unlock()
	err := errors.Join(p.region.drop(), unix.Close(p.fd))
	p.closeWakers()
	if err != nil {
		return fault.Wrap(err, "close", p.name, "")
	}
	return nil
}
