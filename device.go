//go:build linux || freebsd

package netmap

import (
	"context"
	"errors"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// voidBit is set in the numbers of requests without a structure on FreeBSD.
const voidBit = freebsdBit & abi.FreeBSDVoid

// DevicePath is the device that Open uses.
const DevicePath = "/dev/netmap"

// Open opens a port of /dev/netmap. Errors: EINVAL for a bad name or a ring that the port does not have, ENXIO for an
// interface that does not exist, EBUSY when somebody holds it exclusively, ENOMEM when the memory is used up, and those
// of opening the device.
func Open(name string, options ...Option) (*Port, error) {
	return OpenDevice(DevicePath, name, options...)
}

// OpenDevice is Open on another device node.
func OpenDevice(path, name string, options ...Option) (*Port, error) {
	opening, err := Request(name, options...)
	if err != nil {
		return nil, err
	}
	var t Transport
	d, err := openDevice(path, opening)
	if err != nil {
		return nil, err
	}
	if t = d; opening.Loop && d.legacy {
		d.Close()
		return nil, fault.New(unix.EOPNOTSUPP, "start loop on", name, "the device speaks API %d, which has no sync loops; open the port without SyncLoop", legacyAPI)
	} else if opening.Loop {
		if t, err = d.startLoop(); err != nil {
			d.Close()
			return nil, err
		}
	}
	p, err := NewPort(name, t)
	if err != nil {
		t.Close()
		return nil, err
	}
	return p, nil
}

// device is a port behind a device node: the transport of Open.
type device struct {
	fd     int
	path   string // of the node
	name   string
	answer abi.Register
	legacy bool // it knows requests of API 11 only
	region *region

	maxOffset int // of frames in their buffers, in bytes

	wakeMu sync.Mutex
	wakers *waker

	use    sync.RWMutex // held for reading by whoever uses fd
	closed atomic.Bool
}

func openDevice(path string, o Opening) (*device, error) {
	fd, err := nioctl.Open(path)
	if err != nil {
		return nil, err
	}
	d := &device{fd: fd, path: path, name: shortName(o.Port, abi.ReqNameSize-1), answer: o.Register}
	own, err := o.Extmem.mapping()
	if err == nil {
		err = d.register(o.Offsets, own, o.Extmem)
	}
	if err != nil {
		own.Close()
		unix.Close(fd)
		return nil, err
	}
	if d.region, err = mapRegion(fd, d.answer, own); err != nil {
		unix.Close(fd)
		return nil, fault.Wrap(err, "map the memory of", o.Port, "")
	}
	return d, nil
}

// shortName is a name of an interface that a request has room for: if it is longer, an altname,
// then the interface's own.
func shortName(name string, most int) string {
	if len(name) > most {
		if own, err := netdev.Own(name); err == nil {
			return own
		}
	}
	return name
}

// mapping is the memory, mapped: nil for none, a mapping that is not ours for what the program has mapped, or the file.
func (x *Extmem) mapping() (*shm.Mapping, error) {
	switch {
	case x == nil:
		return nil, nil
	case x.File == "":
		return shm.Borrow(x.Memory), nil
	}
	return shm.MapFile(x.File)
}

// register sends the request; the answer replaces it.
func (d *device) register(offsets *abi.OptionOffsets, own *shm.Mapping, x *Extmem) error {
	if len(d.name) >= abi.ReqNameSize {
		return fault.New(unix.ENXIO, "open", d.name, "there is no interface of that name, and those of other ports are shorter")
	}
	h := abi.Header{Version: abi.Version, Type: abi.ReqRegister}
	copy(h.Name[:abi.ReqNameSize-1], d.name)
	var options [][]byte
	var o abi.OptionOffsets // what was granted, in the answer
	if offsets != nil {
		o = *offsets
		o.Type = abi.OptOffsets
		options = append(options, abi.Bytes(&o))
	}
	if own != nil {
		o := abi.OptionExtmem{Option: abi.Option{Type: abi.OptExtmem}, UsrPtr: shm.Address(own.Bytes()), Info: x.Pools}
		o.Info.MemSize = uint64(len(own.Bytes()))
		options = append(options, abi.Bytes(&o))
	}
	switch err := nioctl.Control(d.fd, &h, &d.answer, options...); {
	case err == nil:
		d.maxOffset = int(min(o.MaxOffset, math.MaxInt32))
		return nil
	case !isLegacy(d.fd, err):
		return fault.Wrap(err, "open", d.name, "%s", d.registerHint(err))
	case len(options) > 0:
		return fault.New(unix.EOPNOTSUPP, "open", d.name, "the device speaks API %d, which has neither offsets nor external memory", legacyAPI)
	}
	return d.registerLegacy()
}

func (d *device) registerHint(err error) string {
	switch {
	case nioctl.IsNone(err):
		return nioctl.NoneHint(d.path)
	case errors.Is(err, unix.ENXIO):
		return "there is no such interface"
	case errors.Is(err, unix.EINVAL):
		return "the port has no such ring, its MTU does not fit the buffers, or the device does not know the request"
	case errors.Is(err, unix.EBUSY):
		return "somebody has it exclusively, or the other way round"
	case errors.Is(err, unix.EOPNOTSUPP):
		return "the port, or the device, has no such option; or the external memory cannot be shared: map a memfd of MFD_ALLOW_SEALING"
	case errors.Is(err, unix.ENOMEM):
		return "the device's memory is used up; close ports, or give it more " +
			"(netmap serve --buffers, --rings, --ports; its log tells of what)"
	}
	return ""
}

func (d *device) Register() abi.Register { return d.answer }
func (d *device) Memory() []byte         { return d.region.Bytes() }
func (d *device) MaxOffset() int         { return d.maxOffset }
func (d *device) TxSync() error          { return d.sync("txsync", abi.NIOCTXSYNC) }
func (d *device) RxSync() error          { return d.sync("rxsync", abi.NIOCRXSYNC) }

// Header is NETMAP_REQ_PORT_HDR_GET.
func (d *device) Header() (uint32, error) {
	var h abi.PortHdr
	err := d.header("get header of", abi.ReqPortHdrGet, &h)
	return h.HdrLen, err
}

// SetHeader is NETMAP_REQ_PORT_HDR_SET.
func (d *device) SetHeader(length uint32) error {
	return d.header("set header of", abi.ReqPortHdrSet, &abi.PortHdr{HdrLen: length})
}

func (d *device) header(op string, request uint16, body *abi.PortHdr) error {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed.Load() {
		return fault.New(unix.ENXIO, op, d.name, "the port is closed")
	}
	h := abi.Header{Version: abi.Version, Type: request}
	copy(h.Name[:abi.ReqNameSize-1], d.name)
	if err := nioctl.Control(d.fd, &h, body); err != nil {
		return fault.Wrap(err, op, d.name, "")
	}
	return nil
}

func (d *device) sync(op string, request uint) error {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed.Load() {
		return fault.New(unix.ENXIO, op, d.name, "the port is closed")
	}
	if e := nioctl.Do[struct{}](d.fd, request|voidBit, nil); e != 0 {
		return useHints.Wrap(e, op, d.name)
	}
	return nil
}

// useHints say what to do when a port that is open works no more.
var useHints = fault.Hints{
	unix.ENOTCONN:     endedHint,
	unix.ECONNABORTED: endedHint,
	unix.EIO:          "the interface is down, gone, or has other queues: look at it with netmap info, and open it again",
}

const endedHint = "the daemon behind the device has ended: start netmap serve again, and open the port again"

// Wait is poll(2) on the device, and on a pipe that ends it.
func (d *device) Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error) {
	d.use.RLock()
	defer d.use.RUnlock()
	if d.closed.Load() {
		return unix.POLLERR, nil
	}
	if timeout == 0 {
		return d.look(events)
	}
	w, err := d.waker()
	if err != nil {
		return 0, useHints.Wrap(err, "poll", d.name)
	}
	defer d.retire(w)
	stop := wake.On(ctx, w)
	defer func() {
		if stop() {
			w.drain()
		}
	}()
	deadline := time.Now().Add(timeout)
	for !d.closed.Load() {
		over := ctx.Err()
		if over != nil {
			timeout = 0 // what is there already counts
		}
		fds := [2]unix.PollFd{{Fd: int32(d.fd), Events: events}, {Fd: int32(w.read), Events: unix.POLLIN}}
		_, err := unix.Poll(fds[:], milliseconds(timeout))
		switch {
		case err == nil && fds[0].Revents != 0:
			return fds[0].Revents, nil
		case over != nil:
			return 0, over
		case err != nil && err != unix.EINTR:
			return 0, useHints.Wrap(err, "poll", d.name)
		}
		if timeout >= 0 && ctx.Err() == nil {
			if timeout = time.Until(deadline); timeout <= 0 {
				return 0, nil
			}
		}
	}
	return unix.POLLERR, nil
}

