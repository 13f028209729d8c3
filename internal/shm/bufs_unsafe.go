//go:build unix

package shm

import (
	"unsafe"

	"github.com/seed-48afdc40/netmap/abi"
)

// Bufs is the buffer pool for the data path: no locks, no allocation. Indexes come from peers, so
// every method is safe for every index: an invalid one means buffer 0, which holds no packet. The
// content of a buffer may change at any time.
type Bufs struct {
	base   unsafe.Pointer
	stride uint32
	size   uint32 // bytes of a buffer that frames may use
	total  uint32
}

// NewBufs returns a view of a pool that starts with buffer 0. size is a multiple of 64.
func NewBufs(pool []byte, size uint32) Bufs {
	return Bufs{unsafe.Pointer(unsafe.SliceData(pool)), size, size,
		uint32(uint64(len(pool)) / uint64(size))}
}

// Spare returns the same buffers without the last n bytes of each. n is a multiple of 64.
func (b Bufs) Spare(n uint32) Bufs {
	b.size -= n
	return b
}

// Size is the size of a buffer in bytes.
func (b Bufs) Size() uint32 { return b.size }

// Total is the number of buffers, including the reserved ones.
func (b Bufs) Total() uint32 { return b.total }

// Valid reports whether buffer i can hold a packet.
func (b Bufs) Valid(i uint32) bool { return i-abi.ReservedBufs < b.total-abi.ReservedBufs }

func (b Bufs) at(i uint32) unsafe.Pointer {
	if i >= b.total {
		i = 0
	}
	return unsafe.Add(b.base, uintptr(i)*uintptr(b.stride))
}

// Bytes returns buffer i.
func (b Bufs) Bytes(i uint32) []byte { return unsafe.Slice((*byte)(b.at(i)), b.size) }

// Head loads the first 16 bytes of buffer i: the MAC addresses of a frame, in two little-endian
// words.
func (b Bufs) Head(i uint32) (lo, hi uint64) { return b.Line(i).Head() }

// Line is the first 64 bytes of a buffer, a cache line.
type Line [4][16]byte

// Line returns the first 64 bytes of buffer i.
func (b Bufs) Line(i uint32) *Line { return (*Line)(b.at(i)) }

// Head is what Bufs.Head loads.
func (l *Line) Head() (lo, hi uint64) {
	p := (*[2]uint64)(unsafe.Pointer(l))
	return p[0], p[1]
}

// Set copies a line in pieces of 16 bytes, the largest that the compiler copies without calling
// memmove.
func (l *Line) Set(from *Line) {
	l[0] = from[0]
	l[1] = from[1]
	l[2] = from[2]
	l[3] = from[3]
}

// smallCopy is the length up to which copying blocks of 64 bytes is cheaper than calling memmove.
const smallCopy = 256

// Copy copies the first n bytes of buffer src to dst; n is limited to the size of a buffer. Up to
// smallCopy it copies blocks of 64 bytes, so it may overwrite bytes behind n.
func (b Bufs) Copy(dst, src, n uint32) {
	d, s := b.at(dst), b.at(src)
	n = min(n, b.size)
	if n > smallCopy {
		copy(unsafe.Slice((*byte)(d), n), unsafe.Slice((*byte)(s), n))
		return
	}
	for o := uint32(0); o < n; o += 64 {
		(*Line)(unsafe.Add(d, o)).Set((*Line)(unsafe.Add(s, o)))
	}
}

// Link is the number in the first four bytes of buffer i: the index of the next buffer in a list.
func (b Bufs) Link(i uint32) uint32 { return *(*uint32)(b.at(i)) }

// SetLink sets the number in the first four bytes of buffer i.
func (b Bufs) SetLink(i, next uint32) { *(*uint32)(b.at(i)) = next }
