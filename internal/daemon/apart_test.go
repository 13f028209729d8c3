//go:build linux

package daemon

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/chardev"
	"github.com/seed-48afdc40/netmap/internal/ifioctl"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// TestApart tests that a call that sleeps on a client's memory is left behind and learns so. While
// it sleeps, it keeps one of its user's threads; other users have their own.
func TestApart(t *testing.T) {
	testutil.CheckLeaks(t)
	var a apart
	hold, done := make(chan struct{}), make(chan struct{}, 64)
	begin := func(uid uint32, signal <-chan struct{}, sleeps bool) (chan bool, error) {
		p := &process{pid: os.Getpid(), interrupted: signal, call: &chardev.Caller{UID: uid}, apart: &a}
		ended := make(chan bool, 1)
		return ended, p.Apart(func(_ ifioctl.Memory, left func() bool) error {
			if sleeps {
				<-hold
			}
			ended <- left()
			return syscall.ENOTTY
		}, func() { done <- struct{}{} })
	}
	signal, never := make(chan struct{}), make(chan struct{})
	close(signal)
	var sleepers []chan bool
	for a.take(1) { // all but as many as sleep below
	}
	for range 3 {
		a.give(1)
	}
	for range 3 {
		ended, err := begin(1, after(5*time.Millisecond), true)
		if !errors.Is(err, syscall.EINTR) {
			t.Errorf("interrupted: %v", err)
		}
		sleepers = append(sleepers, ended)
	}
	if ended, err := begin(1, signal, false); !errors.Is(err, syscall.EINTR) || len(ended) > 0 {
		t.Errorf("without a thread: %v", err)
	}
	if _, err := begin(2, never, false); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("another user: %v", err)
	}
	close(hold)
	for _, ended := range sleepers {
		if !<-ended {
			t.Error("a call that was left behind is not told so")
		}
	}
	for range 5 {
		<-done
	}
	if _, err := begin(1, never, false); !errors.Is(err, syscall.ENOTTY) {
		t.Errorf("afterwards: %v", err)
	}
	<-done
}

// after returns a channel that is closed after a while.
func after(d time.Duration) <-chan struct{} {
	c := make(chan struct{})
	time.AfterFunc(d, func() { close(c) })
	return c
}
