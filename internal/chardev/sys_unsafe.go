//go:build linux

package chardev

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readRaw and writeRaw bypass Go's scheduler: the descriptor does not block, and informing the
// scheduler costs more than the call.
func readRaw(fd int, b []byte) (int, syscall.Errno) {
	n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])),
		uintptr(len(b)))
	return int(n), e
}

func writeRaw(fd int, b []byte) syscall.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])),
		uintptr(len(b)))
	return e
}

// yield lets other threads that wait for this core run.
func yield() { unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// openBacking registers a file with the kernel as a backing file for opens.
func openBacking(fuse, file int) (int32, syscall.Errno) {
	m := struct {
		fd    int32
		flags uint32
		_     uint64
	}{fd: int32(file)}
	id, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fuse), backingOpen, uintptr(unsafe.Pointer(&m)))
	return int32(id), e
}