// look is Wait that does not wait, so there is nothing to end.
func (d *device) look(events int16) (int16, error) {
	for !d.closed.Load() {
		fds := [1]unix.PollFd{{Fd: int32(d.fd), Events: events}}
		if _, err := unix.Poll(fds[:], 0); err == nil {
			return fds[0].Revents, nil
		} else if err != unix.EINTR {
			return 0, useHints.Wrap(err, "poll", d.name)
		}
	}
	return unix.POLLERR, nil
}

// milliseconds is a timeout as poll(2) takes it, rounded up.
func milliseconds(t time.Duration) int {
	if t < 0 {
		return -1
	}
	return int(min((t+time.Millisecond-1)/time.Millisecond, 1<<30))
}

// Close ends the binding and unmaps the memory. A poll that is under way returns POLLERR.
func (d *device) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	d.wakeAll()
	d.use.Lock()
	defer d.use.Unlock()
	err := errors.Join(d.region.drop(), unix.Close(d.fd))
	d.closeWakers()
	if err != nil {
		return fault.Wrap(err, "close", d.name, "")
	}
	return nil
}

// region is a mapping that all ports of one memory region of one device share: between them, buffers have the same
// addresses and may be swapped.
type region struct {
	*shm.Mapping
	key  regionKey
	refs int
}

