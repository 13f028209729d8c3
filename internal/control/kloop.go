//go:build linux

package control

import (
	"encoding/binary"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// maxSleepUs is the longest that a loop may sleep.
const maxSleepUs = 1000000

// csb is where a client has its CSB arrays. They are addresses in the memory of whoever makes a request: of REGISTER or
// CSB_ENABLE, which writes what they start with, and of START, whose loop uses them.
type csb struct{ atok, ktoa uint64 }

// enableCSB answers CSB_ENABLE, which makes no sense without its option. An unbound client has no rings, which is no error.
func (k *call) enableCSB() error {
	o := k.option(abi.OptCSB)
	if o == nil {
		return fault.New(syscall.EINVAL, "enable CSB", k.name, "the option with the arrays is missing")
	}
	if k.client.binding.Load() == nil {
		o.status = 0
		return nil
	}
	return k.useCSB(o)
}

// useCSB puts the client's port into CSB mode.
func (k *call) useCSB(o *option) error {
	at := csb{binary.LittleEndian.Uint64(o.body), binary.LittleEndian.Uint64(o.body[8:])}
	err := k.client.binding.Load().EnableCSB(func(states []session.RingState) error {
		if err := at.start(k.process, states); err != nil {
			return err
		}
		k.client.csb = at
		return nil
	})
	o.status = fault.Errno(err)
	return err
}

// start writes what the arrays start with. Of the client's own words only those that are the framework's to set change.
func (c csb) start(p Process, states []session.RingState) error {
	if c.atok%abi.CSBEntrySize != 0 || c.ktoa%abi.CSBEntrySize != 0 {
		return fault.New(syscall.EINVAL, "enable CSB", "", "the arrays are to be aligned to %d bytes", abi.CSBEntrySize)
	}
	in, out := make([]byte, len(states)*abi.CSBEntrySize), make([]byte, len(states)*abi.CSBEntrySize)
	if p.Read(c.atok, in) != nil {
		return syscall.EFAULT
	}
	atok, ktoa := shm.Slice[abi.CSBAtok](in, 0, len(states)), shm.Slice[abi.CSBKtoa](out, 0, len(states))
	for i, s := range states {
		s.Write(&atok[i], &ktoa[i])
	}
	if p.Write(c.ktoa, out) != nil || p.Write(c.atok, in) != nil {
		return syscall.EFAULT
	}
	return nil
}

// open makes the arrays accessible: as memory that is shared where the client has put them into such, otherwise as copies,
// of all entries at once.
func (c csb) open(p Process, rings int) (arrays session.CSB, release func()) {
	size := rings * abi.CSBEntrySize
	in, unmapIn := p.Share(c.atok, size)
	out, unmapOut := p.Share(c.ktoa, size)
	release = func() {
		for _, f := range []func(){unmapIn, unmapOut} {
			if f != nil {
				f()
			}
		}
	}
	if in == nil || out == nil {
		release()
		in, out, release = make([]byte, size), make([]byte, size), func() {}
		arrays.Pull = func() error { return p.Read(c.atok, in) }
		arrays.Push = func() error { return p.Write(c.ktoa, out) }
	}
	arrays.Atok, arrays.Ktoa = shm.Slice[abi.CSBAtok](in, 0, rings), shm.Slice[abi.CSBKtoa](out, 0, rings)
	return arrays, release
}

// startLoop answers SYNC_KLOOP_START: it runs the loop, until another request stops it, the client is interrupted or dies,
// or the port is closed.
func (k *call) startLoop() error {
	sleep := abi.View[abi.SyncKloopStart](k.body).SleepUs
	b := k.client.binding.Load()
	switch {
	case sleep > maxSleepUs:
		return fault.New(syscall.EINVAL, "start loop on", k.name, "sleeps of %d µs; %d is the most", sleep, maxSleepUs)
	case b == nil:
		return syscall.ENXIO
	}
	l, err := b.StartLoop()
	if err != nil {
		return err
	}
	c := loopCall{call: k, rings: l.Rings()}
	defer c.release()
	c.cfg.Nap = time.Duration(sleep) * time.Microsecond
	if err := c.readOptions(); err != nil {
		l.Abandon()
		return err
	}
	var release func()
	c.cfg.CSB, release = k.client.csb.open(k.process, c.rings)
	defer release()

	c.cfg.Program = k.process

	k.client.mu.Unlock() // for STOP
	defer k.client.mu.Lock()
	defer endWhenInterrupted(l, k.process)()
	return l.Run(c.cfg)
}

// endWhenInterrupted ends the loop when the client wants its answer, until the returned function is called.
func endWhenInterrupted(l *session.Loop, p Process) (stop func()) {
	ended := make(chan struct{})
	go func() {
		select {
		case <-p.Interrupted():
			l.End(syscall.EINTR)
		case <-ended:
		}
	}()
	return func() { close(ended) }
}

// stopLoop answers SYNC_KLOOP_STOP.
func (k *call) stopLoop() error {
	b := k.client.binding.Load()
	if b == nil {
		return syscall.ENXIO
	}
	k.client.mu.Unlock() // for a START that is on its way
	defer k.client.mu.Lock()
	return b.StopLoop()
}

// loopCall is a START as its options are being read.
type loopCall struct {
	*call
	rings  int
	cfg    session.LoopConfig
	ringer *wake.Ringer
	fds    []int
}

func (c *loopCall) readOptions() error {
	mode := c.option(abi.OptSyncKloopMode)
	direct := uint32(0)
	if mode != nil {
		direct = binary.LittleEndian.Uint32(mode.body)
		if direct&^(abi.KloopDirectTx|abi.KloopDirectRx) != 0 {
			return mode.fail(syscall.EINVAL)
		}
		mode.status = 0
	}
	c.cfg.DirectTx, c.cfg.DirectRx = direct&abi.KloopDirectTx != 0, direct&abi.KloopDirectRx != 0
	c.cfg.Sleeps = true
	o := c.option(abi.OptSyncKloopEventfds)
	if o == nil {
		if direct != 0 { // the kernel module runs a loop then that never looks at the rings
			return mode.fail(syscall.EINVAL)
		}
		return nil
	}
	return c.readEventfds(o, direct != 0)
}

// readEventfds takes the client's descriptors. One ring that cannot be kicked makes the whole loop sleep for its time.
func (c *loopCall) readEventfds(o *option, direct bool) error {
	if o.Size != options.header+8*uint64(c.rings) {
		return o.fail(syscall.EINVAL)
	}
	o.status = 0
	pairs := make([]abi.KloopEventfd, c.rings)
	c.cfg.Sleeps = false
	for i := range pairs {
		copy(abi.Bytes(&pairs[i]), o.body[8*i:])
		c.cfg.Sleeps = c.cfg.Sleeps || pairs[i].IoEventfd < 0
	}
	if c.cfg.Sleeps && direct {
		return o.fail(syscall.EINVAL)
	}
	var err error
	if c.ringer, err = wake.NewRinger(); err != nil {
		return o.fail(syscall.EOPNOTSUPP)
	}
	c.cfg.IRQs = make([]kring.Waiter, c.rings)
	for i, pair := range pairs {
		if pair.IrqFd >= 0 {
			fd, err := c.take(pair.IrqFd)
			if err != nil {
				return err
			}
			c.cfg.IRQs[i] = irq{c.ringer, fd}
		}
		if !c.cfg.Sleeps {
			fd, err := c.take(pair.IoEventfd)
			if err != nil {
				return err
			}
			c.cfg.Kicks = append(c.cfg.Kicks, fd)
		}
	}
	return nil
}

func (c *loopCall) take(fd int32) (int, error) {
	ours, err := c.process.Eventfd(int(fd))
	if err == nil {
		c.fds = append(c.fds, ours)
	}
	return ours, err
}

func (c *loopCall) release() {
	if c.ringer != nil {
		c.ringer.Close()
	}
	for _, fd := range c.fds {
		unix.Close(fd)
	}
}

// irq is an eventfd of the client's.
type irq struct {
	ringer *wake.Ringer
	fd     int
}

// Wake implements kring.Waiter.
func (i irq) Wake() { i.ringer.Ring(i.fd) }

// fail is an error that the option is to blame for.
func (o *option) fail(e syscall.Errno) error {
	o.status = e
	return e
}
