//go:build linux

package takeover

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

// DefaultDir is the directory of records unless the user names another. It belongs to the user, and
// is empty after a reboot.
func DefaultDir() string {
	if os.Geteuid() == 0 {
		return "/run/netmap"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "netmap")
	}
	return filepath.Join(os.TempDir(), "netmap-"+strconv.Itoa(os.Geteuid()))
}

// recordDir is a directory of records.
type recordDir struct{ dir string }

// locked is a record's file that this process has locked.
type locked struct {
	*os.File
	path string
}

// remove deletes the record.
func (l *locked) remove() error { return os.Remove(l.path) }

const (
	recordOp = "record changes of"
	// tmpSuffix follows the name of a record that is about to replace the one without the suffix.
	// If such a file is not locked, its process was killed before the rename.
	tmpSuffix = ".draft"
)

// recordHints are the hints for errors of files in the directory of records. Without a record no
// setting is changed.
var recordHints = fault.Hints{
	syscall.EACCES:     "this process may not write records there: " + otherDir,
	syscall.EPERM:      "this process may not write records there: " + otherDir,
	syscall.EROFS:      "records cannot be written there: " + otherDir,
	syscall.EOPNOTSUPP: "the file system has no files without a name: " + otherDir,
	syscall.EISDIR:     "the file system has no files without a name: " + otherDir,
	syscall.ENOTDIR:    "there is a file where the directory of records should be: " + otherDir,
	syscall.ENOENT:     "the directory of records has been removed: try again",
	syscall.ENOSPC:     "there is no room: make some, or " + otherDir,
	syscall.EDQUOT:     "there is no room: make some, or " + otherDir,
}

const otherDir = "choose another directory for records (--state-dir)"

// check returns EPERM for a directory in which other users could create records.
func (b recordDir) check() error {
	var st unix.Stat_t
	if err := unix.Stat(b.dir, &st); err != nil {
		return err
	}
	if st.Uid != uint32(os.Geteuid()) && st.Uid != 0 || st.Mode&0o022 != 0 {
		return fault.New(syscall.EPERM, "use", b.dir,
			"others may write to it: take that right away, or "+otherDir)
	}
	return nil
}

// list returns the regular files in the directory. If there is no directory, there are no files.
func (b recordDir) list() ([]os.DirEntry, error) {
	entries, err := os.ReadDir(b.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return nil, fault.Wrap(err, "look for records in", b.dir, "")
	}
	isOther := func(e os.DirEntry) bool { return !e.Type().IsRegular() } // sockets of daemons
	return slices.DeleteFunc(entries, isOther), nil
}

// create makes the record of an interface that has none. EBUSY when another process has made one
// meanwhile.
func (b recordDir) create(r Record) (*locked, error) {
	f, err := b.write(r)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, r.file())
	if err := name(f, path); err != nil {
		f.Close()
		if errors.Is(err, fs.ErrExist) {
			return nil, b.busy(path, r.Name)
		}
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	return &locked{f, path}, nil
}

// busy is the error for an interface whose record another process has locked.
func (b recordDir) busy(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return fault.New(syscall.EBUSY, "take over", name,
			"another process is taking it over: try again")
	}
	defer f.Close()
	r, _ := read(f)
	return fault.New(syscall.EBUSY, "take over", name,
		"process %d has changed its settings (%v) and will restore them: stop it", r.PID, r.Changes)
}

// replace writes a new version of a record that this process has locked. A locked record exists at
// every moment.
func (b recordDir) replace(r Record) (*locked, error) {
	f, err := b.write(r)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, r.file())
	if err = name(f, path+tmpSuffix); err == nil {
		err = os.Rename(path+tmpSuffix, path)
	}
	if err != nil {
		f.Close()
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	return &locked{f, path}, nil
}

// write writes a record to a file without a name, and locks the file.
func (b recordDir) write(r Record) (*os.File, error) {
	err := os.MkdirAll(b.dir, 0o700)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	f, err := os.OpenFile(b.dir, unix.O_TMPFILE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	err = errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB),
		json.NewEncoder(f).Encode(r))
	if err != nil {
		f.Close()
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	return f, nil
}

// name gives a file its name. EEXIST when there is a file of that name.
func name(f *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()),
		unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// open opens and locks the record of a dead process. It returns nil and no error if there is no
// such record, or if its process is alive.
func (b recordDir) open(name string) (*locked, error) {
	path := filepath.Join(b.dir, name)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, recordHints.Wrap(err, "look at record", path)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, nil
		}
		return nil, fault.Wrap(err, "lock record", path, "")
	}
	mine, err1 := f.Stat()
	now, err2 := os.Stat(path)
	if err1 != nil || err2 != nil || !os.SameFile(mine, now) { // replaced before it was locked
		f.Close()
		return nil, nil
	}
	return &locked{f, path}, nil
}

func read(f io.Reader) (r Record, err error) {
	err = json.NewDecoder(f).Decode(&r)
	return r, err
}
