//go:build linux

package xsk

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

const (
	// headroom is how many bytes the kernel leaves free at the start of a chunk that it receives into
	// (XDP_PACKET_HEADROOM).
	headroom = 256
	// maxChunk is the largest chunk the kernel takes: a page.
	maxChunk = 4096
	// minStride makes the smallest chunk the kernel takes, 2048 bytes.
	minStride = 2048 - headroom
	// maxStride is what Socket.buffer can divide by.
	maxStride = 1<<16 - 1
	// hugePage is the size of the pieces of memory that Memory.Contiguous promises to be contiguous.
	hugePage = 2 << 20
	// addrMask selects the bits of an address that name the chunk. The bits above are an offset into
	// it.
	addrMask = 1<<48 - 1

	memoryOp = "use memory"
)

// Memory is the memory of the packet buffers, the UMEM of the kernel: buffer i is
// Mem[i*Stride:(i+1)*Stride]. Mem starts at a page boundary and may be a shared mapping.
//
// A received frame begins at the first byte of its buffer, although the kernel needs 256 bytes
// before the frame. So chunks are unaligned, and begin 256 bytes before their buffer:
//
//	buffer i-1            buffer i              buffer i+1
//	|---------------------|---------------------|------
//	              |-------^---------------------|
//	              | 256   frame                 |
//	              chunk that FillAt(i) hands to the kernel
//
// The kernel does not write to those 256 bytes, which may hold a frame of buffer i-1. Only an XDP
// program that moves the start of a frame or puts metadata before it uses them. Ours does the
// latter for time stamps, and Spare reserves the room.
type Memory struct {
	Mem    []byte
	Stride uint32
	// Spare is how many bytes at the end of each buffer no frame uses. The time stamp of the frame in
	// the next buffer is written there.
	Spare uint32
	// Contiguous promises physically contiguous memory within each 2 MiB; without it zero-copy loses
	// frames. Mem starts Skew bytes into the first 2 MiB.
	Contiguous bool
	Skew       uint64
}

// Buffers is the number of buffers.
func (m *Memory) Buffers() uint32 { return uint32(uint64(len(m.Mem)) / uint64(m.Stride)) }

// MaxFrame is the longest frame that can be received into one buffer.
func (m *Memory) MaxFrame() uint32 { return m.chunk() - headroom }

// MaxTx is the longest frame, or piece of one, that can be sent from one buffer.
func (m *Memory) MaxTx() uint32 { return min(m.Stride-m.Spare, maxChunk) }

// KernelBytes is how much of its own memory the kernel uses for each queue with so many bytes of
// buffers. Most of it is the state of each chunk (struct xdp_buff_xsk).
func (m *Memory) KernelBytes(bytes uint64) uint64 { return bytes / uint64(m.chunk()) * 128 }

// chunk is the size of a chunk, which ends where its buffer ends, or before.
func (m *Memory) chunk() uint32 { return min(m.Stride-m.Spare+headroom, maxChunk) }

// check finds what the kernel would refuse without a reason, or accept although it cannot work.
func (m *Memory) check(zeroCopy bool) error {
	switch {
	case m.Stride < minStride+m.Spare:
		return invalid(memoryOp, "",
			fmt.Sprintf("buffers of %d bytes are too small for AF_XDP: use %d or more", m.Stride,
				minStride+m.Spare))
	case m.Stride > maxStride:
		return invalid(memoryOp, "", fmt.Sprintf("buffers of %d bytes are too large: use %d or less",
			m.Stride, maxStride))
	case m.Buffers() < 2:
		return invalid(memoryOp, "", fmt.Sprintf("%d bytes are too few for two buffers", len(m.Mem)))
	case zeroCopy && !m.Contiguous:
		return noZeroCopy("zero-copy needs physically contiguous memory (huge pages): " +
			"use those, or native copy")
	}
	return nil
}

// noZeroCopy is the error of memory that is usable in copy modes only. The kernel returns the same
// errno for a driver without zero-copy.
func noZeroCopy(why string) error {
	return fault.New(unix.EOPNOTSUPP, memoryOp, "", "%s", why)
}

// CanFill tells whether the kernel can receive into the buffer. It silently drops chunks of buffers
// that it cannot use.
func (m *Memory) CanFill(buf uint32, zeroCopy bool) bool {
	if buf == 0 || buf >= m.Buffers() {
		return false // before the start, or beyond the end
	}
	return !zeroCopy || m.together(uint64(buf)*uint64(m.Stride)-headroom, m.chunk())
}

// CanSend tells whether a device can read frames of any length from the buffer by itself.
func (m *Memory) CanSend(buf uint32) bool {
	return m.together(uint64(buf)*uint64(m.Stride), m.MaxTx())
}

// together tells whether so many bytes are in one huge page. The next huge page may be anywhere in
// physical memory.
func (m *Memory) together(at uint64, size uint32) bool {
	return (m.Skew+at)%hugePage+uint64(size) <= hugePage
}
