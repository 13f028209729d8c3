//go:build linux

package testutil

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// recorder is a testing.TB that keeps what a test would report.
type recorder struct {
	testing.TB
	cleanups []func()
	text     string
	fatal    bool
	skipped  bool
}

func (r *recorder) Helper()                           {}
func (r *recorder) Cleanup(f func())                  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) { r.text += fmt.Sprintf(format, args...) }
func (r *recorder) Fatalf(format string, args ...any) { r.fatal = true; r.Errorf(format, args...) }
func (r *recorder) Skipf(format string, args ...any) {
	r.skipped = true
	r.Errorf(format, args...)
}

func TestRequire(t *testing.T) {
	tests := []struct {
		name    string
		all     string
		err     error
		skipped bool
		fatal   bool
	}{
		{"nothing missing", "", nil, false, false},
		{"no privilege", "", fmt.Errorf("socket: %w", unix.EPERM), true, false},
		{"old kernel", "", unix.ENOSYS, true, false},
		{"no protocol", "", unix.EAFNOSUPPORT, true, false},
		{"a bug", "", unix.EINVAL, false, true},
		{"no privilege, skips forbidden", "1", unix.EPERM, false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv(RequireAll, tt.all)
			r := &recorder{TB: t}
			Require(r, "a thing", tt.err)
			if r.skipped != tt.skipped || r.fatal != tt.fatal {
				t.Errorf("skipped %v, fatal %v, want %v, %v: %q", r.skipped, r.fatal,
					tt.skipped, tt.fatal, r.text)
			}
			if tt.err != nil && !(strings.Contains(r.text, "a thing") &&
				strings.Contains(r.text, tt.err.Error())) {
				t.Errorf("message %q names neither the thing nor the error", r.text)
			}
		})
	}
}

func TestCheckLeaks(t *testing.T) {
	r := &recorder{TB: t}
	checkLeaks(r, 0)
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan bool)
	go func() { <-stop }()
	for _, c := range r.cleanups {
		c()
	}
	f.Close()
	close(stop)
	if !strings.Contains(r.text, os.DevNull) || !strings.Contains(r.text, "TestCheckLeaks") {
		t.Errorf("leaked file and goroutine not both reported: %q", r.text)
	}
}

func TestNoLeaks(t *testing.T) {
	CheckLeaks(t)
	ns := NewNS(t)
	Veth(t, ns, "a", NewNS(t), "b", 1)
	done := make(chan bool)
	go func() { close(done) }()
	<-done
}

func TestNS(t *testing.T) {
	CheckLeaks(t)
	home := inode(t)
	ns, other := NewNS(t), NewNS(t)
	inside := make(chan bool)
	// t.FailNow in f ends the goroutine, and Do has to restore the thread's namespace all the same.
	go func() {
		defer close(inside)
		ns.Do(func() {
			if inode(t) == home {
				t.Error("Do runs f in the namespace of the process")
			}
			here := inode(t)
			other.Do(func() {
				if inode(t) == here {
					t.Error("the nested Do runs f in the outer namespace")
				}
			})
			if inode(t) != here {
				t.Error("the nested Do does not return to the outer namespace")
			}
			runtime.Goexit()
		})
	}()
	<-inside
	if inode(t) != home {
		t.Error("Do does not return to the thread's namespace")
	}
}

// inode identifies the namespace of the calling thread.
func inode(t *testing.T) uint64 {
	fd, err := currentNS()
	if err != nil {
		t.Error(err)
		return 0
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		t.Error(err)
	}
	return st.Ino
}

func TestVeth(t *testing.T) {
	CheckLeaks(t)
	a, b := NewNS(t), NewNS(t)
	ia, ib := Veth(t, a, "left", b, "right", 4)
	find := func(ns *NS, name string, index int) {
		ns.Do(func() {
			i, err := net.InterfaceByName(name)
			if err != nil || i.Index != index || i.Flags&net.FlagRunning == 0 {
				t.Errorf("%s: %+v, %v, want index %d, running", name, i, err, index)
			}
			l, err := netlink.LinkByName(name)
			if err != nil || l.Attrs().NumRxQueues != 4 || l.Attrs().NumTxQueues != 4 {
				t.Errorf("%s: %+v, %v, want 4 queues", name, l, err)
			}
		})
	}
	find(a, "left", ia)
	find(b, "right", ib)
	b.Do(func() {
		if _, err := net.InterfaceByName("left"); err == nil {
			t.Error("both ends are in the same namespace")
		}
		if addrs, err := net.InterfaceAddrs(); err != nil || hasIPv6(addrs) {
			t.Errorf("addresses %v, %v, want no IPv6", addrs, err)
		}
	})
}

func hasIPv6(addrs []net.Addr) bool {
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.To4() == nil {
			return true
		}
	}
	return false
}
