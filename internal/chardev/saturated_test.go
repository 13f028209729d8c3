//go:build linux

package chardev

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// saturated is a node whose workers always have a request: each ioctl of the busy threads is
// answered only when another request can be read.
type saturated struct {
	*node
	stop atomic.Bool
	done chan struct{}
	busy atomic.Int64 // requests answered
	// mounted is the node's device. It is atomic because the race detector does not know that no
	// request comes before it is set.
	mounted atomic.Pointer[Device]
}

// busyFile answers an ioctl when the next request can be read.
type busyFile struct {
	*nodeFile
	s *saturated
}

func (s *saturated) Open(caller Caller, wake *Waker) (File, syscall.Errno) {
	f, e := s.node.Open(caller, wake)
	return &busyFile{f.(*nodeFile), s}, e
}

func (f *busyFile) Ioctl(Caller, uint32, []byte) syscall.Errno {
	f.s.busy.Add(1)
	d := f.s.mounted.Load()
	fds := []unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}}
	for !f.s.stop.Load() && !d.closed.Load() {
		if n, _ := unix.Poll(fds, 1); n == 1 {
			return 0
		}
	}
	return 0
}

func saturate(t *testing.T, workers int) *saturated {
	t.Helper()
	testutil.CheckLeaks(t)
	n := &node{t: t, path: t.TempDir() + "/node"}
	s := &saturated{node: n, done: make(chan struct{})}
	var cfg Config
	cfg.Backing, n.memory = backing(t)
	cfg.Path, cfg.Mode, cfg.Size, cfg.Spin, cfg.Workers = n.path, 0o600, memorySize,
		20*time.Microsecond, workers
	var err error
	n.device, err = Mount(cfg, s)
	testutil.Require(t, "to mount FUSE with passthrough (root, Linux 6.9)", err)
	s.mounted.Store(n.device)
	fd, _ := n.open()
	threads := 4 * workers
	var ended atomic.Int32
	for range threads {
		go func() {
			for !s.stop.Load() && ioctl(fd, ioc(0, 0, 0), nil) == 0 {
			}
			if int(ended.Add(1)) == threads {
				close(s.done)
			}
		}()
	}
	t.Cleanup(func() {
		s.stop.Store(true)
		<-s.done
		n.device.Close()
	})
	for s.busy.Load() < int64(threads) {
		time.Sleep(time.Millisecond)
	}
	return s
}

// TestPollWhileWorkersAreBusy tests that a poll ends by its timeout, a wake-up, a signal and
// closing while all workers are busy.
func TestPollWhileWorkersAreBusy(t *testing.T) {
	for _, workers := range []int{1, 2} {
		s := saturate(t, workers)
		fd, f := s.node.open()
		t.Run("time", func(t *testing.T) {
			for range 10 {
				start := time.Now()
				if got := poll(t, fd, unix.POLLIN, 20*time.Millisecond); got != 0 {
					t.Errorf("%#x", got)
				}
				if d := time.Since(start); d < 20*time.Millisecond || d > long {
					t.Errorf("after %v", d)
				}
			}
		})
		t.Run("wake-up", func(t *testing.T) {
			for _, delay := range []time.Duration{0, 20 * time.Microsecond, time.Millisecond,
				5 * time.Millisecond} {
				f.ready.Store(0)
				time.AfterFunc(delay, func() { f.set(unix.POLLIN) })
				if got := poll(t, fd, unix.POLLIN, long); got != unix.POLLIN {
					t.Fatalf("woken after %v: %#x", delay, got)
				}
			}
			f.ready.Store(0)
		})
		t.Run("signal", func(t *testing.T) { interruptPoll(t, s, fd) })
		t.Run("closing", func(t *testing.T) {
			ended := make(chan int16, 1)
			go func() { ended <- poll(t, fd, unix.POLLIN, long) }()
			time.Sleep(2 * time.Millisecond)
			s.device.Close()
			select {
			case got := <-ended:
				if got&unix.POLLERR == 0 {
					t.Errorf("%#x, want POLLERR", got)
				}
			case <-time.After(long):
				t.Fatal("the poll does not return")
			}
		})
		if before := s.busy.Load(); before < 100 {
			t.Errorf("the workers had %d requests: they were not busy", before)
		}
	}
}

// interruptPoll has a thread poll for ever, and sends it signals. Each ends a poll.
func interruptPoll(t *testing.T, s *saturated, fd int) {
	t.Helper()
	thread, ended := make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		thread <- unix.Gettid()
		for range 10 {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, -1); err != unix.EINTR {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	tid := <-thread
	for start := time.Now(); ; {
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("poll: %v, want EINTR", err)
			}
			return
		case <-time.After(500 * time.Microsecond):
			unix.Tgkill(os.Getpid(), tid, syscall.SIGURG) // the runtime ignores it
		}
		if time.Since(start) > long {
			t.Fatal("signals do not end the poll")
		}
	}
}
