//go:build linux

package takeover

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"
)

// shares are the interfaces that are taken through Share, by their record.
var shares = struct {
	sync.Mutex
	of map[string]*share
}{of: map[string]*share{}}

// share is an interface that several have taken.
type share struct {
	taken *Taken
	users int
}

// Share is Take of an interface through which frames of another come: several who are above it may
// need it. The last giveBack of this process restores it. One that another process has readied in
// the same way is left to that.
func Share(dir string, ifindex int, needs Needs) (giveBack func() error, err error) {
	r, err := identify(ifindex)
	if err != nil {
		return nil, err
	}
	key := filepath.Join(dir, r.file())
	shares.Lock()
	defer shares.Unlock()
	s := shares.of[key]
	if s != nil {
		err = s.taken.Need(needs)
	} else {
		s = &share{}
		s.taken, err = Take(dir, ifindex, needs)
	}
	if errors.Is(err, syscall.EBUSY) {
		if left, unknown := r.missing(needs); unknown == nil && left.empty() {
			return func() error { return nil }, nil
		}
	}
	if err != nil {
		return nil, err
	}
	s.users++
	shares.of[key] = s
	return sync.OnceValue(func() error { return s.leave(key) }), nil
}

// leave is the end of one who shares.
func (s *share) leave(key string) error {
	shares.Lock()
	defer shares.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	delete(shares.of, key)
	return s.taken.Restore()
}
