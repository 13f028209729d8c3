//go:build linux

// Package tap makes network interfaces whose cable ends in this process.
package tap

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
)

// Interface is an Ethernet interface of the host, which lives as long as it is open: it goes with the process. What the
// host sends on it can be read from one of its queues, and what is written to any of them the host receives.
type Interface struct {
	name   string
	queues []*Queue
}

const op = "make interface"

// New makes an interface of that name, down and without carrier, in the calling thread's network namespace. EEXIST when there
// is one, EPERM without CAP_NET_ADMIN, EINVAL for a name that none can have.
func New(name string) (*Interface, error) {
	if netdev.Exists(name) {
		return nil, fault.New(syscall.EEXIST, op, name, "there is an interface of that name; choose another")
	}
	i, err := open(name, unix.IFF_TUN_EXCL)
	if err != nil {
		return nil, err
	}
	unix.IoctlSetPointerInt(i.FD(0), unix.TUNSETCARRIER, 0) // a kernel before 5.0 shows a carrier
	return i, nil
}

// NewQueues makes an interface with so many queues, down, in the calling thread's network namespace. Of the pattern, %d
// becomes the first number that is free. Errors: EPERM without CAP_NET_ADMIN, ENOENT where the kernel has no TUN.
func NewQueues(pattern string, queues int) (*Interface, error) {
	flags := uint16(unix.IFF_TUN_EXCL)
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	i, err := open(pattern, flags)
	for err == nil && len(i.queues) < queues {
		err = i.attach(i.name, unix.IFF_MULTI_QUEUE)
	}
	if err != nil && i != nil {
		i.Close()
		i = nil
	}
	return i, err
}

func open(name string, flags uint16) (*Interface, error) {
	i := &Interface{}
	if err := i.attach(name, flags); err != nil {
		return nil, err
	}
	return i, nil
}

// attach opens one more queue; the first makes the interface.
func (i *Interface) attach(name string, flags uint16) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fault.Wrap(err, op, name, "want a name of at most 15 characters")
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return fault.Wrap(err, "open", "/dev/net/tun", "the kernel needs TUN, and this process the right to use it")
	}
	ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		if errors.Is(err, syscall.EBUSY) && !strings.Contains(name, "%") {
			err = syscall.EEXIST // made meanwhile
		}
		return fault.Wrap(err, op, name, "needs CAP_NET_ADMIN, and a name that an interface can have")
	}
	i.name = ifr.Name()
	i.queues = append(i.queues, &Queue{fd: fd})
	return nil
}

// Name is the interface's name when it was made.
func (i *Interface) Name() string { return i.name }

// Queue is queue k, FD its descriptor, for poll(2): readable when the host has sent something to it.
func (i *Interface) Queue(k int) *Queue { return i.queues[k] }

// FD is the descriptor of queue k. It belongs to the interface.
func (i *Interface) FD(k int) int { return i.queues[k].fd }

// Steer has a BPF program (BPF_PROG_TYPE_SOCKET_FILTER) choose the queue of what the host sends, by the number that it
// returns.
func (i *Interface) Steer(program int) error {
	return i.use("steer what is sent on", unix.TUNSETSTEERINGEBPF, program)
}

// Filter has a BPF program of the same type say how many bytes of each frame that the host sends are to be read, 0 for none of
// it.
func (i *Interface) Filter(program int) error {
	return i.use("filter what is sent on", unix.TUNSETFILTEREBPF, program)
}

func (i *Interface) use(op string, request uint, program int) error {
	if err := unix.IoctlSetPointerInt(i.FD(0), request, program); err != nil {
		return fault.Wrap(err, op, i.name, "")
	}
	return nil
}

// Close takes the interface away.
func (i *Interface) Close() error {
	var errs []error
	for _, q := range i.queues {
		errs = append(errs, unix.Close(q.fd))
	}
	return errors.Join(errs...)
}

// Gone says whether somebody else has deleted the interface.
func (i *Interface) Gone() bool {
	ifr, err := unix.NewIfreq("x")
	return err == nil && unix.IoctlIfreq(i.FD(0), unix.TUNGETIFF, ifr) != nil
}

// NetNS is a descriptor of the network namespace in which the interface is, which may have been moved. EPERM without CAP_NET_ADMIN
// there, EINVAL before Linux 5.2.
func (i *Interface) NetNS() (int, error) {
	return unix.IoctlRetInt(i.FD(0), unix.TUNGETDEVNETNS)
}

// NameNow is the interface's name. EBADFD when somebody has deleted it.
func (i *Interface) NameNow() (string, error) {
	r, err := unix.NewIfreq("")
	if err == nil {
		err = unix.IoctlIfreq(i.FD(0), unix.TUNGETIFF, r)
	}
	if err != nil {
		return "", err
	}
	return r.Name(), nil
}
