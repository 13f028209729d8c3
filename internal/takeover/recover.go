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

// Recover undoes the changes that dead processes have left on interfaces, as the records in dir
// describe them, in every network namespace. It returns the records whose changes it undid, and
// removes them. It also removes the records of interfaces that are gone. A record that causes an
// error stays, and Recover goes on with the next one.
func Recover(dir string) (done []Record, err error) {
	b := recordDir{dir}
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

// Pending returns the records in dir whose processes are dead.
func Pending(dir string) (list []Record, err error) {
	b := recordDir{dir}
	entries, err := b.list()
	for _, e := range entries {
		l, err := b.open(e.Name())
		if err != nil || l == nil {
			continue
		}
		if r, err := read(l); err == nil && r.Boot == bootID() &&
			!strings.HasSuffix(e.Name(), tmpSuffix) {
			list = append(list, r)
		}
		l.Close()
	}
	return list, err
}

// recoverLeftovers recovers all records of the interface whose record has this name. Otherwise Take
// would mistake a dead process's changes for the interface's own settings.
func (b recordDir) recoverLeftovers(name string) error {
	_, err1 := b.recover(name + tmpSuffix)
	_, err2 := b.recover(name)
	return errors.Join(err1, err2)
}

// recover undoes the changes in a record whose process is dead, and removes the record. It returns
// the record if there was something to undo.
func (b recordDir) recover(name string) (*Record, error) {
	l, err := b.open(name)
	if l == nil || err != nil {
		return nil, err
	}
	defer l.Close()
	if strings.HasSuffix(name, tmpSuffix) {
		return nil, l.remove()
	}
	r, err := read(l)
	if err != nil {
		if _, ok := errors.AsType[syscall.Errno](err); ok {
			return nil, recordHints.Wrap(err, "read record", l.path)
		}
		return nil, fault.Wrap(err, "read record", l.path,
			"it is not a record of netmap's: remove it")
	}
	switch err := r.undo(); {
	case errors.Is(err, errGone):
		return nil, l.remove()
	case err != nil:
		return nil, fault.Wrap(err, "give back", r.Name, "%v; the record is %s", r.Changes, l.path)
	}
	return &r, l.remove()
}

// errGone means that the interface does not exist any more.
var errGone = errors.New("the interface is gone")

// undo undoes the changes in the interface's network namespace.
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
		r.Name = l.Attrs().Name // the interface may have been renamed
		if err = r.Changes.undo(r.Ifindex); errors.Is(err, syscall.ENODEV) {
			return errGone
		}
		return err
	})
}

// nsPatterns are the paths at which network namespaces can be found: this process's, those with
// names, those of containers, those of processes, and those that processes hold open.
var nsPatterns = []string{
	"/proc/thread-self/ns/net",
	"/run/netns/*",
	"/run/docker/netns/*",
	"/proc/[0-9]*/ns/net",
	"/proc/[0-9]*/fd/*",
}

// find opens the namespace. errGone when it does not exist.
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

// at opens the file at the path if it is the namespace.
func (n NetNS) at(path string) (netns.NsHandle, bool) {
	// A descriptor's link is read first: opening what the descriptor refers to could have effects.
	if to, err := os.Readlink(path); err == nil {
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
