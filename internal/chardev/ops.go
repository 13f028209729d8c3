//go:build linux

package chardev

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// operation describes how requests with one operation code are answered.
type operation struct {
	size  int  // least length of the body
	slow  bool // it may take long, and a goroutine answers it
	mute  bool // it gets no answer
	serve func(*Device, header, []byte, []byte) (int, syscall.Errno)
}

// operations are all that a device answers. Other requests get ENOSYS, which tells the kernel not
// to send them again. serve gets the request's body and a buffer for the answer's body, and returns
// the length of the answer or an errno.
var operations = [...]operation{
	opForget:      {mute: true},
	opBatchForget: {mute: true},
	opInterrupt:   {size: 8, mute: true, serve: (*Device).interrupt},
	opInit:        {size: 16, serve: (*Device).init},
	opGetattr:     {size: 16, serve: (*Device).getattr},
	opSetattr:     {size: 88, serve: (*Device).setattr},
	opStatfs:      {serve: (*Device).statfs},
	opOpen:        {size: 8, slow: true, serve: (*Device).open},
	opRead:        {serve: refuse},
	opWrite:       {serve: refuse},
	opRelease:     {size: 24, slow: true, serve: (*Device).release},
	opFlush:       {size: 24, serve: (*Device).flush},
	opIoctl:       {size: 32, serve: (*Device).ioctl},
	opPoll:        {size: 24, serve: (*Device).poll},
}

// serve answers a request. A request whose length is not the stated one, or less than its operation
// needs, gets EINVAL.
func (w *worker) serve(request []byte) {
	h, body, ok := parse(request)
	if len(request) < inHeaderSize {
		return // without a header, there is nobody to answer
	}
	var op operation
	if h.opcode < uint32(len(operations)) {
		op = operations[h.opcode]
	}
	w.failed = false
	switch {
	case op.mute:
		if op.serve != nil && ok && len(body) >= op.size {
			op.serve(w.d, h, body, nil)
		}
	case !ok || len(body) < op.size:
		w.d.reply(h, w.out, 0, unix.EINVAL)
	case op.serve == nil:
		w.d.reply(h, w.out, 0, unix.ENOSYS)
	case op.slow || h.opcode == opIoctl && w.d.mayTakeLong(body):
		body = append([]byte(nil), body...)
		before, done := w.d.turn(h.opcode == opRelease)
		h.caller.Interrupted = w.d.interrupts.begin(h.unique)
		w.d.slow.Go(func() {
			defer done()
			defer w.d.interrupts.end(h.unique)
			<-before
			out := make([]byte, outHeaderSize+maxIoctl+64)
			n, errno := op.serve(w.d, h, body, out[outHeaderSize:])
			w.d.reply(h, out, n, errno)
		})
	default:
		n, errno := op.serve(w.d, h, body, w.out[outHeaderSize:])
		if w.failed = errno != 0 || n != later && isError(h.opcode, w.out[outHeaderSize:]); n != later {
			w.d.reply(h, w.out, n, errno)
		}
		w.follower.Saw(int(h.caller.PID))
	}
}

// isError reports whether an answer without an errno brings the client an error.
func isError(opcode uint32, answer []byte) bool {
	switch opcode {
	case opPoll:
		return le.Uint32(answer)&unix.POLLERR != 0
	case opIoctl:
		return le.Uint32(answer) != 0
	}
	return false
}

// turn orders slow requests after the releases that came before them: a client whose last close(2)
// has returned may at once request what it gave up. A request waits for before, and calls done at
// its end.
func (d *Device) turn(release bool) (before <-chan struct{}, done func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before, done = d.released, func() {}
	if release {
		mine := make(chan struct{})
		d.released, done = mine, func() { close(mine) }
	}
	return before, done
}

// reply fills in the header of out and sends it with n bytes of answer.
func (d *Device) reply(h header, out []byte, n int, errno syscall.Errno) {
	if errno != 0 {
		n = 0
	}
	n += outHeaderSize
	le.PutUint32(out, uint32(n))
	le.PutUint32(out[4:], uint32(-int32(errno)))
	le.PutUint64(out[8:], h.unique)
	writeRaw(d.fd, out[:n]) // ENOENT: the client was killed, and does not wait for the answer
}

