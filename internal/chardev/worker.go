//go:build linux

package chardev

import (
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/placement"
)

// worker is a thread that reads requests and answers them. Goroutines answer requests that may take
// long.
type worker struct {
	d   *Device
	in  []byte
	out []byte

	failed bool  // the last request got an error
	end    int64 // by clock: until when to look for requests before sleeping

	follower placement.Follower
}

func newWorker(d *Device) *worker {
	return &worker{d: d, in: make([]byte, bufferSize), out: make([]byte, outHeaderSize+maxIoctl+64)}
}

// run serves requests until the device is closed or unmounted.
func (w *worker) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer w.d.workers.Done()
	w.follower.Start()
	defer w.follower.Leave()
	for {
		n, ok := w.next()
		if !ok {
			return
		}
		w.serve(w.in[:n])
		w.between()
	}
}

// between answers parked polls between two requests, because there may always be another request.
func (w *worker) between() {
	if w.d.parked.any() {
		w.answerParked(clock() - int64(max(w.d.cfg.Spin, busyLimit)))
	}
}

// next reads a request. A wake-up costs tens of microseconds for daemon and client. So after each
// request the thread looks for the next one for a while before it sleeps: while clients keep it
// busy, it does not sleep. An idle device costs nothing. Between looks, the thread yields the core,
// mostly to the client whose request it is looking for.
//
// A request that got an error does not prolong the look. Otherwise a program that polls a dead port
// in a loop would keep a second core busy here.
func (w *worker) next() (int, bool) {
	for looking := false; !w.d.closed.Load(); {
		n, e := readRaw(w.d.fd, w.in)
		switch e {
		case 0:
			return n, true
		case unix.EAGAIN:
			now := clock()
			if !looking && !w.failed {
				w.end = now + int64(w.d.cfg.Spin)
			}
			looking = true
			w.answerParked(now - int64(w.d.cfg.Spin))
			if now >= w.end && !w.d.parked.any() {
				if !w.sleep() {
					return 0, false
				}
				continue
			}
			yield()
		case unix.EINTR, unix.ENOENT: // the request was interrupted before it was read
		default: // ENODEV: unmounted
			w.d.outcome(syscall.Errno(e))
			return 0, false
		}
	}
	return 0, false
}

// stay is for how many milliseconds a worker without requests stays on the core of its clients.
const stay = 100

// sleep waits for a request. It returns false when the device is being closed.
func (w *worker) sleep() bool {
	fds := []unix.PollFd{
		{Fd: int32(w.d.fd), Events: unix.POLLIN},
		{Fd: int32(w.d.stop), Events: unix.POLLIN},
	}
	if w.follower.Follows() {
		if n, err := unix.Poll(fds, stay); n > 0 || err != nil {
			return fds[1].Revents == 0
		}
		w.follower.Leave()
	}
	unix.Poll(fds, -1)
	return fds[1].Revents == 0
}
