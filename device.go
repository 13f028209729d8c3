//go:build linux || freebsd

package netmap

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

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
	port, request, err := Request(name, options...)
	if err != nil {
		return nil, err
	}
	d, err := openDevice(path, port, request)
	if err != nil {
		return nil, err
	}
	p, err := NewPort(name, d)
	if err != nil {
		d.Close()
		return nil, err
	}
	return p, nil
}

// device is a port behind a device node: the transport of Open.
type device struct {
	fd     int
	name   string
	answer abi.Register
	region *shm.Mapping
	wake   [2]int // a pipe that ends a poll when its context ends
	once   sync.Once
}

func openDevice(path, port string, request abi.Register) (*device, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fault.Wrap(err, "open", path, "%s", openHint(err))
	}
	d := &device{fd: fd, name: port, answer: request, wake: [2]int{-1, -1}}
	if err := d.register(); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if d.region, err = shm.Map(fd, int(d.answer.MemSize)); err != nil {
		unix.Close(fd)
		return nil, fault.Wrap(err, "map the memory of", port, "")
	}
	if err := unix.Pipe2(d.wake[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		d.Close()
		return nil, fault.Wrap(err, "open", port, "")
	}
	return d, nil
}

func openHint(err error) string {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENXIO):
		return "start 'netmap serve', load netmap's kernel module, or use the embedded framework"
	case errors.Is(err, unix.EACCES):
		return "join the group of the device, or run as root"
	}
	return ""
}

// register sends the request; the answer replaces it.
func (d *device) register() error {
	h := abi.Header{Version: abi.Version, Type: abi.ReqRegister}
	copy(h.Name[:abi.ReqNameSize-1], d.name)
	if err := control(d.fd, &h, &d.answer); err != nil {
		return fault.Wrap(err, "open", d.name, "%s", registerHint(err))
	}
	return nil
}

func registerHint(err error) string {
	switch {
	case errors.Is(err, unix.ENXIO):
		return "there is no such interface"
	case errors.Is(err, unix.EINVAL):
		return "the port has no such ring, its MTU does not fit the buffers, or the device does not know the request"
	case errors.Is(err, unix.EBUSY):
		return "somebody has it exclusively, or the other way round"
	case errors.Is(err, unix.ENOMEM):
		return "the device's memory is used up; close ports or give it more"
	}
	return ""
}

func (d *device) Register() abi.Register { return d.answer }
func (d *device) Memory() []byte         { return d.region.Bytes() }
func (d *device) TxSync() error          { return d.sync("txsync", abi.NIOCTXSYNC) }
func (d *device) RxSync() error          { return d.sync("rxsync", abi.NIOCRXSYNC) }

func (d *device) sync(op string, request uint) error {
	if e := ioctl(d.fd, request|voidBit, nil); e != 0 {
		return fault.New(e, op, d.name, "")
	}
	return nil
}

// Wait is poll(2) on the device, and on the pipe when the context can end.
func (d *device) Wait(ctx context.Context, events int16, timeout time.Duration) (int16, error) {
	fds := [2]unix.PollFd{{Fd: int32(d.fd), Events: events}, {Fd: int32(d.wake[0]), Events: unix.POLLIN}}
	n := 1
	if ctx.Done() != nil {
		n = 2
		defer context.AfterFunc(ctx, func() { unix.Write(d.wake[1], []byte{0}) })()
	}
	deadline := time.Now().Add(timeout)
	for {
		if err := ctx.Err(); err != nil {
			d.drain()
			return 0, err
		}
		_, err := unix.Poll(fds[:n], milliseconds(timeout))
		switch {
		case err == nil && fds[0].Revents != 0:
			return fds[0].Revents, nil
		case err != nil && err != unix.EINTR:
			return 0, fault.Wrap(err, "poll", d.name, "")
		}
		if timeout >= 0 {
			if timeout = time.Until(deadline); timeout <= 0 {
				return 0, nil
			}
		}
	}
}

// drain empties the pipe: the context of one wait must not end another.
func (d *device) drain() {
	var b [16]byte
	for {
		if n, err := unix.Read(d.wake[0], b[:]); n <= 0 || err != nil {
			return
		}
	}
}

// milliseconds is a timeout as poll(2) takes it, rounded up.
func milliseconds(t time.Duration) int {
	if t < 0 {
		return -1
	}
	return int(min((t+time.Millisecond-1)/time.Millisecond, 1<<30))
}

// Close ends the binding and unmaps the memory.
func (d *device) Close() error {
	var err error
	d.once.Do(func() {
		err = errors.Join(d.region.Close(), unix.Close(d.fd))
		for _, fd := range d.wake {
			if fd >= 0 {
				unix.Close(fd)
			}
		}
	})
	if err != nil {
		return fault.Wrap(err, "close", d.name, "")
	}
	return nil
}
