//go:build linux

// Package ifioctl does ioctls on network interfaces for another process, in whose memory their
// arguments are: those of netdevice(7), SIOCETHTOOL and those of MII. It says who may do what, as
// the kernel does of a socket.
package ifioctl

import (
	"math/bits"
	"syscall"

	"golang.org/x/sys/unix"
)

// Memory is the process's.
type Memory interface {
	Read(addr uint64, b []byte) error
	Write(addr uint64, b []byte) error
}

// half says what a request does: read the interface's state, or set it, which only an administrator
// of its network namespace may.
type half int

const (
	neither half = iota
	reading
	administrative
)

// requests are all that are done, those whose argument is a struct ifreq with the interface's name.
// Left out is what is about more than one interface (SIOCGIFCONF, bridges, bonds, VLANs).
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

	// The kernel lets only administrators read a PHY: some registers change by that.
	unix.SIOCGMIIPHY: administrative,
	unix.SIOCGMIIREG: administrative,
	unix.SIOCSMIIREG: administrative,

	unix.SIOCETHTOOL: reading, // as the command in its data says, see commands
}

// Handles says whether a request is one that Do does. A 32-bit program does none: its structures
// are other ones.
func Handles(request uint32) bool {
	return request>>8 == 0x89 && bits.UintSize == 64 && requests[request] != neither
}

// Call is an ioctl on an interface.
type Call struct {
	Socket  int // of the interface's network namespace
	Index   int // of the interface
	Request uint32
	Arg     uint64 // where the struct ifreq is
	Memory  Memory
	Admin   func() bool // whether the process may set
	Ended   func() bool // whether nobody waits for the answer any more
}

// ifreq is struct ifreq: a name, and what depends on the request.
type ifreq [unix.IFNAMSIZ + 24]byte

// Do does it. Errors are those of the kernel, and EFAULT, EPERM, EINVAL for a name that is not the
// interface's.
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

// means says whether the request is about the interface.
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
