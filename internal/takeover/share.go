//go:build linux

package takeover

import (
	"errors"
	"path/filepath"
	"sync"
	"syscall"
)

// shares are the interfaces that were taken through Share, by the paths of their records.
var shares = struct {
	sync.Mutex
	of map[string]*share
}{of: map[string]*share{}}

// share is an interface with one or more users.
type share struct {
	taken *Taken
	users int
}

// Share takes an interface through which frames of another interface come. Several users in this
// process may share it; the last giveBack restores it. If another process has already made the
// changes that needs asks for, Share leaves it to that process.
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

// leave ends one use.
func (s *share) leave(key string) error {
	shares.Lock()
	defer shares.Unlock()
	if s.users--; s.users > 0 {
		return nil
	}
	delete(shares.of, key)
	return s.taken.Restore()
}
