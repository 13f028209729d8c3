//go:build linux

package wake

import (
	"encoding/binary"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func newRinger(t testing.TB) *Ringer {
	t.Helper()
	testutil.CheckLeaks(t)
	r, err := NewRinger()
	testutil.Require(t, "asynchronous I/O", err)
	t.Cleanup(r.Close)
	return r
}

// newEventfd makes an eventfd whose read and write may block.
func newEventfd(t testing.TB, counter uint64) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if counter > 0 {
		unix.Write(fd, binary.LittleEndian.AppendUint64(nil, counter))
	}
	return fd
}

func counter(t testing.TB, fd int) uint64 {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
	if n, _ := unix.Poll(fds, 0); n == 0 {
		return 0
	}
	var b [8]byte
	if _, err := unix.Read(fd, b[:]); err != nil {
		t.Fatal(err)
	}
	return binary.LittleEndian.Uint64(b[:])
}

func TestRing(t *testing.T) {
	r := newRinger(t)
	a, b := newEventfd(t, 0), newEventfd(t, 5)
	for range 1000 { // more than fit
		if e := r.Ring(a); e != 0 {
			t.Fatal(e)
		}
	}
	r.Ring(b)
	if n, m := counter(t, a), counter(t, b); n != 1000 || m != 6 {
		t.Errorf("counters are %d and %d, want 1000 and 6", n, m)
	}
}

// TestRingNeverWaits tests that a full counter, for which write(2) would block, stays full.
func TestRingNeverWaits(t *testing.T) {
	r := newRinger(t)
	fd := newEventfd(t, 1<<64-2)
	for range 3 {
		if e := r.Ring(fd); e != 0 {
			t.Fatal(e)
		}
	}
	if n := counter(t, fd); n != 1<<64-1 {
		t.Errorf("counter is %#x", n)
	}
}

func TestOthersAreRefused(t *testing.T) {
	r := newRinger(t)
	file, err := os.Create(t.TempDir() + "/anon_inode:[eventfd]")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if e := r.Ring(int(file.Fd())); e != unix.EINVAL {
		t.Errorf("a file: %v, want EINVAL", e)
	}
	if e := r.Ring(1 << 20); e != unix.EBADF {
		t.Errorf("no descriptor: %v, want EBADF", e)
	}
	if IsEventfd(int(file.Fd())) || IsEventfd(1<<20) || !IsEventfd(newEventfd(t, 0)) {
		t.Error("IsEventfd does not recognise an eventfd, or accepts a file")
	}
}

func TestRingDoesNotAllocate(t *testing.T) {
	r := newRinger(t)
	fd := newEventfd(t, 0)
	if n := testing.AllocsPerRun(200, func() { r.Ring(fd) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRing(b *testing.B) {
	r := newRinger(b)
	fd := newEventfd(b, 0)
	b.ReportAllocs()
	for b.Loop() {
		r.Ring(fd)
	}
}
