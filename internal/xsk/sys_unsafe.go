//go:build linux

package xsk

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// registerMemory makes mem the UMEM of the socket, with unaligned chunks of so many bytes. It
// passes all 32 bytes of xdp_umem_reg: a kernel takes 28 bytes for an older structure and ignores
// the flags.
func registerMemory(fd int, mem []byte, chunk uint32) error {
	reg := unix.XDPUmemReg{
		Addr:  uint64(uintptr(unsafe.Pointer(unsafe.SliceData(mem)))),
		Len:   uint64(len(mem)),
		Size:  chunk,
		Flags: unix.XDP_UMEM_UNALIGNED_CHUNK_FLAG,
	}
	return setsockopt(fd, unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg))
}

func mmapOffsets(fd int) (off unix.XDPMmapOffsets, err error) {
	err = getsockopt(fd, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&off), unsafe.Sizeof(off))
	return off, err
}

func statistics(fd int) (st unix.XDPStatistics, err error) {
	err = getsockopt(fd, unix.XDP_STATISTICS, unsafe.Pointer(&st), unsafe.Sizeof(st))
	return st, err
}

func setsockopt(fd, option int, p unsafe.Pointer, size uintptr) error {
	_, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(p), size, 0)
	if e != 0 {
		return e
	}
	return nil
}

func getsockopt(fd, option int, p unsafe.Pointer, size uintptr) error {
	n := uint32(size)
	_, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(option),
		uintptr(p), uintptr(unsafe.Pointer(&n)), 0)
	if e != 0 {
		return e
	}
	return nil
}

// word is the shared 32-bit word at an offset of a mapped ring.
func word(ring []byte, offset uint64) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&ring[offset : offset+4][0]))
}

// entries are the n descriptors (RX, TX) or addresses (fill, completion) at an offset of a mapped
// ring.
func entries[T unix.XDPDesc | uint64](ring []byte, offset uint64, n uint32) []T {
	var e T
	size := uint64(n) * uint64(unsafe.Sizeof(e))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(ring[offset:offset+size]))), n)
}
