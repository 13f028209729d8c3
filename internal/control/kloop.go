//go:build linux

package control

import (
	"encoding/binary"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// maxSleepUs is the longest sleep of a loop, in microseconds.
const maxSleepUs = 1000000

// csb holds the addresses of a client's CSB arrays. They refer to the memory of the process that
// makes a request: REGISTER or CSB_ENABLE, which initialise the arrays, and START, whose loop uses
// them.
type csb struct{ atok, ktoa uint64 }

// enableCSB answers CSB_ENABLE, which requires its option. For an unbound client, which has no
// rings, it succeeds.
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

// start initialises the arrays. In the client's entries, it changes only the words that the
// framework sets.
func (c csb) start(p Process, states []session.RingState) error {
	if c.atok%abi.CSBEntrySize != 0 || c.ktoa%abi.CSBEntrySize != 0 {
		return fault.New(syscall.EINVAL, "enable CSB", "",
			"align the arrays to %d bytes", abi.CSBEntrySize)
	}
	in, out := make([]byte, len(states)*abi.CSBEntrySize), make([]byte, len(states)*abi.CSBEntrySize)
	if p.Read(c.atok, in) != nil {
		return syscall.EFAULT
	}
	atok := shm.Slice[abi.CSBAtok](in, 0, len(states))
	ktoa := shm.Slice[abi.CSBKtoa](out, 0, len(states))
	for i, s := range states {
		s.Write(&atok[i], &ktoa[i])
	}
	if p.Write(c.ktoa, out) != nil || p.Write(c.atok, in) != nil {
		return syscall.EFAULT
	}
	return nil
}

// open makes the arrays accessible. Memory that can be shared is mapped. Otherwise the loop works
// on copies of all entries.
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
	arrays.Atok = shm.Slice[abi.CSBAtok](in, 0, rings)
	arrays.Ktoa = shm.Slice[abi.CSBKtoa](out, 0, rings)
	return arrays, release
}

// startLoop answers SYNC_KLOOP_START. It runs the loop until another request stops it, the client
// is interrupted or killed, or the port is closed.
func (k *call) startLoop() error {
	c := loopCall{call: k}
	defer c.release()
	if err := k.client.locked(c.start); err != nil {
		return err
	}
	defer endWhenInterrupted(c.loop, k.process)()
	return c.loop.Run(c.cfg)
}

// start claims the port for a loop, and reads how the loop is to run.
func (c *loopCall) start() error {
	sleep := abi.View[abi.SyncKloopStart](c.body).SleepUs
	b := c.client.binding.Load()
	switch {
	case sleep > maxSleepUs:
		return fault.New(syscall.EINVAL, "start loop on", c.name,
			"sleeps of %d µs; want at most %d", sleep, maxSleepUs)
	case b == nil:
		return syscall.ENXIO
	}
	var err error
	if c.loop, err = b.StartLoop(); err != nil {
		return err
	}
	c.rings = c.loop.Rings()
	c.cfg.Nap, c.cfg.Program = time.Duration(sleep)*time.Microsecond, c.process
	if err := c.readOptions(); err != nil {
		c.loop.Abandon()
		return err
	}
	c.cfg.CSB, c.unmap = c.client.csb.open(c.process, c.rings)
	return nil
}

// endWhenInterrupted ends the loop when the client is interrupted, until stop is called.
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
	var b *engine.Binding
	err := k.client.locked(func() error {
		b = k.client.binding.Load()
		return nil
	})
	switch {
	case err != nil:
		return err
	case b == nil:
		return syscall.ENXIO
	}
	return b.StopLoop() // without the lock: a START in progress needs it
}

// loopCall is a START whose options are being read.
type loopCall struct {
	*call
	loop   *session.Loop
	rings  int
	cfg    session.LoopConfig
	unmap  func() // of the arrays
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
		if direct != 0 { // the kernel module's loop would never look at the rings
			return mode.fail(syscall.EINVAL)
		}
		return nil
	}
	return c.readEventfds(o, direct != 0)
}

// readEventfds takes the client's descriptors. If one ring has no kick, the whole loop sleeps for
// fixed times.
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
	if c.unmap != nil {
		c.unmap()
	}
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

// fail sets the option's status to the error.
func (o *option) fail(e syscall.Errno) error {
	o.status = e
	return e
}
