//go:build linux

package tap

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxPieces is how many pieces a frame can be read into or written from.
const maxPieces = 65

// Queue is one of the descriptors of an interface. One goroutine at a time may read, any number may write.
type Queue struct {
	fd   int
	iov  [maxPieces + 1]unix.Iovec // of Read
	rest [1]byte                   // where a byte too many goes
}

// Into says where piece i of the next frames goes.
func (q *Queue) Into(i int, b []byte) {
	q.iov[i].Base = unsafe.SliceData(b)
	q.iov[i].SetLen(len(b))
}

// Room is how long piece i is.
func (q *Queue) Room(i int) uint32 { return uint32(q.iov[i].Len) }

// Read reads the next frame into the first pieces. A return above their length says that the frame is longer, and lost. EAGAIN
// when there is none, EIO while the interface is down, EBADFD when somebody has deleted it.
//
// It never blocks, and spares itself telling the scheduler, which would cost as much as a small frame.
func (q *Queue) Read(pieces int) (int, syscall.Errno) {
	q.Into(pieces, q.rest[:])
	n, _, e := unix.RawSyscall(unix.SYS_READV, uintptr(q.fd), uintptr(unsafe.Pointer(&q.iov)), uintptr(pieces+1))
	return int(n), e
}

// Write has the host receive a frame, whose whole way through its stack may be part of the call. Errors are those of Read, and
// ENOMEM.
func (q *Queue) Write(b []byte) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_WRITE, uintptr(q.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return e
}

// WritePieces is Write of a frame that lies in up to 65 pieces.
func (q *Queue) WritePieces(pieces [][]byte) syscall.Errno {
	var iov [maxPieces]unix.Iovec
	for i, b := range pieces {
		iov[i].Base = unsafe.SliceData(b)
		iov[i].SetLen(len(b))
	}
	_, _, e := unix.Syscall(unix.SYS_WRITEV, uintptr(q.fd), uintptr(unsafe.Pointer(&iov)), uintptr(len(pieces)))
	return e
}
