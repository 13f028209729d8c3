package embed

import (
	"sync/atomic"
	"syscall"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/csb"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// loop is a sync loop in a goroutine. The arrays of its CSB are ordinary memory.
type loop struct {
	*wake.Bell
	f     *Framework
	port  *csb.Port
	run   *session.Loop
	ended chan struct{}
	err   atomic.Pointer[fault.Error]
}

// startLoop puts the port into CSB mode and starts a loop on it.
func (f *Framework) startLoop(name string, b *engine.Binding) (netmap.Transport, error) {
	tx, rx, err := csb.Rings(name, b)
	if err != nil {
		return nil, err
	}
	n := len(tx) + len(rx)
	if n == 0 {
		return nil, fault.New(syscall.EINVAL, "start loop on", name, "no ring is bound")
	}
	atok, ktoa := make([]abi.CSBAtok, n), make([]abi.CSBKtoa, n)
	err = b.EnableCSB(func(states []session.RingState) error {
		for i, s := range states {
			s.Write(&atok[i], &ktoa[i])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	l := &loop{Bell: wake.NewBell(), f: f, ended: make(chan struct{})}
	if l.run, err = b.StartLoop(); err != nil {
		return nil, err
	}
	cfg := session.LoopConfig{CSB: session.CSB{Atok: atok, Ktoa: ktoa},
		IRQs: make([]session.Waiter, n)}
	for i := range cfg.IRQs {
		cfg.IRQs[i] = l.Bell
	}
	l.port = csb.New(name, b, tx, rx, atok, ktoa, l, f.spin)
	f.mu.Lock()
	f.loops[l.port] = true
	f.mu.Unlock()
	go func() {
		defer close(l.ended)
		err := l.run.Run(cfg)
		if err == nil {
			err = fault.New(syscall.ENXIO, "run loop on", name, "it was stopped")
		}
		l.err.Store(fault.Wrap(err, "run loop on", name, ""))
		l.Wake()
	}()
	return l.port, nil
}

// Kick implements csb.Loop.
func (l *loop) Kick() { l.run.Wake() }

// Err implements csb.Loop.
func (l *loop) Err() error {
	if err := l.err.Load(); err != nil {
		return err
	}
	return nil
}

// Close implements csb.Loop.
func (l *loop) Close() {
	l.run.End(0)
	<-l.ended
	l.f.mu.Lock()
	delete(l.f.loops, l.port)
	l.f.mu.Unlock()
}

// closeLoops closes the ports that have a loop, because their memory is about to be freed.
func (f *Framework) closeLoops() {
	f.mu.Lock()
	var ports []*csb.Port
	for p := range f.loops {
		ports = append(ports, p)
	}
	f.mu.Unlock()
	for _, p := range ports {
		p.Close()
	}
}
