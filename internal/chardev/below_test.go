//go:build linux

package chardev

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// TestTwoNamespacesShareTheFile tests that a daemon that ends leaves the device of another daemon
// alone, which is mounted on the same file in a mount namespace of its own.
func TestTwoNamespacesShareTheFile(t *testing.T) {
	first := mountNode(t)
	second := &node{t: t, path: first.path}
	ended := make(chan error, 1)
	mounted, leave := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread() // the thread ends with its namespace
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_PRIVATE|unix.MS_REC, "")
		}
		if err == nil {
			err = unix.Unmount(first.path, unix.MNT_DETACH)
		}
		if err == nil {
			cfg := first.device.cfg
			second.device, err = Mount(cfg, second)
		}
		mounted <- err
		<-leave
		if err == nil {
			err = second.device.Close()
		}
		ended <- err
	}()
	testutil.Require(t, "a mount namespace", <-mounted)
	first.device.Close()
	select {
	case <-second.device.Dead():
		t.Error("the end of one device ended the other")
	default:
	}
	if _, err := os.Stat(first.path); err != nil {
		t.Errorf("the file below a device is gone: %v", err)
	}
	close(leave)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