// regionKey identifies a region. A device keeps its numbers as long as it is open, which it is as long as a port has its
// region mapped.
type regionKey struct {
	dev, ino, rdev uint64
	id             uint16
	size           uint64
}

// regions are all that are mapped.
var regions = struct {
	sync.Mutex
	m map[regionKey]*region
}{m: map[regionKey]*region{}}

// mapRegion maps the region that the answer of an open device names, or finds it mapped. One in memory of the program's own
// is mapped already, and taken over.
func mapRegion(fd int, answer abi.Register, own *shm.Mapping) (*region, error) {
	if answer.MemSize > math.MaxInt {
		return nil, fault.New(unix.ENOMEM, "map", "the region",
			"it has %d bytes, more than a 32-bit program can address; build the program for 64 bits",
			answer.MemSize)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, err
	}
	key := regionKey{uint64(st.Dev), uint64(st.Ino), uint64(st.Rdev), answer.MemID, answer.MemSize}
	regions.Lock()
	defer regions.Unlock()
	r := regions.m[key]
	if r == nil {
		m, err := own, error(nil)
		if own == nil {
			m, err = shm.Map(fd, int(answer.MemSize))
		}
		if err != nil {
			return nil, err
		}
		r = &region{Mapping: m, key: key}
		regions.m[key] = r
	} else {
		own.Close()
	}
	r.refs++
	return r, nil
}

// drop unmaps the region when no port has it any more.
func (r *region) drop() error {
	regions.Lock()
	defer regions.Unlock()
	if r.refs--; r.refs > 0 {
		return nil
	}
	delete(regions.m, r.key)
	return r.Close()
}
