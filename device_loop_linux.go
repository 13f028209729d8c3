package netmap

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/csb"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/internal/shm"
)

// deviceLoop is a sync loop behind a device node: a request that is answered when the loop ends, kept waiting by a
// goroutine.
type deviceLoop struct {
	d      *device
	rings  int
	memory *shm.Mapping // of the CSB arrays
	atok   []abi.CSBAtok
	ktoa   []abi.CSBKtoa
	kick   int // eventfd that wakes the loop
	irq    int // eventfd that wakes us
	fds    [1]unix.PollFd
	ended  chan struct{}
	err    atomic.Pointer[fault.Error] // why it ended
}

// startLoop puts the port into CSB mode and starts a loop on it.
func (d *device) startLoop() (Transport, error) {
	tx, rx, err := csb.Rings(d.name, d)
	if err != nil {
		return nil, err
	}
	l := &deviceLoop{d: d, rings: len(tx) + len(rx), kick: -1, irq: -1, ended: make(chan struct{})}
	if l.rings == 0 {
		return nil, fault.New(unix.EINVAL, "start loop on", d.name, "no ring is bound")
	}
	if err := l.start(); err != nil {
		l.release()
		return nil, fault.Wrap(err, "start loop on", d.name, "the device may not know sync loops")
	}
	return csb.New(d.name, d, tx, rx, l.atok, l.ktoa, l, 0), nil
}

func (l *deviceLoop) start() (err error) {
	if err := l.allocate(); err != nil {
		return err
	}
	for _, fd := range []*int{&l.kick, &l.irq} {
		if *fd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			return err
		}
	}
	l.fds[0] = unix.PollFd{Fd: int32(l.irq), Events: unix.POLLIN}
	if err := l.enable(); err != nil {
		return err
	}
	go l.run()
	// There is no word that the loop runs, but that its arrays cannot be changed any more.
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
		if err := l.Err(); err != nil {
			<-l.ended
			return err
		}
		if err := l.enable(); err == unix.EBUSY {
			return nil
		} else if err != nil {
			l.Close()
			return err
		}
	}
	l.Close()
	return unix.ETIMEDOUT
}

// allocate makes the arrays, in memory that the device's daemon can share: a file that cannot shrink.
func (l *deviceLoop) allocate() error {
	size := 2 * l.rings * abi.CSBEntrySize
	fd, err := unix.MemfdCreate("netmap-csb", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		return err
	}
	if l.memory, err = shm.Map(fd, size); err != nil {
		return err
	}
	l.atok = shm.Slice[abi.CSBAtok](l.memory.Bytes(), 0, l.rings)
	l.ktoa = shm.Slice[abi.CSBKtoa](l.memory.Bytes(), uintptr(size/2), l.rings)
	return nil
}

// enable is CSB_ENABLE.
func (l *deviceLoop) enable() error {
	o := abi.OptionCSB{Option: abi.Option{Type: abi.OptCSB, Size: 40}}
	o.Atok, o.Ktoa = shm.Address(l.memory.Bytes()), shm.Address(l.memory.Bytes())+uint64(l.rings*abi.CSBEntrySize)
	return nioctl.Control(l.d.fd, &abi.Header{Version: abi.Version, Type: abi.ReqCSBEnable}, (*struct{})(nil), abi.Bytes(&o))
}

// run asks for the loop, and returns when that has ended.
func (l *deviceLoop) run() {
	defer close(l.ended)
	option := make([]byte, 24+8*l.rings)
	*abi.View[abi.Option](option) = abi.Option{Type: abi.OptSyncKloopEventfds, Size: uint64(len(option))}
	for i := range l.rings {
		*abi.View[abi.KloopEventfd](option[24+8*i:]) = abi.KloopEventfd{IoEventfd: int32(l.kick), IrqFd: int32(l.irq)}
	}
	err := nioctl.Control(l.d.fd, &abi.Header{Version: abi.Version, Type: abi.ReqSyncKloopStart}, new(abi.SyncKloopStart), option)
	switch status := abi.View[abi.Option](option).Status; {
	case err != nil:
		l.err.Store(fault.Wrap(err, "run loop on", l.d.name, ""))
	case status != 0:
		l.err.Store(fault.New(unix.Errno(status), "run loop on", l.d.name, "the device takes no eventfds"))
	default:
		l.err.Store(fault.New(unix.ENXIO, "run loop on", l.d.name, "it was stopped"))
	}
	l.Wake()
}

// Err implements csb.Loop.
func (l *deviceLoop) Err() error {
	if err := l.err.Load(); err != nil {
		return err
	}
	return nil
}

// Kick implements csb.Loop.
func (l *deviceLoop) Kick() { unix.Write(l.kick, one) }

// Wake implements csb.Loop.
func (l *deviceLoop) Wake() { unix.Write(l.irq, one) }

// one is what is written to an eventfd.
var one = []byte{1, 0, 0, 0, 0, 0, 0, 0}

// Sleep implements csb.Loop.
func (l *deviceLoop) Sleep(left time.Duration) {
	var timeout *unix.Timespec
	if left >= 0 {
		t := unix.NsecToTimespec(int64(left))
		timeout = &t
	}
	if n, _ := unix.Ppoll(l.fds[:], timeout, nil); n > 0 {
		var counter [8]byte
		unix.Read(l.irq, counter[:])
	}
}

// Close implements csb.Loop.
func (l *deviceLoop) Close() {
	for running := true; running; {
		h := abi.Header{Version: abi.Version, Type: abi.ReqSyncKloopStop}
		nioctl.Control(l.d.fd, &h, (*struct{})(nil))
		select {
		case <-l.ended:
			running = false
		case <-time.After(time.Millisecond): // a signal made the request start anew just then
		}
	}
	l.release()
}

// release frees everything. The loop has ended, or has not begun.
func (l *deviceLoop) release() {
	if l.memory != nil {
		l.memory.Close()
		l.memory = nil
	}
	for _, fd := range []*int{&l.kick, &l.irq} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}
