//go:build linux

package tap

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Queue is one of the descriptors of an interface. One goroutine at a time may read, any number may write.
type Queue struct {
	fd   int
	iov  [2]unix.Iovec // of Read
	rest [1]byte       // where a byte too many goes
}

// Read reads the next frame. A return above len(b) says that the frame is longer, and lost. EAGAIN when there is none, EIO
// while the interface is down, EBADFD when somebody has deleted it.
//
// It never blocks, and spares itself telling the scheduler, which would cost as much as a small frame.
func (q *Queue) Read(b []byte) (int, syscall.Errno) {
	q.iov[0].Base, q.iov[0].Len = unsafe.SliceData(b), uint64(len(b))
	q.iov[1].Base, q.iov[1].Len = &q.rest[0], 1
	n, _, e := unix.RawSyscall(unix.SYS_READV, uintptr(q.fd), uintptr(unsafe.Pointer(&q.iov)), 2)
	return int(n), e
}

// Write has the host receive a frame, whose whole way through its stack may be part of the call. Errors are those of Read, and
// ENOMEM.
func (q *Queue) Write(b []byte) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_WRITE, uintptr(q.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return e
}
