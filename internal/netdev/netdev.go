//go:build linux

// Package netdev tells network interfaces apart and finds them by their names. A name says little:
// it moves to another interface when two are renamed, an interface has several (altnames), and
// every network namespace has an eth0.
package netdev

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxName is the length of the longest name, that of an altname. (ALTIFNAMSIZ)
const MaxName = 127

// NS is a network namespace. The kernel gives its numbers to another one only after its end.
type NS struct{ Dev, Inode uint64 }

// ID identifies an interface for as long as it exists: when it is deleted, another may get its
// index. Device.Gone tells.
type ID struct {
	NS    NS
	Index int
}

// Here is the network namespace of the calling thread.
func Here() (NS, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/thread-self/ns/net", &st)
	return NS{uint64(st.Dev), st.Ino}, err
}

// Find is the interface that has the name, or the altname, in the calling thread's network
// namespace. ENODEV when there is none.
func Find(name string) (ID, error) {
	here, err := Here()
	if err != nil {
		return ID{}, err
	}
	index, err := indexOf(name)
	return ID{here, index}, err
}

// Name is the interface's own name, of which there is one, in the calling thread's network
// namespace. ENODEV when there is no interface of that index.
func Name(index int) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return nameOf(fd, index)
}

// nameOf asks in the network namespace of the socket.
func nameOf(socket, index int) (string, error) {
	r, err := unix.NewIfreq("")
	if err != nil {
		return "", err
	}
	r.SetUint32(uint32(index))
	if err := unix.IoctlIfreq(socket, unix.SIOCGIFNAME, r); err != nil {
		return "", err
	}
	return r.Name(), nil
}

// Exists says whether an interface has the name or the altname, in the calling thread's network
// namespace.
func Exists(name string) bool {
	_, err := indexOf(name)
	return err == nil
}

// Own is the name of its own of the interface that has the name or the altname. ENODEV when there
// is none.
func Own(name string) (string, error) {
	index, err := indexOf(name)
	if err != nil {
		return "", err
	}
	return Name(index)
}

// indexOf asks the kernel for one interface, not for the list of all, which may be thousands.
func indexOf(name string) (int, error) {
	if name == "" || len(name) > MaxName {
		return 0, unix.ENODEV
	}
	if len(name) < unix.IFNAMSIZ {
		index, err := bindTo(name)
		if err == nil || err == unix.ENODEV {
			return index, err
		}
	}
	return ask(name)
}

// bindTo binds a socket to the interface and asks it to which. Other than netlink, this does not
// wait for whoever changes interfaces just now, which takes milliseconds, and other than the ioctl
// it has no module loaded when there is no such interface. EPERM before Linux 5.7 without
// CAP_NET_RAW, ENOPROTOOPT before 5.0.
func bindTo(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	if err := unix.BindToDevice(fd, name); err != nil {
		return 0, err
	}
	return unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_BINDTOIFINDEX)
}

// Device is an interface that is being held on to. It neither keeps the interface nor receives
// anything from it.
type Device struct {
	ID
	name   atomic.Pointer[string]
	mu     sync.RWMutex // held for reading by whoever uses the socket
	socket int          // a packet socket without a protocol, which the kernel unbinds when the interface leaves its namespace
}

// Open holds on to the interface of that index in the calling thread's network namespace, which
// stays as long as it is open. Errors: ENODEV, and EPERM without CAP_NET_RAW.
func Open(index int) (*Device, error) {
	here, err := Here()
	if err != nil {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	d := &Device{ID: ID{here, index}, socket: fd}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: index}); err != nil {
		unix.Close(fd)
		return nil, err
	}
	name, _, err := d.ask()
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	d.name.Store(&name)
	return d, nil
}

// Gone says whether the interface has been deleted, or moved to another network namespace, whatever
// has come in its place.
func (d *Device) Gone() bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.gone()
}

func (d *Device) gone() bool {
	at, err := unix.Getsockname(d.socket)
	l, ok := at.(*unix.SockaddrLinklayer)
	return err == nil && ok && l.Ifindex != d.Index
}

// Name is the interface's own name now, or the last that is known of one that is gone.
func (d *Device) Name() string {
	if name, gone, err := d.ask(); err == nil && !gone {
		d.name.Store(&name)
	}
	return *d.name.Load()
}

// ask asks for the name first: who had it may have been a successor of an interface that is gone.
func (d *Device) ask() (name string, gone bool, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	name, err = nameOf(d.socket, d.Index)
	return name, d.gone(), err
}

// Close lets go of the interface. Nothing may be asked of the Device afterwards but Name, which is
// the last one known.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fd := d.socket
	if d.socket = -1; fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

// Dup is a socket in the interface's network namespace, for ioctls. The caller closes it.
func (d *Device) Dup() (int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return unix.FcntlInt(uintptr(d.socket), unix.F_DUPFD_CLOEXEC, 0)
}
