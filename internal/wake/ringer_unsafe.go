//go:build linux

package wake

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is struct iocb (linux/aio_abi.h) on a little-endian machine.
type control struct {
	_      [2]uint64 // data, key and rw
	opcode uint16
	_      int16 // priority
	fd     uint32
	buf    uint64
	_      [3]uint64 // bytes, offset, reserved
	flags  uint32
	resfd  uint32
}

const (
	opPoll    = 5 // IOCB_CMD_POLL
	flagResFD = 1 // IOCB_FLAG_RESFD
)

// event is struct io_event: data, object and two results, none of which is used here.
type event [4]uint64

func setup(room int, context *uintptr) syscall.Errno {
	_, _, e := unix.Syscall(unix.SYS_IO_SETUP, uintptr(room), uintptr(unsafe.Pointer(context)), 0)
	return e
}

func destroy(context uintptr) { unix.Syscall(unix.SYS_IO_DESTROY, context, 0, 0) }

// submit polls the eventfd, and requests that its counter is increased when the poll completes.
// That is at once, because an eventfd is always readable or writable.
func submit(context uintptr, fd int) syscall.Errno {
	c := control{opcode: opPoll, fd: uint32(fd), buf: unix.POLLIN | unix.POLLOUT,
		flags: flagResFD, resfd: uint32(fd)}
	list := &c
	_, _, e := unix.RawSyscall(unix.SYS_IO_SUBMIT, context, 1, uintptr(unsafe.Pointer(&list)))
	return e
}

// collect removes completions from the kernel's list and returns how many.
func collect(context uintptr) int {
	var events [room]event
	var now unix.Timespec
	n, _, e := unix.RawSyscall6(unix.SYS_IO_GETEVENTS, context, 0, room,
		uintptr(unsafe.Pointer(&events)), uintptr(unsafe.Pointer(&now)), 0)
	if e != 0 {
		return 0
	}
	return int(n)
}
