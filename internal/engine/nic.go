package engine

import (
	"net"
	"syscall"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// NICConfig is how interfaces are opened.
type NICConfig struct{}

func (e *Engine) interfaceIndex(name string) (int, error) {
	i, err := net.InterfaceByName(name)
	if err != nil {
		return 0, fault.New(syscall.ENXIO, "open", name, "")
	}
	return i.Index, nil
}

func (e *Engine) openNIC(name string) (port, error) {
	return nil, fault.New(syscall.ENXIO, "open", name, "no such interface")
}
