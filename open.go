//go:build linux || freebsd

package netmap

import (
	"github.com/seed-48afdc40/netmap/internal/device"
)

// DevicePath is the device that Open uses.
const DevicePath = "/dev/netmap"

// Open opens a port of /dev/netmap. Errors: EINVAL for a bad name or a ring that the port does not
// have, ENXIO for an interface that does not exist, EBUSY if another program has it open
// exclusively, ENOMEM if the memory is used up, and those of opening the device.
func Open(name string, options ...Option) (*Port, error) {
	return OpenDevice(DevicePath, name, options...)
}

// OpenDevice is Open with another device node.
func OpenDevice(path, name string, options ...Option) (*Port, error) {
	o, err := Request(name, options...)
	if err != nil {
		return nil, err
	}
	d, err := device.Open(path, device.Opening{
		Register: o.Register, Port: o.Port, Offsets: o.Offsets, Extmem: (*device.Extmem)(o.Extmem),
	})
	if err != nil {
		return nil, err
	}
	t, err := transport(d, o.Loop)
	if err != nil {
		d.Close()
		return nil, err
	}
	p, err := NewPort(name, t)
	if err != nil {
		t.Close()
		return nil, err
	}
	return p, nil
}

// transport returns the port behind the device, with a sync loop if loop is set.
func transport(d *device.Port, loop bool) (Transport, error) {
	if !loop {
		return d, nil
	}
	l, err := d.StartLoop()
	if err != nil {
		return nil, err // l would be a nil pointer in a non-nil interface
	}
	return l, nil
}
