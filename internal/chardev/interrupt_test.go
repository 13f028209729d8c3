//go:build linux

package chardev

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestInterrupts(t *testing.T) {
	var s interrupts
	a, b := s.begin(1), s.begin(2)
	s.signal(1)
	s.signal(1) // the kernel reports a signal once, even for an unknown request
	if !closed(a) || closed(b) || !s.signalled(1) || s.signalled(2) || s.signalled(3) {
		t.Error("the wrong requests were interrupted")
	}
	s.end(1)
	if s.signal(1); s.signalled(1) {
		t.Error("a request that has ended was interrupted")
	}

	// Another worker reads about the signal first.
	s.signal(5)
	if c := s.begin(5); !closed(c) || !s.signalled(5) {
		t.Error("an early signal was lost")
	}
	for i := range uint64(10 * mostEarly) {
		s.signal(100 + i)
	}
	if len(s.early) > mostEarly {
		t.Errorf("%d signals are remembered", len(s.early))
	}

	s.all()
	if c := s.begin(6); !closed(b) || !closed(c) || s.signalled(2) || s.signalled(6) {
		t.Error("all did not interrupt everything, or reported a signal that did not come")
	}
	s.signal(2)
	if !s.signalled(2) {
		t.Error("a signal after all was not recorded")
	}
}

// waiting is a driver whose ioctls wait until they are interrupted.
type waiting struct {
	nodeFile
	began chan struct{}
}

func (w *waiting) Open(Caller, *Waker) (File, syscall.Errno) {
	return &waiting{nodeFile{released: make(chan struct{})}, w.began}, 0
}

func (w *waiting) Ioctl(caller Caller, _ uint32, _ []byte) syscall.Errno {
	w.began <- struct{}{}
	<-caller.Interrupted
	return unix.EINTR
}

func mountWaiting(t *testing.T) (string, *Device, *waiting) {
	t.Helper()
	testutil.CheckLeaks(t)
	w := &waiting{began: make(chan struct{}, 16)}
	fd, _ := backing(t)
	path := t.TempDir() + "/node"
	d, err := Mount(Config{Path: path, Mode: 0o600, Backing: fd, Size: memorySize,
		Spin: 20 * time.Microsecond}, w)
	testutil.Require(t, "to mount FUSE with passthrough (root, Linux 6.9)", err)
	t.Cleanup(func() { d.Close() })
	return path, d, w
}

// helper starts this program as a client in another process, which waits in an ioctl.
func helper(t *testing.T, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestHelperWaits$")
	cmd.Env = append(os.Environ(), "CHARDEV_NODE="+path)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func TestHelperWaits(t *testing.T) {
	path := os.Getenv("CHARDEV_NODE")
	if path == "" {
		t.Skip("runs only as the client of other tests")
	}
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ioctl(fd, ioc(in|out, 8, 0), make([]byte, 8))
}

// TestKilledInIoctl tests that a client that is killed in an ioctl ends.
func TestKilledInIoctl(t *testing.T) {
	path, _, w := mountWaiting(t)
	for range 3 {
		cmd := helper(t, path)
		<-w.began
		cmd.Process.Kill()
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("the client was killed and still exists")
		}
	}
}

// TestIoctlGoesOnAfterASignal tests that an ioctl restarts after each signal, as in a kernel
// driver, because Go installs its handlers with SA_RESTART.
func TestIoctlGoesOnAfterASignal(t *testing.T) {
	path, d, w := mountWaiting(t)
	cmd := helper(t, path)
	<-w.began
	for range 3 {
		for again := false; !again; {
			eachThread(cmd.Process.Pid, func(tid int) { unix.Tgkill(cmd.Process.Pid, tid, syscall.SIGURG) })
			select {
			case <-w.began:
				again = true
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	d.Close() // answers the ioctl, and waits for nobody
	cmd.Process.Kill()
	cmd.Wait()
}

func eachThread(pid int, f func(tid int)) {
	entries, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	for _, e := range entries {
		if tid, err := strconv.Atoi(e.Name()); err == nil {
			f(tid)
		}
	}
}

// TestCloseInterruptsIoctl tests that closing a device ends an ioctl.
func TestCloseInterruptsIoctl(t *testing.T) {
	path, d, w := mountWaiting(t)
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	answer := make(chan syscall.Errno, 1)
	go func() { answer <- ioctl(fd, ioc(in|out, 8, 0), make([]byte, 8)) }()
	<-w.began
	d.Close()
	select {
	case e := <-answer:
		if e != unix.ENODEV {
			t.Errorf("%v, want ENODEV", e)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("the ioctl does not return")
	}
}
