// Package iface makes a network interface a port: its NIC rings and its host rings.
package iface

import (
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/hoststack"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/tap"
)

var (
	_ port.Port       = (*Port)(nil)
	_ port.HostSender = (*Port)(nil)
	_ port.HostOwner  = (*Port)(nil)
	_ port.Describer  = (*Port)(nil)
)

// Port is an interface with its host stack.
type Port struct {
	*nic.Port
	host   *hoststack.Stack
	onGone func()
}

// Open opens the interface of that name in the thread's network namespace, with at least one host
// ring in each direction. onGone is called when the interface is gone.
func Open(region *mem.Region, name string, hostTx, hostRx uint16, cfg nic.Config,
	onGone func()) (*Port, error) {
	cfg.Secret = rand.Uint64() | 1
	np, err := nic.Open(region, name, cfg)
	if err != nil {
		return nil, err
	}
	layer := tap.Ethernet
	if np.Bare() {
		layer = tap.Bare
	}
	tx, rx := len(np.Rings(abi.DirTx)), len(np.Rings(abi.DirRx))
	host, err := hoststack.New(region, hoststack.Config{
		Name: np.Title, Index: np.Index(), MTU: np.MTU, Layer: layer, TxQueues: tx,
		TxRings: max(hostTx, 1), RxRings: max(hostRx, 1), TxID: uint16(tx), RxID: uint16(rx),
		Slots: np.Slots(), Piece: np.MaxTx(), Prefix: np.Prefix(), Address: np.Address(),
		Trouble: np.Trouble, OnEvent: cfg.OnEvent,
	})
	if err != nil {
		np.Close()
		return nil, err
	}
	p := &Port{np, host, onGone}
	np.Follow(p)
	return p, nil
}

// Host implements port.HostOwner.
func (p *Port) Host() port.Port { return p.host }

// gone reports whether the interface has been deleted, or moved to another network namespace.
func (p *Port) gone() bool { return p.Device() != nil && p.Device().Gone() }

// Wake is called after events of the interface. It implements kring.Waiter.
func (p *Port) Wake() {
	p.host.Wake()
	if p.gone() {
		go p.onGone() // onGone may need a lock that the caller holds
	}
}

// HostRings implements port.Hosted.
func (p *Port) HostRings(dir kring.Dir) []*kring.Ring { return p.host.Rings(dir) }

// SendToHost implements port.HostSender.
func (p *Port) SendToHost(r *kring.Ring, k, end uint32) uint32 { return p.host.Send(r, k, end) }

// Start starts a ring. When all tx rings are in use, the host cannot send to the wire any more.
func (p *Port) Start(r *kring.Ring) error {
	if p.gone() {
		return fault.New(syscall.ENXIO, "open", p.Title(),
			"the interface is gone; open the one that has come in its place")
	}
	if slices.Contains(p.host.Rings(r.Dir), r) {
		return p.host.Start(r)
	}
	if err := p.Port.Start(r); err != nil {
		return err
	}
	p.host.Follow(p.use())
	return nil
}

// Stop takes a ring out of use. The host can send to the wire again unless all tx rings are in use.
func (p *Port) Stop(r *kring.Ring) {
	if slices.Contains(p.host.Rings(r.Dir), r) {
		p.host.Stop(r)
		return
	}
	p.Port.Stop(r)
	p.host.Follow(p.use())
}

// use tells the host stack which rings of the interface are in use.
func (p *Port) use() hoststack.Use {
	isOff := func(r *kring.Ring) bool { return !r.Mapped() }
	tx, rx := p.Rings(abi.DirTx), p.Rings(abi.DirRx)
	return hoststack.Use{
		Any:     slices.ContainsFunc(slices.Concat(tx, rx), (*kring.Ring).Mapped),
		AllTx:   !slices.ContainsFunc(tx, isOff),
		Generic: p.Generic(),
	}
}

// Close ends the port; all rings are stopped.
func (p *Port) Close() error {
	p.host.Close()
	return p.Port.Close()
}

// Describe implements port.Describer.
func (p *Port) Describe() (string, map[string]uint64) {
	detail, drops := p.Port.Describe()
	if lost := p.host.Lost(); lost > 0 {
		drops["host-queue-full"] = lost
	}
	return detail, drops
}