// notify tells the kernel that clients that sleep on the handle should poll again.
func (d *Device) notify(handle uint64) {
	var b [24]byte
	le.PutUint32(b[0:], uint32(len(b)))
	le.PutUint32(b[4:], notifyPoll)
	le.PutUint64(b[16:], handle)
	writeRaw(d.fd, b[:])
}

// init negotiates the protocol. Passthrough is required.
func (d *Device) init(_ header, in, out []byte) (int, syscall.Errno) {
	const want = initExt | passthrough
	has := uint64(le.Uint32(in[12:]))
	if len(in) >= 20 {
		has |= uint64(le.Uint32(in[16:])) << 32
	}
	major, minor := le.Uint32(in), le.Uint32(in[4:])
	if major != protocolMajor || minor < protocolMinor || has&want != want {
		d.outcome(fault.New(syscall.EOPNOTSUPP, "make device node", d.cfg.Path,
			"the kernel has no FUSE passthrough, which came with Linux 6.9; use a newer kernel, or the "+
				"embedded framework"))
		return 0, unix.EOPNOTSUPP
	}
	clear(out[:64])
	le.PutUint32(out[0:], protocolMajor)
	le.PutUint32(out[4:], protocolMinor)
	le.PutUint32(out[12:], uint32(want&0xffffffff))
	le.PutUint16(out[16:], 16) // most background requests
	le.PutUint16(out[18:], 12) // from this number on, the kernel counts as congested
	le.PutUint32(out[20:], maxWrite)
	le.PutUint32(out[24:], 1) // resolution of time stamps, in nanoseconds
	le.PutUint32(out[32:], uint32(uint64(want)>>32))
	le.PutUint32(out[36:], 1)    // depth of stacked file systems, which passthrough needs
	d.slow.Go(d.openBackingFile) // the kernel accepts it after this answer
	return 64, 0
}

// outcome sets the result of Mount.
func (d *Device) outcome(err error) {
	select {
	case d.ready <- err:
	default:
	}
}

func (d *Device) getattr(_ header, _, out []byte) (int, syscall.Errno) {
	clear(out[:16+attrSize])
	le.PutUint64(out, attrSeconds)
	d.attr(out[16:])
	return 16 + attrSize, 0
}

// setattr sets permissions and owners. It ignores a new size, because open with O_TRUNC succeeds
// for devices.
func (d *Device) setattr(h header, in, out []byte) (int, syscall.Errno) {
	d.mu.Lock()
	valid := le.Uint32(in)
	if valid&setattrMode != 0 {
		d.mode = le.Uint32(in[68:]) & 0o777
	}
	if valid&setattrUID != 0 {
		d.uid = le.Uint32(in[76:])
	}
	if valid&setattrGID != 0 {
		d.gid = le.Uint32(in[80:])
	}
	d.mu.Unlock()
	return d.getattr(h, in, out)
}

func (d *Device) statfs(_ header, _, out []byte) (int, syscall.Errno) {
	clear(out[:80])
	le.PutUint32(out[40:], 4096) // block size
	le.PutUint32(out[44:], 255)  // longest name
	le.PutUint32(out[48:], 4096)
	return 80, 0
}

func (d *Device) open(h header, _, out []byte) (int, syscall.Errno) {
	select {
	case <-d.backed:
	case <-d.dead:
		return 0, unix.ENODEV
	}
	f := &file{waker: Waker{device: d}, chances: mostChances}
	f.waker.file = f
	var errno syscall.Errno
	if f.File, errno = d.driver.Open(h.caller, &f.waker); errno != 0 {
		return 0, errno
	}
	f.fed, _ = f.File.(Fed)
	d.mu.Lock()
	if d.files == nil { // closed in the meantime
		d.mu.Unlock()
		f.Release()
		return 0, unix.ENODEV
	}
	d.last++
	handle := d.last
	d.files[handle] = f
	d.mu.Unlock()
	le.PutUint64(out, handle)
	// mappings pass through; read and write are requests
	le.PutUint32(out[8:], openDirectIO|openPassthrough)
	le.PutUint32(out[12:], uint32(d.backing))
	return 16, 0
}

