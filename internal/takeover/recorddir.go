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

// DefaultDir is where records are kept when nobody says otherwise: a place that is empty when the machine starts, of the
// user's own.
func DefaultDir() string {
	if os.Geteuid() == 0 {
		return "/run/netmap"
	}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		return filepath.Join(dir, "netmap")
	}
	return filepath.Join(os.TempDir(), "netmap-"+strconv.Itoa(os.Geteuid()))
}

// book is a directory of records.
type book struct{ dir string }

// locked is a record's file whose lock this process has.
type locked struct {
	*os.File
	path string
}

// remove takes the record away.
func (l *locked) remove() error { return os.Remove(l.path) }

const (
	recordOp = "record changes of"
	// draft follows the name of a record that is to replace the one of that name. One that is not locked is what a
	// process left that was killed in between.
	draft = ".draft"
)

// recordHints are for files in the directory of records, without which no setting is changed.
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

// check refuses a directory into which others could put records of theirs.
func (b book) check() error {
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

// list are the files in the directory, none where there is no directory.
func (b book) list() ([]os.DirEntry, error) {
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
	return slices.DeleteFunc(entries, func(e os.DirEntry) bool { return !e.Type().IsRegular() }), nil // daemons have sockets there
}

// create makes a record of an interface that has none. EBUSY when another process has made one meanwhile.
func (b book) create(r Record) (*locked, error) {
	f, err := b.write(r)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, r.file())
	if err := name(f, path); err != nil {
		f.Close()
		if errors.Is(err, fs.ErrExist) {
			return nil, b.taken(path, r.Name)
		}
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	return &locked{f, path}, nil
}

// taken is the error of an interface that another process has.
func (b book) taken(path, name string) error {
	f, err := os.Open(path)
	if err != nil {
		return fault.New(syscall.EBUSY, "take over", name, "another process takes it over at the same time")
	}
	defer f.Close()
	r, _ := read(f)
	return fault.New(syscall.EBUSY, "take over", name, "process %d has changed its settings (%v) and will put them back: stop it", r.PID, r.Changes)
}

// replace writes a record anew that this process has. There is one at any time, and it is locked.
func (b book) replace(r Record) (*locked, error) {
	f, err := b.write(r)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, r.file())
	if err = name(f, path+draft); err == nil {
		err = os.Rename(path+draft, path)
	}
	if err != nil {
		f.Close()
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	return &locked{f, path}, nil
}

// write writes a record to a file without a name, and locks it.
func (b book) write(r Record) (*os.File, error) {
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
	if err := errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), json.NewEncoder(f).Encode(r)); err != nil {
		f.Close()
		return nil, recordHints.Wrap(err, recordOp, r.Name)
	}
	return f, nil
}

// name gives a file its name. EEXIST when there is one of that name.
func name(f *os.File, path string) error {
	return unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", f.Fd()), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
}

// open opens the file of a process that is dead. No file and no error means that there is none, or that its process
// lives.
func (b book) open(name string) (*locked, error) {
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
	if err1 != nil || err2 != nil || !os.SameFile(mine, now) { // removed or replaced between opening and locking
		f.Close()
		return nil, nil
	}
	return &locked{f, path}, nil
}

func read(f io.Reader) (r Record, err error) {
	err = json.NewDecoder(f).Decode(&r)
	return r, err
}
