//go:build linux

package nic

import (
	"errors"

	"github.com/seed-48afdc40/netmap/internal/nicfacts"
	"github.com/seed-48afdc40/netmap/internal/takeover"
)

// TakeBelow prepares the interfaces through which frames of this interface come: it switches off
// the features that join frames there. Its errors are those of takeover.Take; giveBack undoes
// everything.
func TakeBelow(f *nicfacts.Facts, dir string) (giveBack func() error, err error) {
	if !f.IsAbove() {
		return func() error { return nil }, nil
	}
	below, err := nicfacts.FindBelow(f.Index)
	if err != nil {
		return nil, err
	}
	var undo []func() error
	giveBack = func() (err error) {
		for _, restore := range undo {
			err = errors.Join(err, restore())
		}
		return err
	}
	for _, b := range below {
		restore, err := takeover.Share(dir, b.Index, takeover.Needs{Off: takeover.Joining})
		if err != nil {
			return nil, errors.Join(err, giveBack())
		}
		undo = append(undo, restore)
	}
	return giveBack, nil
}
