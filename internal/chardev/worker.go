//go:build linux

package chardev

import (
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// worker is a thread that reads requests and answers them. Those that may take long, it hands to a goroutine.
type worker struct {
	d    *Device
	in   []byte
	out  []byte
	spin time.Duration
}

func newWorker(d *Device) *worker {
	return &worker{d: d, in: make([]byte, bufferSize), out: make([]byte, outHeaderSize+maxIoctl+64), spin: d.cfg.Spin}
}

// run serves until the device is closed or unmounted.
func (w *worker) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.d.workers.Done()
	for {
		n, ok := w.next()
		if !ok {
			return
		}
		w.serve(w.in[:n])
	}
}

// next reads a request. A wake-up costs tens of microseconds, on both sides, so it looks for a while before it sleeps:
// as long as clients keep the thread busy it never does. Looking that was in vain halves the while, a hit restores it.
func (w *worker) next() (int, bool) {
	n, e := readRaw(w.d.fd, w.in)
	if e == unix.EAGAIN && w.spin > 0 {
		for end := time.Now().Add(w.spin); e == unix.EAGAIN && time.Now().Before(end); {
			n, e = readRaw(w.d.fd, w.in)
		}
		if e == unix.EAGAIN {
			w.spin /= 2
		} else {
			w.spin = w.d.cfg.Spin
		}
	}
	for {
		switch e {
		case 0:
			return n, true
		case unix.EAGAIN:
			if !w.sleep() {
				return 0, false
			}
			w.spin = max(w.spin, time.Microsecond) // a request has come: spinning may pay again
		case unix.EINTR, unix.ENOENT: // a request that was interrupted before we read it
		default: // ENODEV: unmounted
			w.d.outcome(syscall.Errno(e))
			return 0, false
		}
		n, e = readRaw(w.d.fd, w.in)
	}
}

// sleep waits for a request. It says no when the device is being closed.
func (w *worker) sleep() bool {
	fds := []unix.PollFd{{Fd: int32(w.d.fd), Events: unix.POLLIN}, {Fd: int32(w.d.stop), Events: unix.POLLIN}}
	unix.Poll(fds, -1)
	return fds[1].Revents == 0
}
