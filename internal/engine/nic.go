package engine

import (
	"syscall"

	"github.com/vishvananda/netns"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
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
	if n, ok := p.port.(*nic.Port); ok {
		return n.Stamps()
	}
	return fault.New(syscall.EOPNOTSUPP, "open", p.name, "only interfaces have time stamps of received frames; leave the wish out")
}
