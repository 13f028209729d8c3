//go:build linux

// Package ns runs code in another network namespace.
package ns

import (
	"runtime"
	"syscall"

	"github.com/vishvananda/netns"

	"github.com/seed-48afdc40/netmap/internal/fault"
)

var enterHints = fault.Hints{syscall.EPERM: "needs CAP_SYS_ADMIN"}

// Do calls f in a network namespace: sockets that f opens and interfaces that it names are those of
// the namespace. of describes the owner of the namespace in errors. A thread that cannot return to
// its own namespace ends.
func Do(target netns.NsHandle, of string, f func() error) error {
	runtime.LockOSThread()
	here, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fault.Wrap(err, "find the network namespace of this thread", "", "")
	}
	defer here.Close()
	if here.Equal(target) {
		defer runtime.UnlockOSThread()
		return f()
	}
	if err := netns.Set(target); err != nil {
		runtime.UnlockOSThread()
		return enterHints.Wrap(err, "enter network namespace of", of)
	}
	defer func() {
		if netns.Set(here) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return f()
}
