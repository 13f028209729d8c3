//go:build unix

// Package shm is shared memory: a mapping of a file that other processes may map as well, and typed
// views of it.
package shm

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// HugePage is the size of a block of a Sparse, and of a huge page in kernels whose pages have 4
// KiB. In other kernels, blocks consist of ordinary pages: see KernelHugePage.
const HugePage = 2 << 20

// Mapping is a shared, writable mapping of the first bytes of a file.
type Mapping struct {
	bytes []byte
	lent  bool // Close does not unmap
}

// Map maps the first size bytes of the file fd. The caller still owns fd.
func Map(fd, size int) (*Mapping, error) {
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fault.Wrap(err, "map", "", "%d bytes of shared memory", size)
	}
	return &Mapping{bytes: b}, nil
}

// MapFile maps a whole file.
func MapFile(path string) (*Mapping, error) {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fault.Wrap(err, "open", path, "")
	}
	defer unix.Close(fd)
	size, err := unix.Seek(fd, 0, unix.SEEK_END)
	if err != nil || size == 0 {
		return nil, fault.Wrap(cmp.Or(err, error(unix.EINVAL)), "map", path, "its size is %d", size)
	}
	return Map(fd, int(size))
}

// Borrow returns a Mapping of memory that the caller has mapped and unmaps: Close does nothing.
func Borrow(memory []byte) *Mapping { return &Mapping{bytes: memory, lent: true} }

// Bytes returns the memory. Other processes may write to it at any time.
func (m *Mapping) Bytes() []byte { return m.bytes }

// Close unmaps the memory. Views of it must not be used afterwards. Close of nil does nothing.
func (m *Mapping) Close() error {
	if m == nil || m.lent {
		return nil
	}
	b := m.bytes
	m.bytes = nil
	return unix.Munmap(b)
}
