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
	d   *Device
	in  []byte
	out []byte
}

func newWorker(d *Device) *worker {
	return &worker{d: d, in: make([]byte, bufferSize), out: make([]byte, outHeaderSize+maxIoctl+64)}
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
		w.tend(time.Time{})
	}
}

// next reads a request. A wake-up costs tens of microseconds, on both sides, so after each request the thread looks for
// the next one for a while before it sleeps: as long as clients keep it busy it never does. An idle device costs nothing.
// In between it lets others have the processor: mostly that is the client whose request it is looking for.
func (w *worker) next() (int, bool) {
	var end time.Time
	for {
		n, e := readRaw(w.d.fd, w.in)
		switch e {
		case 0:
			return n, true
		case unix.EAGAIN:
			now := time.Now()
			if end.IsZero() {
				end = now.Add(w.d.cfg.Spin)
			}
			w.tend(now)
			yield()
			if !now.Before(end) && !w.d.parkedAny() && !w.sleep() {
				return 0, false
			}
		case unix.EINTR, unix.ENOENT: // a request that was interrupted before we read it
		default: // ENODEV: unmounted
			w.d.outcome(syscall.Errno(e))
			return 0, false
		}
	}
}

// sleep waits for a request. It says no when the device is being closed.
func (w *worker) sleep() bool {
	fds := []unix.PollFd{{Fd: int32(w.d.fd), Events: unix.POLLIN}, {Fd: int32(w.d.stop), Events: unix.POLLIN}}
	unix.Poll(fds, -1)
	return fds[1].Revents == 0
}
