//go:build linux || freebsd

package nioctl

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Open opens a device node. Errors are those of open(2), each with a hint; ENOTCONN for a node
// whose daemon has died.
func Open(path string) (fd int, err error) {
	fd, err = unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fault.Wrap(err, "open", path, "%s", openHint(err))
	}
	return fd, nil
}

// IsDead reports whether an error is that of a node whose daemon has died without removing it.
func IsDead(err error) bool {
	return errors.Is(err, unix.ENOTCONN) || errors.Is(err, unix.ECONNABORTED)
}

func openHint(err error) string {
	switch {
	case errors.Is(err, unix.EISDIR):
		return "name a node in it, such as netmap"
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENXIO):
		return "start netmap serve, load netmap's kernel module, name another node, " +
			"or embed the framework"
	case IsDead(err):
		return "the daemon behind it has died: start netmap serve again; " +
			"netmap doctor tells what it left behind"
	case errors.Is(err, unix.EACCES):
		return "join the group of the device, or run as root"
	}
	return ""
}

// IsNone reports whether an error is that of a file that takes no ioctls: the file below the mount
// point of a device that is gone, or something that is no device.
func IsNone(err error) bool { return errors.Is(err, unix.ENOTTY) }

// Explain wraps the error of a request to the device at path. The hint says that the file is not a
// netmap device, or is that of hints for the errno.
func Explain(err error, path, op, object string, hints fault.Hints) error {
	if IsNone(err) {
		return fault.Wrap(err, op, object, "%s exists, but is no netmap device: start netmap serve, "+
			"load netmap's kernel module, or name another node", path)
	}
	return hints.Wrap(err, op, object)
}
