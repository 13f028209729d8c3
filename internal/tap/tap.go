//go:build linux

// Package tap makes network interfaces whose other end is this process.
package tap

import (
	"errors"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/netdev"
)

// Interface is a network interface of the host that exists until it is closed or the process ends.
// What the host sends on it is read from one of its queues. What is written to any queue, the host
// receives.
type Interface struct {
	name   string
	queues []*Queue
}

const op = "make interface"

// Layer is the layer of the header at the start of an interface's frames.
type Layer uint16

const (
	Ethernet Layer = unix.IFF_TAP // an Ethernet header
	Bare     Layer = unix.IFF_TUN // an IP header: the interface has no link layer
)

// MTU is the closest value to wish that an interface can have. With its Ethernet header a frame has
// at most 65535 bytes; IPv4 needs an MTU of at least 68.
func (l Layer) MTU(wish int) int {
	const least, longest, ethernetHeader = 68, 1<<16 - 1, 14
	if l == Ethernet {
		return min(max(wish, least), longest-ethernetHeader)
	}
	return min(max(wish, least), longest)
}

// New makes an interface without carrier in the calling thread's network namespace, and leaves it
// down. EEXIST when the name is taken, EPERM without CAP_NET_ADMIN, EINVAL for a name that no
// interface can have.
func New(name string) (*Interface, error) {
	if netdev.Exists(name) {
		return nil, fault.New(syscall.EEXIST, op, name,
			"there is an interface of that name; choose another")
	}
	i, err := open(name, unix.IFF_TAP|unix.IFF_TUN_EXCL)
	if err != nil {
		return nil, err
	}
	// kernels before 5.0 cannot: the interface shows a carrier
	unix.IoctlSetPointerInt(i.FD(0), unix.TUNSETCARRIER, 0)
	return i, nil
}

// NewQueues makes an interface with several queues in the calling thread's network namespace, and
// leaves it down. In the pattern, %d becomes the first free number. Errors: EPERM without
// CAP_NET_ADMIN, ENOENT if the kernel has no TUN.
func NewQueues(pattern string, layer Layer, queues int) (*Interface, error) {
	flags := uint16(layer) | unix.IFF_TUN_EXCL
	if queues > 1 {
		flags |= unix.IFF_MULTI_QUEUE
	}
	i, err := open(pattern, flags)
	for err == nil && len(i.queues) < queues {
		err = i.attach(i.name, uint16(layer)|unix.IFF_MULTI_QUEUE)
	}
	if err != nil && i != nil {
		i.Close()
		i = nil
	}
	return i, err
}

// openHints are the hints for errors of opening /dev/net/tun, makeHints those for errors of making
// an interface.
var (
	openHints = fault.Hints{
		syscall.ENOENT: "the device is not there: 'modprobe tun' or, in a container, pass it in",
		syscall.ENODEV: "the kernel has no TUN: 'modprobe tun'",
		syscall.ENXIO:  "the kernel has no TUN: 'modprobe tun'",
		syscall.EACCES: "run as root, or let this user read and write the device",
		syscall.EPERM:  "a control group or a security module forbids the device to this process",
		syscall.EMFILE: "too many files are open: raise the limit (ulimit -n, LimitNOFILE=)",
	}
	makeHints = fault.Hints{
		syscall.EPERM:  "needs CAP_NET_ADMIN in the network namespace",
		syscall.EINVAL: "no interface can have that name",
		syscall.EEXIST: "there is an interface of that name; choose another",
		syscall.E2BIG:  "it would have more queues than the kernel allows",
		syscall.ENFILE: "there are too many interfaces of such names",
		syscall.ENOMEM: "there is not enough memory",
	}
)

func open(name string, flags uint16) (*Interface, error) {
	i := &Interface{}
	if err := i.attach(name, flags); err != nil {
		return nil, err
	}
	return i, nil
}

// attach opens one more queue. The first one makes the interface.
func (i *Interface) attach(name string, flags uint16) error {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return fault.Wrap(err, op, name, "want a name of at most 15 characters")
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return openHints.Wrap(err, "open", "/dev/net/tun")
	}
	ifr.SetUint16(unix.IFF_NO_PI | flags)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr); err != nil {
		unix.Close(fd)
		if errors.Is(err, syscall.EBUSY) && !strings.Contains(name, "%") {
			err = syscall.EEXIST // somebody has made it since New looked
		}
		return makeHints.Wrap(err, op, name)
	}
	i.name = ifr.Name()
	i.queues = append(i.queues, &Queue{fd: fd})
	return nil
}

// Name is the name with which the interface was made.
func (i *Interface) Name() string { return i.name }

// Queue returns queue k.
func (i *Interface) Queue(k int) *Queue { return i.queues[k] }

// FD is the descriptor of queue k, for poll(2): readable when the host has sent a frame to the
// queue. It belongs to the interface.
func (i *Interface) FD(k int) int { return i.queues[k].fd }

// Steer attaches a BPF program (BPF_PROG_TYPE_SOCKET_FILTER) that chooses the queue of each frame
// that the host sends: it returns the queue's number.
func (i *Interface) Steer(program int) error {
	return i.use("steer what is sent on", unix.TUNSETSTEERINGEBPF, program)
}

// Filter attaches a BPF program of the same type that returns how many bytes of each frame from the
// host are read; with 0 the frame is dropped.
func (i *Interface) Filter(program int) error {
	return i.use("filter what is sent on", unix.TUNSETFILTEREBPF, program)
}

var programHints = fault.Hints{
	syscall.EPERM:  "needs CAP_NET_ADMIN",
	syscall.EBADFD: "somebody has deleted the interface",
	syscall.EINVAL: "the kernel's TUN takes no BPF programs: needs Linux 4.16",
}

func (i *Interface) use(op string, request uint, program int) error {
	if err := unix.IoctlSetPointerInt(i.FD(0), request, program); err != nil {
		return programHints.Wrap(err, op, i.name)
	}
	return nil
}

// Close removes the interface.
func (i *Interface) Close() error {
	var errs []error
	for _, q := range i.queues {
		errs = append(errs, unix.Close(q.fd))
	}
	return errors.Join(errs...)
}

// Gone reports whether somebody else has deleted the interface.
func (i *Interface) Gone() bool {
	ifr, err := unix.NewIfreq("x")
	return err == nil && unix.IoctlIfreq(i.FD(0), unix.TUNGETIFF, ifr) != nil
}

// NetNS is a descriptor of the interface's network namespace, into which it may have been moved.
// EPERM without CAP_NET_ADMIN there, EINVAL before Linux 5.2.
func (i *Interface) NetNS() (int, error) {
	return unix.IoctlRetInt(i.FD(0), unix.TUNGETDEVNETNS)
}

// NameNow is the interface's current name. EBADFD when somebody has deleted the interface.
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
