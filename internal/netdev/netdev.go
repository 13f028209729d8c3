//go:build linux

// Package netdev finds network interfaces by name and tells them apart. A name does not identify an
// interface: renaming moves it to another one, an interface has several names (altnames), and every
// network namespace has an eth0.
package netdev

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// MaxName is the length of the longest altname (ALTIFNAMSIZ).
const MaxName = 127

// NS identifies a network namespace. The kernel uses the numbers again after the namespace has
// ended.
type NS struct{ Dev, Inode uint64 }

// ID identifies an interface while the interface exists. Another one may get the index later: see
// Device.Gone.
type ID struct {
	NS    NS
	Index int
}

// Here returns the network namespace of the calling thread.
func Here() (NS, error) {
	var st unix.Stat_t
	err := unix.Stat("/proc/thread-self/ns/net", &st)
	return NS{uint64(st.Dev), st.Ino}, err
}

// Find finds the interface with this name or altname in the calling thread's network namespace.
// ENODEV when there is none.
func Find(name string) (ID, error) {
	here, err := Here()
	if err != nil {
		return ID{}, err
	}
	index, err := indexOf(name)
	return ID{here, index}, err
}

// Name is the name, not an altname, of the interface with this index in the calling thread's
// network namespace. ENODEV when there is no such interface.
func Name(index int) (string, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	return nameOf(fd, index)
}

// nameOf is Name in the network namespace of the socket.
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

// Exists reports whether an interface in the calling thread's network namespace has this name or
// altname.
func Exists(name string) bool {
	_, err := indexOf(name)
	return err == nil
}

// Own returns the name of the interface with this name or altname. ENODEV when there is none.
func Own(name string) (string, error) {
	index, err := indexOf(name)
	if err != nil {
		return "", err
	}
	return Name(index)
}

// indexOf asks the kernel for one interface, not for the list of all: there may be thousands.
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

// bindTo binds a socket to the interface and reads the index from the socket. Unlike netlink, this
// does not wait while somebody changes interfaces, which takes milliseconds. Unlike the ioctl, it
// does not load a module when there is no such interface. EPERM before Linux 5.7 without
// CAP_NET_RAW, ENOPROTOOPT before Linux 5.0.
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

// Device refers to an interface and notices when it is gone. It does not keep the interface in
// existence, and receives no frames.
type Device struct {
	ID
	name atomic.Pointer[string]
	mu   sync.RWMutex // held for reading while the socket is used
	// A packet socket without a protocol: it receives nothing. The kernel unbinds it when the
	// interface leaves its namespace.
	socket int
}

// Open returns a Device for the interface with this index in the calling thread's network
// namespace. The Device keeps the namespace in existence until it is closed. ENODEV when there is
// no such interface, EPERM without CAP_NET_RAW.
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

// Gone reports whether the interface was deleted or moved to another network namespace. An
// interface that has its index or name now does not matter.
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

// Name is the interface's current name, or its last known name if the interface is gone.
func (d *Device) Name() string {
	if name, gone, err := d.ask(); err == nil && !gone {
		d.name.Store(&name)
	}
	return *d.name.Load()
}

// ask asks for the name before it checks for gone: otherwise the name could be that of another
// interface that came between.
func (d *Device) ask() (name string, gone bool, err error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	name, err = nameOf(d.socket, d.Index)
	return name, d.gone(), err
}

// Close closes the Device. Only Name may be called afterwards; it returns the last known name.
func (d *Device) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	fd := d.socket
	if d.socket = -1; fd < 0 {
		return nil
	}
	return unix.Close(fd)
}

// Dup returns a socket in the interface's network namespace, for ioctls. The caller closes it.
func (d *Device) Dup() (int, error) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return unix.FcntlInt(uintptr(d.socket), unix.F_DUPFD_CLOEXEC, 0)
}
