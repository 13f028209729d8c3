//go:build linux

package control

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/ifioctl"
)

// Slow reports whether a request without data may take long.
func Slow(request uint32) bool { return ifioctl.Handles(request) }

// device does an ioctl of network devices on the interface of the client's port. It returns ENXIO
// if the client is not bound, or its port has no interface.
func (c *Client) device(p Process, request uint32) error {
	b := c.binding.Load()
	if b == nil {
		return syscall.ENXIO
	}
	arg, err := p.Arg()
	if err != nil {
		return err
	}
	socket, index, err := b.DeviceSocket()
	if err != nil {
		return err
	}
	admin := p.Administers(socket) // checked now, while the process certainly waits
	return p.Apart(func(m ifioctl.Memory, ended func() bool) error {
		call := ifioctl.Call{Socket: socket, Index: index, Request: request, Arg: arg,
			Memory: m, Ended: ended,
			Admin: func() bool { return admin }}
		return call.Do()
	}, func() { unix.Close(socket) })
}
