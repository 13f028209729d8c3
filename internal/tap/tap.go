//go:build linux

// Package tap makes network interfaces whose cable ends in this process.
package tap

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Interface is an Ethernet interface of the host, which lives as long as it is open: it goes with the process.
type Interface struct{ fd int }

const op = "make interface"

// New makes an interface of that name, down and without carrier, in the calling thread's network namespace. EEXIST when there
// is one, EPERM without CAP_NET_ADMIN, EINVAL for a name that none can have.
func New(name string) (*Interface, error) {
	if _, err := net.InterfaceByName(name); err == nil {
		return nil, fault.New(syscall.EEXIST, op, name, "there is an interface of that name; choose another")
	}
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return nil, fault.Wrap(err, op, name, "want a name of at most 15 characters")
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fault.Wrap(err, "open", "/dev/net/tun", "the kernel needs TUN, and this process the right to use it")
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_TUN_EXCL)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		if errors.Is(err, syscall.EBUSY) {
			err = syscall.EEXIST // made meanwhile
		}
		return nil, fault.Wrap(err, op, name, "needs CAP_NET_ADMIN, and a name that an interface can have")
	}
	unix.IoctlSetPointerInt(fd, unix.TUNSETCARRIER, 0) // a kernel before 5.0 shows a carrier
	return &Interface{fd}, nil
}

// Close takes the interface away.
func (i *Interface) Close() error { return unix.Close(i.fd) }

// Gone says whether somebody else has deleted the interface.
func (i *Interface) Gone() bool {
	ifr, err := unix.NewIfreq("x")
	return err == nil && unix.IoctlIfreq(i.fd, unix.TUNGETIFF, ifr) != nil
}
