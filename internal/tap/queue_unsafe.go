//go:build linux

package tap

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPieces is the largest number of pieces of a frame.
const maxPieces = 65

// Queue is one of an interface's descriptors. One goroutine at a time may read; any number may
// write.
type Queue struct {
	fd   int
	iov  [maxPieces + 1]unix.Iovec // of Read
	rest [1]byte                   // receives the byte behind the last piece
}

// Into sets the memory for piece i of the next frames that are read.
func (q *Queue) Into(i int, b []byte) {
	q.iov[i].Base = unsafe.SliceData(b)
	q.iov[i].SetLen(len(b))
}

// Room is the length of piece i in bytes.
func (q *Queue) Room(i int) uint32 { return uint32(q.iov[i].Len) }

// Read reads the next frame into the first pieces, and returns its length. A length above that of
// the pieces means that the frame was longer, and is lost. EAGAIN when there is no frame, EIO while
// the interface is down, EBADFD when somebody has deleted the interface.
//
// Read never blocks. So it does not notify Go's scheduler, which would cost as much as reading a
// small frame.
func (q *Queue) Read(pieces int) (int, syscall.Errno) {
	q.Into(pieces, q.rest[:])
	n, _, e := unix.RawSyscall(unix.SYS_READV, uintptr(q.fd), uintptr(unsafe.Pointer(&q.iov)),
		uintptr(pieces+1))
	return int(n), e
}

// Write passes a frame to the host. The call may last until the host's stack has processed the
// frame. Errors are those of Read, and ENOMEM.
func (q *Queue) Write(b []byte) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_WRITE, uintptr(q.fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return e
}

// WritePieces is Write for a frame in up to 65 pieces.
func (q *Queue) WritePieces(pieces [][]byte) syscall.Errno {
	var iov [maxPieces]unix.Iovec
	for i, b := range pieces {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	_, _, e := unix.Syscall(unix.SYS_WRITEV, uintptr(q.fd), uintptr(unsafe.Pointer(&iov)),
		uintptr(len(pieces)))
	return e
}
