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

// Access is who may use a socket. The numbers are -1 where owner or group stay those of the
// process.
type Access struct {
	Mode     os.FileMode
	UID, GID int
}

// socket is a listening unix socket that is removed with Close.
type socket struct {
	*net.UnixListener
	path string
	once sync.Once
}

// Close implements net.Listener.
func (s *socket) Close() (err error) {
	s.once.Do(func() {
		os.Remove(s.path)
		err = s.UnixListener.Close()
	})
	return err
}

// Listen makes a unix socket, and its directory. One at which nobody listens any more is replaced:
// a process that was killed left it. EADDRINUSE where somebody listens, or where something else
// stands.
func Listen(path string, a Access) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fault.Wrap(err, opOffer, path, "")
	}
	if c, err := net.Dial("unix", path); err == nil {
		c.Close()
		return nil, fault.New(syscall.EADDRINUSE, opOffer, path,
			"somebody listens there already; name another socket with --status")
	} else if isDead(path, err) {
		os.Remove(path)
	}
	return listen(path, a)
}

// isDead says whether nobody listens at a socket to which a connection failed so.
func isDead(path string, err error) bool {
	info, e := os.Lstat(path)
	return e == nil && info.Mode().Type() == os.ModeSocket && errors.Is(err, syscall.ECONNREFUSED)
}

// serial tells apart the sockets that this process is about to make.
var serial atomic.Uint32

// listen makes a socket under a name that nobody looks for, and gives it the right one when it is
// ready: so one at which nobody listens is one that was left, and nobody gets in before it has its
// owners.
func listen(path string, a Access) (_ net.Listener, err error) {
	draft := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%d-%d", os.Getpid(), serial.Add(1)))
	os.Remove(draft) // of a process of this number that was killed
	closed := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) {
			err = unix.Fchmod(int(fd), 0) // bind takes this for the file
		})
		return errors.Join(failed, err)
	}}
	l, err := closed.Listen(context.Background(), "unix", draft)
	if err != nil {
		return nil, fault.Wrap(err, opOffer, path, "")
	}
	s := &socket{UnixListener: l.(*net.UnixListener), path: draft}
	s.SetUnlinkOnClose(false)
	if a.UID >= 0 || a.GID >= 0 {
		err = os.Chown(draft, a.UID, a.GID)
	}
	if err == nil {
		err = os.Chmod(draft, a.Mode)
	}
	if err == nil {
		err = unix.Renameat2(unix.AT_FDCWD, draft, unix.AT_FDCWD, path, unix.RENAME_NOREPLACE)
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

// announced is the name of a socket that Announce made, draft the one that a socket has at first.
var (
	announced = regexp.MustCompile(`^[a-z]+-[0-9]+(\.[0-9]+)?\.sock$`)
	draft     = regexp.MustCompile(`^\.[0-9]+-[0-9]+$`)
)

// Announce makes a socket for a framework inside a program, for its user alone, in a directory
// where others have theirs: it is named after the program and the process, such as
// bridge-1234.sock. Those that programs left there that were killed are removed. EPERM for a
// directory that somebody else may write to.
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
			"others may write to the directory, or it is somebody else's")
	}
	sweep(dir)
	const most = 100 // of one process, or of such that have one number in several containers
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

// trusted says whether only this user, or root, can have put something into the directory.
func trusted(dir string) bool {
	info, err := os.Lstat(dir)
	if err != nil || !info.IsDir() || info.Mode().Perm()&0o022 != 0 {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && (owner.Uid == 0 || int(owner.Uid) == os.Geteuid())
}

// sweep removes the sockets of programs that were killed.
func sweep(dir string) {
	entries, _ := os.ReadDir(dir) // what cannot be seen stays
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
		case draft.MatchString(e.Name()): // one of now is about to get its name
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Minute {
				os.Remove(path)
			}
		}
	}
}

// Sockets are the sockets in a directory, whether somebody listens there or not.
func Sockets(dir string) (paths []string) {
	if !trusted(dir) {
		return nil
	}
	entries, _ := os.ReadDir(dir) // without it, there are none
	for _, e := range entries {
		if e.Type() == os.ModeSocket && filepath.Ext(e.Name()) == ".sock" {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}
