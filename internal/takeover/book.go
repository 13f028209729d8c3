//go:build linux

package takeover

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
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
	recordAt = "changes of an interface's settings are recorded there before they are made; choose another directory for records"
	draft    = ".draft-"
)

// check refuses a directory into which others could put records of theirs.
func (b book) check() error {
	var st unix.Stat_t
	if err := unix.Stat(b.dir, &st); err != nil {
		return err
	}
	if st.Uid != uint32(os.Geteuid()) && st.Uid != 0 || st.Mode&0o022 != 0 {
		return fault.New(syscall.EPERM, "use", b.dir, "others may write to it")
	}
	return nil
}

// list are the directory's entries, none where there is no directory.
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
	return entries, nil
}

// create makes a record of an interface that has none. EBUSY when another process has made one meanwhile.
func (b book) create(r Record) (*locked, error) {
	l, err := b.draft(r)
	if err != nil {
		return nil, err
	}
	defer os.Remove(l.path)
	path := filepath.Join(b.dir, r.file())
	if err := os.Link(l.path, path); err != nil {
		l.Close()
		if errors.Is(err, fs.ErrExist) {
			return nil, b.taken(path, r.Name)
		}
		return nil, fault.Wrap(err, recordOp, r.Name, recordAt)
	}
	return &locked{l.File, path}, nil
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

// replace writes a record anew that this process has.
func (b book) replace(r Record) (*locked, error) {
	l, err := b.draft(r)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(b.dir, r.file())
	if err := os.Rename(l.path, path); err != nil {
		os.Remove(l.path)
		l.Close()
		return nil, fault.Wrap(err, recordOp, r.Name, recordAt)
	}
	return &locked{l.File, path}, nil
}

// draft writes a record to a file that nobody takes for one yet.
func (b book) draft(r Record) (*locked, error) {
	err := os.MkdirAll(b.dir, 0o700)
	if err == nil {
		err = b.check()
	}
	if err != nil {
		return nil, fault.Wrap(err, recordOp, r.Name, recordAt)
	}
	f, err := os.CreateTemp(b.dir, draft) // mode 0600
	if err != nil {
		return nil, fault.Wrap(err, recordOp, r.Name, recordAt)
	}
	l := &locked{f, f.Name()}
	err = errors.Join(unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB), json.NewEncoder(f).Encode(r))
	if err != nil {
		os.Remove(l.path)
		l.Close()
		return nil, fault.Wrap(err, recordOp, r.Name, recordAt)
	}
	return l, nil
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
		return nil, fault.Wrap(err, "look at record", path, recordAt)
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
