//go:build linux

// Package ifioctl does ioctls on network interfaces for another process: those of netdevice(7),
// SIOCETHTOOL and those of MII. The arguments are in the process's memory. The package checks
// permissions as the kernel does for a socket.
package ifioctl

import (
	"math/bits"
	"syscall"

	"golang.org/x/sys/unix"
)

// Memory is the memory of the process.
type Memory interface {
	Read(addr uint64, b []byte) error
	Write(addr uint64, b []byte) error
}

// half tells whether a request reads the interface's state or changes it. Only an administrator of
// the interface's network namespace may change it.
type half int

const (
	neither half = iota
	reading
	administrative
)

// requests are the supported requests. Their argument is a struct ifreq with the interface's name.
// Requests about several interfaces are not supported (SIOCGIFCONF, bridges, bonds, VLANs).
var requests = map[uint32]half{
	unix.SIOCGIFNAME:    reading,
	unix.SIOCGIFFLAGS:   reading,
	unix.SIOCGIFADDR:    reading,
	unix.SIOCGIFDSTADDR: reading,
	unix.SIOCGIFBRDADDR: reading,
	unix.SIOCGIFNETMASK: reading,
	unix.SIOCGIFMETRIC:  reading,
	unix.SIOCGIFMEM:     reading,
	unix.SIOCGIFMTU:     reading,
	unix.SIOCGIFENCAP:   reading,
	unix.SIOCGIFHWADDR:  reading,
	unix.SIOCGIFSLAVE:   reading,
	unix.SIOCGIFINDEX:   reading,
	unix.SIOCGIFPFLAGS:  reading,
	unix.SIOCGIFTXQLEN:  reading,
	unix.SIOCGIFMAP:     reading,

	unix.SIOCSIFFLAGS:       administrative,
	unix.SIOCSIFADDR:        administrative,
	unix.SIOCSIFDSTADDR:     administrative,
	unix.SIOCSIFBRDADDR:     administrative,
	unix.SIOCSIFNETMASK:     administrative,
	unix.SIOCSIFMETRIC:      administrative,
	unix.SIOCSIFMEM:         administrative,
	unix.SIOCSIFMTU:         administrative,
	unix.SIOCSIFNAME:        administrative,
	unix.SIOCSIFHWADDR:      administrative,
	unix.SIOCSIFENCAP:       administrative,
	unix.SIOCADDMULTI:       administrative,
	unix.SIOCDELMULTI:       administrative,
	unix.SIOCSIFPFLAGS:      administrative,
	unix.SIOCDIFADDR:        administrative,
	unix.SIOCSIFHWBROADCAST: administrative,
	unix.SIOCSIFTXQLEN:      administrative,
	unix.SIOCSIFMAP:         administrative,

	// Only administrators may read a PHY: reading changes some registers.
	unix.SIOCGMIIPHY: administrative,
	unix.SIOCGMIIREG: administrative,
	unix.SIOCSMIIREG: administrative,

	unix.SIOCETHTOOL: reading, // depends on the command in its data, see commands
}

// Handles reports whether Do supports a request. It supports none from a 32-bit program, whose
// structures differ.
func Handles(request uint32) bool {
	return request>>8 == 0x89 && bits.UintSize == 64 && requests[request] != neither
}

// Call is one ioctl on an interface.
type Call struct {
	Socket  int // of the interface's network namespace
	Index   int // of the interface
	Request uint32
	Arg     uint64 // address of the struct ifreq
	Memory  Memory
	Admin   func() bool // whether the process is an administrator of the namespace
	Ended   func() bool // whether nobody waits for the answer any more
}

// ifreq is struct ifreq: a name, followed by data that depend on the request.
type ifreq [unix.IFNAMSIZ + 24]byte

// Do does the ioctl. Errors are those of the kernel, EFAULT, EPERM, and EINVAL for a name that is
// not the interface's.
func (c *Call) Do() error {
	var r ifreq
	if err := c.Memory.Read(c.Arg, r[:]); err != nil {
		return err
	}
	if !c.means(&r) {
		return syscall.EINVAL
	}
	if c.Request == unix.SIOCETHTOOL {
		return c.ethtool(&r)
	}
	if requests[c.Request] != reading && !c.Admin() {
		return syscall.EPERM
	}
	before := r
	if err := c.ioctl(c.Request, &r); err != nil {
		return err
	}
	if r == before {
		return nil
	}
	return c.Memory.Write(c.Arg, r[:])
}

// means reports whether the request is about the interface.
func (c *Call) means(r *ifreq) bool {
	if c.Request == unix.SIOCGIFNAME {
		return int(int32(r.word())) == c.Index
	}
	find := *r
	return ioctl(c.Socket, unix.SIOCGIFINDEX, &find) == 0 && int(int32(find.word())) == c.Index
}

func (c *Call) ioctl(request uint32, r *ifreq) error {
	if c.Ended() {
		return syscall.EINTR
	}
	if e := ioctl(c.Socket, request, r); e != 0 {
		return e
	}
	return nil
}
