//go:build linux

package daemon

import (
	"errors"
	"math"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/fault"
)

// memoryKey tells pieces of memory apart, of whatever process.
type memoryKey struct{ inode, offset, size uint64 }

// anonymous is how the kernel calls the file behind memory of MAP_SHARED|MAP_ANONYMOUS, which has no descriptor.
const anonymous = "/dev/zero (deleted)"

// Extmem maps client memory that is to be a region: anonymous memory that the client has mapped shared, or a memfd, which is
// sealed against shrinking here if the client has not done so.
//
// Nothing else is taken, because we would be ended by SIGBUS when the client shrinks its file: no lock, lease or flag keeps
// the owner of a file from that, but for a seal. The kernel gives anonymous memory no name by which an ordinary client could
// open it. A hole that a client punches is no harm, it reads as zeros: the memory of both kinds is never out of pages as
// long as the machine is not.
func (p *process) Extmem(addr, size uint64) (*engine.Extmem, error) {
	page := uint64(os.Getpagesize())
	if addr%page != 0 || size == 0 || size > math.MaxInt64 {
		return nil, p.cannotShare(syscall.EINVAL, "it is empty, or does not start at a page")
	}
	a, err := p.areaAt(addr, size)
	if err != nil {
		return nil, err
	}
	fd, err := a.open(p.pid)
	switch {
	case errors.Is(err, unix.EXDEV):
		return nil, p.cannotShare(syscall.EOPNOTSUPP, a.name+" is a file that its owner may shrink; "+shareable)
	case err != nil:
		return nil, p.cannotShare(syscall.EPERM, "opening it needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE, of the daemon: "+err.Error())
	}
	defer unix.Close(fd)
	if a.name != anonymous && !sealed(fd) {
		unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	}
	at := a.offset + addr - a.start
	switch {
	case a.name != anonymous && !sealed(fd):
		return nil, p.cannotShare(syscall.EOPNOTSUPP, a.name+" may shrink, and cannot be sealed; create it with MFD_ALLOW_SEALING")
	case !holds(fd, at+size):
		return nil, p.cannotShare(syscall.EFAULT, "the file ends before it")
	}
	m, err := unix.Mmap(fd, int64(at), int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fault.Wrap(err, "share memory of", "client", "%d bytes", size)
	}
	return &engine.Extmem{Bytes: m, Key: memoryKey{a.inode, at, size}, Free: func() error { return unix.Munmap(m) }}, nil
}
