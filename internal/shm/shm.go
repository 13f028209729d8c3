//go:build unix

// Package shm is shared memory: a mapping of a file that other processes may map too, and typed views into it.
package shm

import (
	"cmp"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// HugePage is the size of the blocks of a Sparse, and of the huge pages of kernels whose pages have 4 KiB.
// On other kernels, see KernelHugePage, blocks are in ordinary pages.
const HugePage = 2 << 20

// Mapping is a shared, writable mapping of the first bytes of a file.
type Mapping struct {
	bytes []byte
	lent  bool // somebody else unmaps it
}

// Map maps the first size bytes of the file fd, which stays the caller's.
func Map(fd, size int) (*Mapping, error) {
	b, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fault.Wrap(err, "map", "", "%d bytes of shared memory", size)
	}
	return &Mapping{bytes: b}, nil
}

// MapFile maps a file as large as it is.
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

// Borrow is memory that somebody else has mapped, and unmaps: Close does nothing.
func Borrow(memory []byte) *Mapping { return &Mapping{bytes: memory, lent: true} }

// Bytes is the memory. Whoever shares it may write it at any time.
func (m *Mapping) Bytes() []byte { return m.bytes }

// Close unmaps the memory. No view into it may be used afterwards. Closing nil does nothing.
func (m *Mapping) Close() error {
	if m == nil || m.lent {
		return nil
	}
	b := m.bytes
	m.bytes = nil
	return unix.Munmap(b)
}
