//go:build linux

package chardev

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// The messages of FUSE that a device needs (linux/fuse.h, protocol 7.40). All words are
// little-endian here. Structures are read and written field by field, because the length of
// requests is checked first.
var le = binary.LittleEndian

// Operation codes.
const (
	opForget      = 2
	opGetattr     = 3
	opSetattr     = 4
	opOpen        = 14
	opRead        = 15
	opWrite       = 16
	opStatfs      = 17
	opRelease     = 18
	opFlush       = 25
	opInit        = 26
	opInterrupt   = 36
	opIoctl       = 39
	opPoll        = 40
	opBatchForget = 42
)

const (
	protocolMajor = 7
	protocolMinor = 40 // the first version with passthrough

	// Capabilities of INIT, in two words.
	initExt     = 1 << 30
	passthrough = 1 << 37

	openDirectIO    = 1 << 0 // FOPEN_DIRECT_IO
	openPassthrough = 1 << 7 // FOPEN_PASSTHROUGH
	pollWantsNotify = 1 << 0 // FUSE_POLL_SCHEDULE_NOTIFY
	notifyPoll      = 1      // FUSE_NOTIFY_POLL

	narrowIoctl = 1<<0 | 1<<3 // FUSE_IOCTL_COMPAT, FUSE_IOCTL_32BIT

	setattrMode, setattrUID, setattrGID = 1 << 0, 1 << 1, 1 << 2 // FATTR_*

	rootID = 1

	// Attributes change only through this daemon, and are cheap to request.
	attrSeconds = 1

	inHeaderSize  = 40
	outHeaderSize = 16
	attrSize      = 88
	maxWrite      = 128 << 10 // the longest write in one request
	bufferSize    = maxWrite + 4096
	maxIoctl      = 1 << 14 // an ioctl's number has 14 bits for the size
)

// backingOpen is the ioctl that registers a backing file (FUSE_DEV_IOC_BACKING_OPEN).
const backingOpen = 1<<30 | 16<<16 | 229<<8 | 1

// header is the start of every request.
type header struct {
	length uint32
	opcode uint32
	unique uint64
	caller Caller
}

// Caller is the thread that makes a request, in the daemon's user and pid namespaces. PID is the
// thread's, or 0 if it has none here.
type Caller struct {
	UID, GID uint32
	PID      int
	// Interrupted is closed when the caller gets a signal, or the device is being closed. Only
	// ioctls that may take long have it.
	Interrupted <-chan struct{}
	// Arg is an ioctl's argument as the caller passed it. Narrow is true for a 32-bit program.
	Arg    uint64
	Narrow bool
}

// parse splits a request into header and body. ok is false if the length is not the stated one.
func parse(b []byte) (h header, body []byte, ok bool) {
	if len(b) < inHeaderSize {
		return header{}, nil, false
	}
	h = header{
		length: le.Uint32(b), opcode: le.Uint32(b[4:]), unique: le.Uint64(b[8:]),
		caller: Caller{UID: le.Uint32(b[24:]), GID: le.Uint32(b[28:]),
			PID: int(int32(le.Uint32(b[32:])))},
	}
	return h, b[inHeaderSize:], uint64(h.length) == uint64(len(b))
}

// attr writes the device's attributes (struct fuse_attr).
func (d *Device) attr(b []byte) {
	mode, uid, gid := d.owner()
	le.PutUint64(b[0:], rootID)
	le.PutUint64(b[8:], d.size)
	le.PutUint64(b[16:], (d.size+511)/512)
	for _, at := range []int{24, 32, 40} { // access, modification, change
		le.PutUint64(b[at:], uint64(d.born))
	}
	le.PutUint32(b[60:], unix.S_IFREG|mode)
	le.PutUint32(b[64:], 1)
	le.PutUint32(b[68:], uid)
	le.PutUint32(b[72:], gid)
	le.PutUint32(b[80:], 4096)
}
