package device

import (
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/csb"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/nioctl"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// loop is a sync loop behind a device node: a request that the device answers when the loop ends. A
// goroutine waits for the answer. loop implements csb.Loop.
type loop struct {
	port   *Port
	rings  int
	memory *shm.Mapping // of the CSB arrays
	atok   []abi.CSBAtok
	ktoa   []abi.CSBKtoa
	kick   wake.Eventfd // wakes the loop
	irq    wake.Eventfd // wakes this program
	fds    [1]unix.PollFd
	ended  chan struct{}
	err    atomic.Pointer[fault.Error] // why it ended
}

// StartLoop puts the port into CSB mode and starts a sync loop for it. It returns EOPNOTSUPP for a
// device of API 11, which has no sync loops.
func (p *Port) StartLoop() (*csb.Port, error) {
	if p.legacy {
		return nil, fault.New(unix.EOPNOTSUPP, "start loop on", p.name,
			"the device speaks API %d, which has no sync loops; open the port without SyncLoop", legacyAPI)
	}
	tx, rx, err := csb.Rings(p.name, p)
	if err != nil {
		return nil, err
	}
	l := &loop{port: p, rings: len(tx) + len(rx), kick: -1, irq: -1, ended: make(chan struct{})}
	if l.rings == 0 {
		return nil, fault.New(unix.EINVAL, "start loop on", p.name, "no ring is bound")
	}
	if err := l.start(); err != nil {
		l.release()
		return nil, fault.Wrap(err, "start loop on", p.name, "the device may not know sync loops")
	}
	return csb.New(p.name, p, tx, rx, l.atok, l.ktoa, l, 0), nil
}

func (l *loop) start() (err error) {
	if err := l.allocate(); err != nil {
		return err
	}
	for _, e := range []*wake.Eventfd{&l.kick, &l.irq} {
		if *e, err = wake.NewEventfd(); err != nil {
			return err
		}
	}
	l.fds[0] = l.irq.In()
	if err := l.enable(); err != nil {
		return err
	}
	go l.run()
	// The device does not say when the loop runs. But then it refuses to change the arrays.
	end := time.Now().Add(5 * time.Second)
	for ; time.Now().Before(end); time.Sleep(100 * time.Microsecond) {
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

// allocate makes the arrays in memory that the device's daemon can share: a file that cannot
// shrink.
func (l *loop) allocate() error {
	size := 2 * l.rings * abi.CSBEntrySize
	fd, err := unix.MemfdCreate("netmap-csb", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		return err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return err
	}
	if l.memory, err = shm.Map(fd, size); err != nil {
		return err
	}
	l.atok = shm.Slice[abi.CSBAtok](l.memory.Bytes(), 0, l.rings)
	l.ktoa = shm.Slice[abi.CSBKtoa](l.memory.Bytes(), uintptr(size/2), l.rings)
	return nil
}

// enable tells the device where the arrays are (NETMAP_REQ_CSB_ENABLE).
func (l *loop) enable() error {
	o := abi.OptionCSB{Option: abi.Option{Type: abi.OptCSB, Size: 40}}
	o.Atok = shm.Address(l.memory.Bytes())
	o.Ktoa = o.Atok + uint64(l.rings*abi.CSBEntrySize)
	h := abi.Header{Version: abi.Version, Type: abi.ReqCSBEnable}
	return nioctl.Control(l.port.fd, &h, (*struct{})(nil), abi.Bytes(&o))
}

// run requests the loop, and returns when it has ended.
func (l *loop) run() {
	defer close(l.ended)
	option := make([]byte, 24+8*l.rings)
	head := abi.View[abi.Option](option)
	*head = abi.Option{Type: abi.OptSyncKloopEventfds, Size: uint64(len(option))}
	for i := range l.rings {
		pair := abi.View[abi.KloopEventfd](option[24+8*i:])
		*pair = abi.KloopEventfd{IoEventfd: int32(l.kick), IrqFd: int32(l.irq)}
	}
	h := abi.Header{Version: abi.Version, Type: abi.ReqSyncKloopStart}
	err := nioctl.Control(l.port.fd, &h, new(abi.SyncKloopStart), option)
	switch status := head.Status; {
	case err != nil:
		l.err.Store(fault.Wrap(err, "run loop on", l.port.name, ""))
	case status != 0:
		l.err.Store(fault.New(unix.Errno(status), "run loop on", l.port.name,
			"the device does not accept eventfds"))
	default:
		l.err.Store(fault.New(unix.ENXIO, "run loop on", l.port.name, "it was stopped"))
	}
	l.Wake()
}

// Err implements csb.Loop.
func (l *loop) Err() error {
	if err := l.err.Load(); err != nil {
		return err
	}
	return nil
}

// Kick implements csb.Loop.
func (l *loop) Kick() { l.kick.Wake() }

// Wake implements csb.Loop.
func (l *loop) Wake() { l.irq.Wake() }

// Sleep implements csb.Loop.
func (l *loop) Sleep(left time.Duration) {
	if wake.Poll(l.fds[:], left) > 0 {
		l.irq.Drain()
	}
}

// Close implements csb.Loop.
func (l *loop) Close() {
	for running := true; running; {
		h := abi.Header{Version: abi.Version, Type: abi.ReqSyncKloopStop}
		nioctl.Control(l.port.fd, &h, (*struct{})(nil))
		select {
		case <-l.ended:
			running = false
		case <-time.After(time.Millisecond): // a signal restarted the request after the stop
		}
	}
	l.release()
}

// release frees everything. The loop has ended, or has not started.
func (l *loop) release() {
	if l.memory != nil {
		l.memory.Close()
		l.memory = nil
	}
	for _, e := range []*wake.Eventfd{&l.kick, &l.irq} {
		if *e >= 0 {
			e.Close()
			*e = -1
		}
	}
}
