//go:build linux

package statusapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// Access tells who may use a socket. UID or GID -1 means the process's own.
type Access struct {
	Mode     os.FileMode
	UID, GID int
}

// socket is a listening unix socket whose file Close removes.
type socket struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Close closes the socket and removes its file. It implements net.Listener.
func (s *socket) Close() (err error) {
	s.once.Do(func() {
		os.Remove(s.path)
		err = s.UnixListener.Close()
	})
	return err
}

// Listen makes a unix socket and its directory. It replaces a socket at which nobody listens: a
// killed process has left it. EADDRINUSE if somebody listens, or if the path is not a socket.
func Listen(path string, a Access) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fault.Wrap(err, opOffer, path, "")
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fault.New(syscall.EADDRINUSE, opOffer, path,
			"somebody listens there already: name another socket with --status")
	} else if isDead(path, err) {
		os.Remove(path)
	}
	return listen(path, a)
}

// isDead reports whether nobody listens at the socket, where a connection has failed with err.
func isDead(path string, err error) bool {
	info, e := os.Lstat(path)
	return e == nil && info.Mode().Type() == os.ModeSocket && errors.Is(err, syscall.ECONNREFUSED)
}

// serial distinguishes the temporary names of this process's sockets.
var serial atomic.Uint32

// listen makes a socket under a temporary name, and renames it when it is ready. So a socket at
// which nobody listens was left by a killed process, and nobody connects before owner and mode are
// set.
func listen(path string, a Access) (_ net.Listener, err error) {
	temporary := filepath.Join(filepath.Dir(path),
		fmt.Sprintf(".%d-%d", os.Getpid(), serial.Add(1)))
	os.Remove(temporary) // a killed process with this pid may have left it
	closed := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) {
			err = unix.Fchmod(int(fd), 0) // bind gives the file this mode
		})
		return errors.Join(failed, err)
	}}
	l, err := closed.Listen(context.Background(), "unix", temporary)
	if err != nil {
		return nil, fault.Wrap(err, opOffer, path, "")
	}
	s := &socket{UnixListener: l.(*net.UnixListener), path: temporary}
	s.SetUnlinkOnClose(false)
	if a.UID >= 0 || a.GID >= 0 {
		err = os.Chown(temporary, a.UID, a.GID)
	}
	if err == nil {
		err = os.Chmod(temporary, a.Mode)
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, temporary, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
	}
	switch {
	case err == nil:
		s.path = path
		return s, nil
	case err == unix.EEXIST:
		err = syscall.EADDRINUSE
	}
	s.Close()
	return nil, fault.Wrap(err, opOffer, path, "")
}

// announced matches the names of sockets that Announce makes, temporary their first names.
var (
	announced = regexp.MustCompile(`^[a-z]+-[0-9]+(\.[0-9]+)?\.sock$`)
	temporary = regexp.MustCompile(`^\.[0-9]+-[0-9]+$`)
)

// Announce makes a socket for a framework inside a program. Only the program's user may use it. Its
// name consists of the program and the process, such as bridge-1234.sock. Announce removes the
// sockets in the directory that killed programs have left. EPERM if another user may write to the
// directory.
func Announce(dir, program string) (net.Listener, error) {
	mode := os.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o755 // the sockets of daemons are there, too
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return nil, fault.Wrap(err, opOffer, dir, "")
	}
	if !trusted(dir) {
		return nil, fault.New(syscall.EPERM, opOffer, dir,
			"others may write to the directory, or own it")
	}
	sweep(dir)
	// sockets of one process, or of processes with the same pid in several containers
	const most = 100
	var l net.Listener
	err := error(syscall.EADDRINUSE)
	for n := 1; n <= most && errors.Is(err, syscall.EADDRINUSE); n++ {
		name := fmt.Sprintf("%s-%d.sock", program, os.Getpid())
		if n > 1 {
			name = fmt.Sprintf("%s-%d.%d.sock", program, os.Getpid(), n)
		}
		l, err = listen(filepath.Join(dir, name), Access{0o600, -1, -1})
	}
	return l, err
}

// trusted reports whether only this user and root can create files in the directory.
func trusted(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && (owner.Uid == 0 || int(owner.Uid) == os.Geteuid())
}

// sweep removes the sockets of killed programs.
func sweep(dir string) {
	entries, _ := os.ReadDir(dir) // an unreadable directory is left as it is
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case e.Type() != os.ModeSocket:
		case announced.MatchString(e.Name()):
			c, err := net.Dial("unix", path)
			if err == nil {
				c.Close()
			} else if isDead(path, err) {
				os.Remove(path)
			}
		case temporary.MatchString(e.Name()):
			// A recent one is about to be renamed.
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Minute {
				os.Remove(path)
			}
		}
	}
}

// Sockets returns the paths of the sockets in a directory, including those at which nobody listens.
func Sockets(dir string) (paths []string) {
	if !trusted(dir) {
		return nil
	}
	entries, _ := os.ReadDir(dir) // an unreadable directory has no sockets for us
	for _, e := range entries {
		if e.Type() == os.ModeSocket && filepath.Ext(e.Name()) == ".sock" {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}
