package engine

import (
	"syscall"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/port"
	"github.com/seed-48afdc40/netmap/internal/registry"
	"github.com/seed-48afdc40/netmap/internal/vnethdr"
)

// SetHeader sets the length of the virtio-net headers of a port's frames: 0, 10 or 12. EINVAL for
// other lengths, ENXIO if there is no such port on a switch, EOPNOTSUPP for an attached interface,
// whose frames have no headers (NETMAP_REQ_PORT_HDR_SET).
func (e *Engine) SetHeader(name string, length uint32) error {
	const op = "set header of"
	e.reg.Lock()
	defer e.reg.Unlock()
	if !vnethdr.ValidLength(length) {
		return fault.New(syscall.EINVAL, op, name, "%d bytes; want 0, 10 or 12", length)
	}
	p := e.reg.Find(registry.Key{Name: name})
	if p != nil {
		if h, ok := p.Port.(port.Headed); ok {
			return h.SetHeader(length)
		}
	}
	return fault.New(syscall.ENXIO, op, name, "there is no such port on a switch")
}

// Header returns the length that SetHeader set. It is 0 for ports of other kinds, and for an
// interface of the network namespace that is not open. ENXIO if there is no such port, ENODEV if
// there is no such pipe (NETMAP_REQ_PORT_HDR_GET).
func (e *Engine) Header(in NetNS, name string) (uint32, error) {
	const op = "get header of"
	var t target
	find := func() error {
		t = targetOf(name, &abi.Register{Mode: abi.RegAllNIC})
		return nil
	}
	if err := in(find); err != nil {
		return 0, err
	}
	e.reg.Lock()
	defer e.reg.Unlock()
	switch p := e.reg.Find(t.key); {
	case t.err != nil:
		return 0, fault.Wrap(t.err, op, name, "")
	case p != nil:
		return header(p), nil
	case t.key.Pipe != "":
		return 0, fault.New(syscall.ENODEV, op, name, "there is no such pipe")
	case t.kind != nicKind:
		return 0, fault.New(syscall.ENXIO, op, name, "there is no such port")
	}
	return 0, nil
}

// header returns the length of the virtio-net headers of the port's frames.
func header(p *registry.Entry) uint32 {
	if p.Parent != nil {
		return header(p.Parent) // a monitor shows the parent's frames unchanged
	}
	return port.Header(p.Port)
}
