package engine

import (
	"math/rand/v2"
	"slices"
	"syscall"

	"github.com/vishvananda/netns"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/hoststack"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/nic"
)

// NICConfig is how interfaces are opened.
type NICConfig = nic.Config

// nicKey tells interfaces of one name in several network namespaces apart.
func nicKey(name string) (string, error) {
	ns, err := netns.Get()
	if err != nil {
		return "", fault.Wrap(err, "open", name, "")
	}
	defer ns.Close()
	return name + " in " + ns.UniqueId(), nil
}

// acceptsStamps says whether the port gives time stamps of received frames, if they are asked for.
func (p *entry) acceptsStamps(req *abi.Register) error {
	if req.Flags&abi.NRRxStamps == 0 {
		return nil
	}
	if n, ok := p.port.(*netIf); ok {
		return n.Stamps()
	}
	return fault.New(syscall.EOPNOTSUPP, "open", p.name, "only interfaces have time stamps of received frames; leave the wish out")
}

// netIf is an interface with its host stack.
type netIf struct {
	*nic.Port
	host *hoststack.Stack
}

// openNIC opens an interface of the calling thread's network namespace, with as many host rings as are wished for.
func (e *Engine) openNIC(name string, req *abi.Register, region *mem.Region) (port, error) {
	cfg := e.cfg.NIC
	cfg.Prefix = rand.Uint64() &^ 1 // the first byte is that of an address, and not of a group's
	p, err := nic.Open(region, name, cfg)
	if err != nil {
		return nil, err
	}
	index, mtu := p.Interface()
	tx, rx := len(p.Rings(abi.DirTx)), len(p.Rings(abi.DirRx))
	host, err := hoststack.New(region, hoststack.Config{
		Name: name, Index: index, MTU: mtu, TxQueues: tx,
		TxRings: max(req.HostTxRings, 1), RxRings: max(req.HostRxRings, 1), TxID: uint16(tx), RxID: uint16(rx),
		Slots: p.Slots(), Piece: p.MaxTx(), Prefix: cfg.Prefix, Trouble: p.Trouble, OnTrouble: cfg.OnTrouble,
	})
	if err != nil {
		p.Close()
		return nil, err
	}
	p.Follow(host)
	return &netIf{p, host}, nil
}

// HostRings implements hosted.
func (n *netIf) HostRings(dir uint16) []*kring.Ring { return n.host.Rings(dir) }

// Start brings a ring into use. With the last tx ring the host is cut off the wire.
func (n *netIf) Start(r *kring.Ring) error {
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

// Describe implements describer.
func (n *netIf) Describe() (string, map[string]uint64) {
	detail, drops := n.Port.Describe()
	if lost := n.host.Lost(); lost > 0 {
		drops["host-queue-full"] = lost
	}
	return detail, drops
}
