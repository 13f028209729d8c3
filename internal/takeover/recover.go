//go:build linux

package takeover

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/ns"
)

// Recover puts back what processes that are dead have left in dir, whichever network namespace it is in, and returns the
// records of what it put back. Records whose interface is gone are removed. One that fails does not keep it from the
// others, and stays.
func Recover(dir string) (done []Record, err error) {
	b := book{dir}
	entries, err := b.list()
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		r, err := b.recover(e.Name())
		if err != nil {
			errs = append(errs, err)
		}
		if r != nil {
			done = append(done, *r)
		}
	}
	return done, errors.Join(errs...)
}

// Pending are the records in dir of processes that are dead.
func Pending(dir string) (list []Record, err error) {
	b := book{dir}
	entries, err := b.list()
	for _, e := range entries {
		l, err := b.open(e.Name())
		if err != nil || l == nil {
			continue
		}
		if r, err := read(l); err == nil && r.Boot == bootID() && !strings.HasSuffix(e.Name(), draft) {
			list = append(list, r)
		}
		l.Close()
	}
	return list, err
}

// settle sees to it that no dead process's record of an interface is left: what it says is not the interface's own state.
func (b book) settle(name string) error {
	_, err1 := b.recover(name + draft)
	_, err2 := b.recover(name)
	return errors.Join(err1, err2)
}

// recover puts back what a record says, unless its process lives, and removes it. It returns the record when there was
// something to put back.
func (b book) recover(name string) (*Record, error) {
	l, err := b.open(name)
	if l == nil || err != nil {
		return nil, err
	}
	defer l.Close()
	if strings.HasSuffix(name, draft) {
		return nil, l.remove()
	}
	r, err := read(l)
	if err != nil {
		if _, ok := errors.AsType[syscall.Errno](err); ok {
			return nil, recordHints.Wrap(err, "read record", l.path)
		}
		return nil, fault.Wrap(err, "read record", l.path, "it is none of ours; remove it")
	}
	switch err := r.undo(); {
	case errors.Is(err, errGone):
		return nil, l.remove()
	case err != nil:
		return nil, fault.Wrap(err, "give back", r.Name, "%v; the record is %s", r.Changes, l.path)
	}
	return &r, l.remove()
}

// errGone says that there is no such interface any more.
var errGone = errors.New("the interface is gone")

// undo puts back what the record says, in the interface's namespace.
func (r *Record) undo() error {
	if r.Boot != bootID() {
		return errGone
	}
	h, err := r.NetNS.find()
	if err != nil {
		return err
	}
	defer h.Close()
	return ns.Do(h, r.Name, func() error {
		l, err := netlink.LinkByIndex(r.Ifindex)
		if errors.As(err, &netlink.LinkNotFoundError{}) || err == nil && macOf(l) != r.MAC {
			return errGone
		}
		if err != nil {
			return err
		}
		r.Name = l.Attrs().Name // it may have been renamed
		if err = r.Changes.undo(r.Ifindex); errors.Is(err, syscall.ENODEV) {
			return errGone
		}
		return err
	})
}

// nsPatterns are where namespaces are to be found: that of this process, those with names, those of containers, those of
// processes, and those that processes hold open.
var nsPatterns = []string{"/proc/thread-self/ns/net", "/run/netns/*", "/run/docker/netns/*", "/proc/[0-9]*/ns/net", "/proc/[0-9]*/fd/*"}

// find opens the namespace. errGone when there is none.
func (n NetNS) find() (netns.NsHandle, error) {
	for _, pattern := range nsPatterns {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			return -1, err
		}
		for _, path := range paths {
			if h, ok := n.at(path); ok {
				return h, nil
			}
		}
	}
	return -1, errGone
}

// at opens the namespace if it is at the path.
func (n NetNS) at(path string) (netns.NsHandle, bool) {
	if to, err := os.Readlink(path); err == nil { // what a descriptor stands for is looked at, but not touched
		if to != fmt.Sprintf("net:[%d]", n.Inode) {
			return -1, false
		}
	} else if st, err := os.Stat(path); err != nil || st.Sys().(*syscall.Stat_t).Ino != n.Inode {
		return -1, false
	}
	h, err := netns.GetFromPath(path)
	if err != nil {
		return -1, false
	}
	var there NetNS
	err = ns.Do(h, path, func() (err error) {
		there, err = currentNetNS()
		return err
	})
	if err != nil || there != n {
		h.Close()
		return -1, false
	}
	return h, true
}