// refuse answers read(2) and write(2), which the device does not support.
func refuse(*Device, header, []byte, []byte) (int, syscall.Errno) { return 0, unix.EINVAL }

// flush is called for every close(2). Only the last one matters, which release answers.
func (d *Device) flush(header, []byte, []byte) (int, syscall.Errno) { return 0, 0 }

func (d *Device) release(_ header, in, _ []byte) (int, syscall.Errno) {
	handle := le.Uint64(in)
	d.mu.Lock()
	f := d.files[handle]
	delete(d.files, handle)
	d.mu.Unlock()
	if f == nil {
		return 0, unix.EBADF
	}
	f.Release()
	return 0, 0
}

// ioctlSize returns how much data an ioctl carries, in its larger direction.
func ioctlSize(in []byte) uint32 {
	if len(in) < 32 {
		return 0
	}
	return max(le.Uint32(in[24:]), le.Uint32(in[28:]))
}

// mayTakeLong reports whether a goroutine has to answer the ioctl.
func (d *Device) mayTakeLong(in []byte) bool {
	return ioctlSize(in) > 0 || d.cfg.Slow != nil && d.cfg.Slow(le.Uint32(in[12:]))
}

// ioctl sends the data back even if it fails, because a failed request may say more than its errno.
func (d *Device) ioctl(h header, in, out []byte) (int, syscall.Errno) {
	f := d.file(le.Uint64(in))
	if f == nil {
		return 0, unix.EBADF
	}
	inSize, outSize := le.Uint32(in[24:]), le.Uint32(in[28:])
	if int64(inSize) > int64(len(in)-32) || ioctlSize(in) > maxIoctl {
		return 0, unix.EINVAL
	}
	data := out[16 : 16+ioctlSize(in)]
	clear(data)
	copy(data, in[32:32+inSize])
	h.caller.Arg, h.caller.Narrow = le.Uint64(in[16:]), le.Uint32(in[8:])&narrowIoctl != 0
	errno := f.Ioctl(h.caller, le.Uint32(in[12:]), data)
	if errno == unix.EINTR {
		errno = d.interrupted(h.unique)
	}
	clear(out[:16])
	le.PutUint32(out, uint32(-int32(errno)))
	return 16 + int(outSize), 0
}

func (d *Device) poll(h header, in, out []byte) (int, syscall.Errno) {
	f := d.file(le.Uint64(in))
	if f == nil {
		return 0, unix.EBADF
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	events, sleeps := le.Uint32(in[20:]), le.Uint32(in[16:])&pollWantsNotify != 0
	var alone bool
	if sleeps {
		f.waker.handle.Store(le.Uint64(in[8:]))
		alone = d.arm(f, h.caller.PID) // before polling, so that later news wakes the client
	}
	ready := f.Poll(h.caller, events)
	if ready == 0 && sleeps {
		p := parking{unique: h.unique, caller: h.caller, events: events, since: clock(), alone: alone}
		p.fed = f.fed != nil && f.fed.Fed(events)
		if d.cfg.Spin > 0 && f.worthParking() && d.park(f, p) {
			return later, 0
		}
		f.arm(p)
	}
	return answerPoll(out, ready), 0
}

// arm makes the kernel's next news call the waker of a client that is about to sleep.
func (f *file) arm(p parking) {
	if p.fed {
		f.fed.Arm(p.events)
	}
}

// arm makes the next Wake reach the thread that is about to poll, and reports whether it reaches no
// other thread. f.mu is held.
//
// The file stays armed if the poll finds something: a client that asked for edges (EPOLLET) is told
// of each event once, and does not poll before the next one.
func (d *Device) arm(f *file, thread int) (alone bool) {
	d.parked.mu.Lock()
	f.parking.alone = false // before arming: from here on, a wake-up also has to notify the kernel
	d.parked.mu.Unlock()
	alone = !f.waker.armed.Swap(true) || thread != 0 && f.only == thread
	if f.only = 0; alone {
		f.only = thread
	}
	return alone
}

// later is returned instead of a length if the answer comes later.
const later = -1

func answerPoll(out []byte, ready uint32) int {
	clear(out[:8])
	le.PutUint32(out, ready)
	return 8
}
