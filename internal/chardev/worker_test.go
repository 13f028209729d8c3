//go:build linux

package chardev

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestErrorsDoNotProlongTheLook tests that a worker looks for the next request after a good one,
// and sleeps at once after one that got an error. Here it would look for an hour, and only a worker
// that sleeps notices that the device is being closed.
func TestErrorsDoNotProlongTheLook(t *testing.T) {
	for name, tt := range map[string]struct {
		ready  uint32
		ioctl  bool
		errno  bool
		sleeps bool
	}{
		"poll of a port in error":      {ready: unix.POLLERR | unix.POLLIN, sleeps: true},
		"poll that finds something":    {ready: unix.POLLIN},
		"poll that finds nothing":      {},
		"ioctl that fails":             {ioctl: true, errno: true, sleeps: true},
		"ioctl":                        {ioctl: true},
		"poll of what nobody has open": {ready: unix.POLLIN, errno: true, sleeps: true},
	} {
		t.Run(name, func(t *testing.T) {
			driver := &echo{}
			b := newBench(t, driver)
			w, d := b.worker, b.worker.d
			handle := b.open()
			d.cfg.Spin = time.Hour
			d.closed.Store(false)
			d.stop, _ = unix.Eventfd(1, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
			defer unix.Close(d.stop)
			driver.ready.Store(tt.ready)
			switch {
			case tt.ioctl:
				if tt.errno {
					driver.errno = unix.EIO
				}
				body := make([]byte, 32)
				le.PutUint64(body, handle)
				w.serve(b.request(opIoctl, body))
			case tt.errno:
				b.startPoll(handle+1, anna, false)
			default:
				body := make([]byte, 24)
				le.PutUint64(body, handle)
				le.PutUint32(body[20:], unix.POLLIN|unix.POLLERR)
				w.serve(b.request(opPoll, body))
			}
			found := make(chan bool, 1)
			go func() {
				_, ok := w.next()
				found <- ok
			}()
			if !tt.sleeps {
				time.Sleep(5 * time.Millisecond)
				unix.Write(b.peer, b.request(opStatfs, nil))
			}
			select {
			case ok := <-found:
				if ok == tt.sleeps {
					t.Errorf("the worker found a request: %v", ok)
				}
			case <-time.After(long):
				d.closed.Store(true)
				t.Error("the worker still looks for requests")
			}
		})
	}
}
