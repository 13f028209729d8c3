//go:build linux

package ethtool

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Deferral is for how long an interface leaves its queues to programs that poll them.
type Deferral struct {
	HardIRQs     int `json:"napi_defer_hard_irqs"` // rounds without a frame before interrupts are enabled again
	FlushTimeout int `json:"gro_flush_timeout"`    // nanoseconds after which the kernel looks if no program has
}

// String names the settings as sysfs does.
func (d Deferral) String() string {
	return fmt.Sprintf("%s %d, %s %d", hardIRQsFile, d.HardIRQs, flushTimeoutFile, d.FlushTimeout)
}

// The files of an interface in sysfs. Unlike ethtool's, these settings have no other place on
// kernels before 6.13.
const (
	hardIRQsFile     = "napi_defer_hard_irqs"
	flushTimeoutFile = "gro_flush_timeout"
)

var deferralHints = fault.Hints{
	syscall.ENOENT: "this kernel has no such setting: busy polling needs Linux 5.11",
	syscall.EPERM: "needs CAP_SYS_ADMIN, and CAP_NET_ADMIN in the network namespace: " +
		"run as root, or do without busy polling",
	syscall.EACCES: "the files in sysfs are root's: run as root, or do without busy polling",
	syscall.ENODEV: "the interface is gone",
}

// AskDeferral asks for the settings of an interface of the calling thread's network namespace.
func AskDeferral(ifindex int) (d Deferral, err error) {
	err = withSysfs(ifindex, "ask for deferral of interrupts of", func(dir int) error {
		if d.HardIRQs, err = readNumber(dir, hardIRQsFile); err != nil {
			return err
		}
		d.FlushTimeout, err = readNumber(dir, flushTimeoutFile)
		return err
	})
	return d, err
}

// SetDeferral sets them.
func SetDeferral(ifindex int, d Deferral) error {
	return withSysfs(ifindex, "defer interrupts of", func(dir int) error {
		return errors.Join(writeNumber(dir, hardIRQsFile, d.HardIRQs),
			writeNumber(dir, flushTimeoutFile, d.FlushTimeout))
	})
}

// withSysfs calls f with the directory of an interface in sysfs. What is mounted on /sys shows the
// interfaces of some network namespace, and nobody says which: so f gets a sysfs of the thread's
// own, which is mounted nowhere.
func withSysfs(ifindex int, op string, f func(dir int) error) error {
	name := "interface #" + strconv.Itoa(ifindex)
	if l, err := netlink.LinkByIndex(ifindex); err == nil {
		name = l.Attrs().Name
	}
	root, err := openSysfs()
	if err != nil {
		return deferralHints.Wrap(err, op, name)
	}
	defer unix.Close(root)
	dir, err := unix.Openat(root, path.Join("class/net", name),
		unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return deferralHints.Wrap(syscall.ENODEV, op, name)
	}
	defer unix.Close(dir)
	// The interface may have been renamed, and another one have its name now.
	if is, err := readNumber(dir, "ifindex"); err != nil || is != ifindex {
		return deferralHints.Wrap(syscall.ENODEV, op, name)
	}
	if err := f(dir); err != nil {
		return deferralHints.Wrap(err, op, name)
	}
	return nil
}

func openSysfs() (int, error) {
	fs, err := unix.Fsopen("sysfs", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, err
	}
	defer unix.Close(fs)
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, err
	}
	return unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, 0)
}

func openAt(dir int, name string, flags int) (*os.File, error) {
	fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), name), nil
}

func readNumber(dir int, name string) (int, error) {
	f, err := openAt(dir, name, unix.O_RDONLY)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func writeNumber(dir int, name string, n int) error {
	f, err := openAt(dir, name, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(strconv.Itoa(n))
	return err
}
