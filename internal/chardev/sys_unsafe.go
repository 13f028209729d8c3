//go:build linux

package chardev

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readRaw and writeRaw go around the scheduler: on a descriptor that does not block, telling it costs more than the call.
func readRaw(fd int, b []byte) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return int(n), e
}

func writeRaw(fd int, b []byte) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
	return e
}

// yield lets other threads that want this processor go first.
func yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// openBacking makes a file known to the kernel as one that opens may be answered with.
func openBacking(fuse, file int) (int32, syscall.Errno) {
	m := struct {
		fd    int32
		flags uint32
		_     uint64
	}{fd: int32(file)}
	id, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fuse), backingOpen, uintptr(unsafe.Pointer(&m)))
	return int32(id), e
}
