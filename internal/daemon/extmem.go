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

// memoryKey identifies a piece of memory, whichever process has it mapped.
type memoryKey struct{ inode, offset, size uint64 }

// anonymous is the kernel's name for the file behind MAP_SHARED|MAP_ANONYMOUS memory. No process
// has a descriptor of it.
const anonymous = "/dev/zero (deleted)"

// Extmem maps client memory for a region: anonymous memory that the client has mapped shared, or a
// memfd. A memfd that the client has not sealed against shrinking is sealed here.
//
// Nothing else is accepted, because a client that shrinks its file would end the daemon by SIGBUS,
// and only a seal prevents the owner of a file from shrinking it. Ordinary clients cannot open
// anonymous memory, because the kernel gives it no name. A hole that a client punches does no harm,
// because it reads as zeros. The memory of both kinds runs out of pages only if the machine does.
func (p *process) Extmem(addr, size uint64) (*engine.Extmem, error) {
	page := uint64(os.Getpagesize())
	if addr%page != 0 || size == 0 || size > math.MaxInt64 {
		return nil, p.cannotShare(syscall.EINVAL, "it is empty, or does not start at a page boundary")
	}
	a, err := p.areaAt(addr, size)
	if err != nil {
		return nil, err
	}
	fd, err := a.open(p.pid)
	switch {
	case errors.Is(err, unix.EXDEV):
		return nil, p.cannotShare(syscall.EOPNOTSUPP,
			a.name+" is a file that its owner may shrink; "+shareable)
	case err != nil:
		return nil, p.cannotShare(syscall.EPERM,
			"the daemon needs CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE to open it: "+err.Error())
	}
	defer unix.Close(fd)
	if a.name != anonymous && !sealed(fd) {
		unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	}
	at := a.offset + addr - a.start
	switch {
	case a.name != anonymous && !sealed(fd):
		return nil, p.cannotShare(syscall.EOPNOTSUPP,
			a.name+" may shrink, and cannot be sealed; create it with MFD_ALLOW_SEALING")
	case !holds(fd, at+size):
		return nil, p.cannotShare(syscall.EFAULT, "the file ends before it")
	}
	m, err := unix.Mmap(fd, int64(at), int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fault.Wrap(err, "share memory of", "client", "%d bytes", size)
	}
	return &engine.Extmem{Bytes: m, Key: memoryKey{a.inode, at, size},
		Free: func() error { return unix.Munmap(m) }}, nil
}
