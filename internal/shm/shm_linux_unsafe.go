//go:build linux

package shm

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Create makes an anonymous file of size bytes and maps it. With huge, the kernel is asked to back it with huge pages;
// whether it did is what Huge says, and a refusal is no error.
func Create(name string, size int, huge bool) (*Mapping, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fault.Wrap(err, "create shared memory", name, "")
	}
	if err := unix.Ftruncate(fd, int64(size)); err != nil {
		unix.Close(fd)
		return nil, fault.Wrap(err, "create shared memory", name, "%d bytes; configure a smaller region", size)
	}
	b, err := mapAligned(fd, size)
	if err != nil {
		unix.Close(fd)
		return nil, fault.Wrap(err, "map shared memory", name, "%d bytes; configure a smaller region", size)
	}
	m := &Mapping{fd: fd, bytes: b}
	if huge {
		m.huge = collapse(b)
	}
	return m, nil
}

// Close unmaps the memory and closes the file. No view into it may be used afterwards. Closing nil does
// nothing.
func (m *Mapping) Close() error {
	if m == nil || m.lent {
		return nil
	}
	b := m.bytes
	m.bytes = nil
	err := unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
	if m.fd >= 0 {
		err = errors.Join(err, unix.Close(m.fd))
	}
	return err
}

// mapAligned maps the file at an address that is a multiple of HugePage, without which no huge page fits.
func mapAligned(fd, size int) ([]byte, error) {
	room := uintptr(size) + HugePage
	at, err := unix.MmapPtr(-1, 0, nil, room, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	lead := -uintptr(at) & (HugePage - 1)
	start := unsafe.Add(at, lead)
	if _, err := unix.MmapPtr(fd, 0, start, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED); err != nil {
		unix.MunmapPtr(at, room)
		return nil, err
	}
	if lead > 0 {
		unix.MunmapPtr(at, lead)
	}
	page := uintptr(unix.Getpagesize())
	used := (uintptr(size) + page - 1) &^ (page - 1)
	if rest := room - lead - used; rest > 0 {
		unix.MunmapPtr(unsafe.Add(start, used), rest)
	}
	return unsafe.Slice((*byte)(start), size), nil
}

// collapse turns the mapping into huge pages now. MADV_COLLAPSE does so whatever the system's policy for shared memory
// is, given a page to start from in each; a kernel older than 6.1 or one without room says no.
func collapse(b []byte) bool {
	whole := b[:len(b)&^(HugePage-1)]
	for i := 0; i < len(whole); i += HugePage {
		whole[i] = 0
	}
	return len(whole) == len(b) && unix.Madvise(whole, unix.MADV_COLLAPSE) == nil
}
