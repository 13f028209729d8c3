package engine

import (
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/hoststack"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/netdev"
	"github.com/seed-48afdc40/netmap/internal/nic"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/tap"
)

// NICConfig is how interfaces are opened.
type NICConfig = nic.Config

var (
	_ port.Port       = (*netIf)(nil)
	_ port.HostSender = (*netIf)(nil)
	_ port.Describer  = (*netIf)(nil)
)

// netIf is an interface with its host stack.
type netIf struct {
	*nic.Port
	host   *hoststack.Stack
	onGone func()
}

// openNIC opens the interface that the key means, in the calling thread's network namespace, with
// as many host rings as are wished for. Its name may have moved to another one meanwhile: the key
// is that of the one that was opened.
func (e *Engine) openNIC(p *entry, req *abi.Register) error {
	cfg := e.cfg.NIC
	cfg.Secret = rand.Uint64() | 1
	name, err := netdev.Name(p.key.dev.Index)
	if err != nil {
		return noInterface("open", p.Name, err)
	}
	np, err := nic.Open(p.Region, name, cfg)
	if err != nil {
		return err
	}
	index := np.Index()
	layer := tap.Ethernet
	if np.Bare() {
		layer = tap.Bare
	}
	tx, rx := len(np.Rings(abi.DirTx)), len(np.Rings(abi.DirRx))
	host, err := hoststack.New(p.Region, hoststack.Config{
		Name: np.Title, Index: index, MTU: np.MTU, Layer: layer, TxQueues: tx,
		TxRings: max(req.HostTxRings, 1), RxRings: max(req.HostRxRings, 1), TxID: uint16(tx), RxID: uint16(rx),
		Slots: np.Slots(), Piece: np.MaxTx(), Prefix: np.Prefix(), Address: np.Address(), Trouble: np.Trouble, OnEvent: cfg.OnEvent,
	})
	if err != nil {
		np.Close()
		return err
	}
	p.key.dev.Index, p.Dev = index, np.Device()
	n := &netIf{np, host, e.interfaceGone}
	np.Follow(n)
	p.Port = n
	return nil
}

// gone says whether the interface has been deleted, or moved to another network namespace.
func (n *netIf) gone() bool { return n.Device() != nil && n.Device().Gone() }

// Wake is told when something has happened to the interface. It implements kring.Waiter.
func (n *netIf) Wake() {
	n.host.Wake()
	if n.gone() {
		go n.onGone() // which may have to wait for whoever calls
	}
}

// HostRings implements port.Hosted.
func (n *netIf) HostRings(dir kring.Dir) []*kring.Ring { return n.host.Rings(dir) }

// SendToHost implements port.HostSender.
func (n *netIf) SendToHost(r *kring.Ring, k, end uint32) uint32 { return n.host.Send(r, k, end) }

// Start brings a ring into use. With the last tx ring the host is cut off the wire.
func (n *netIf) Start(r *kring.Ring) error {
	if n.gone() {
		return fault.New(syscall.ENXIO, "open", n.Title(),
			"the interface is gone; open the one that has come in its place")
	}
	if slices.Contains(n.host.Rings(r.Dir), r) {
		return n.host.Start(r)
	}
	if err := n.Port.Start(r); err != nil {
		return err
	}
	n.host.Follow(n.use())
	return nil
}

// Stop is the inverse.
func (n *netIf) Stop(r *kring.Ring) {
	if slices.Contains(n.host.Rings(r.Dir), r) {
		n.host.Stop(r)
		return
	}
	n.Port.Stop(r)
	n.host.Follow(n.use())
}

// use is what somebody has of the interface.
func (n *netIf) use() hoststack.Use {
	isOff := func(r *kring.Ring) bool { return !r.Mapped() }
	tx, rx := n.Rings(abi.DirTx), n.Rings(abi.DirRx)
	return hoststack.Use{
		Any:     slices.ContainsFunc(slices.Concat(tx, rx), (*kring.Ring).Mapped),
		AllTx:   !slices.ContainsFunc(tx, isOff),
		Generic: n.Generic(),
	}
}

// Close ends the port; all rings are stopped.
func (n *netIf) Close() error {
	n.host.Close()
	return n.Port.Close()
}

// Describe implements port.Describer.
func (n *netIf) Describe() (string, map[string]uint64) {
	detail, drops := n.Port.Describe()
	if lost := n.host.Lost(); lost > 0 {
		drops["host-queue-full"] = lost
	}
	return detail, drops
}
