//go:build linux

package shm

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

func newSparse(t *testing.T, blocks int, huge bool) *Sparse {
	t.Helper()
	s, err := NewSparse("test", blocks*HugePage, huge)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// resident is the number of bytes of memory that the file has.
func resident(t *testing.T, s *Sparse) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(s.FD(), &st); err != nil {
		t.Fatal(err)
	}
	return uint64(st.Blocks) * 512
}

// faults is the number of page faults of this thread.
func faults(t *testing.T) int64 {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		t.Fatal(err)
	}
	return int64(u.Minflt) + int64(u.Majflt)
}

func TestTakeAndGive(t *testing.T) {
	for _, huge := range []bool{false, true} {
		t.Run(fmt.Sprintf("huge=%v", huge), func(t *testing.T) {
			s := newSparse(t, 6, huge)
			other, err := Map(s.FD(), 6*HugePage)
			if err != nil {
				t.Fatal(err)
			}
			defer other.Close()
			check := func(what string, blocks uint64) {
				t.Helper()
				if got := s.Taken(); got != blocks*HugePage || resident(t, s) != got {
					t.Errorf("%s: %d bytes taken, the file has %d; want %d blocks", what, got, resident(t, s),
						blocks)
				}
			}
			check("fresh", 0)
			if err := s.Take(HugePage+5, 2*HugePage+1); err != nil { // parts of blocks 1 and 2
				t.Fatal(err)
			}
			check("two", 2)
			if huge && !s.Huge() {
				t.Skip("the kernel gives no huge pages")
			}
			copy(s.Bytes()[2*HugePage:], "mine")
			copy(other.Bytes()[HugePage:], "theirs")
			if err := s.Take(0, 4*HugePage); err != nil { // including blocks with memory
				t.Fatal(err)
			}
			check("four", 4)
			if !bytes.HasPrefix(other.Bytes()[2*HugePage:], []byte("mine")) ||
				!bytes.HasPrefix(s.Bytes()[HugePage:], []byte("theirs")) {
				t.Error("the two mappings do not show the same memory")
			}
			if err := s.Give(0, 6*HugePage, func(b int) bool { return b == 2 }); err != nil {
				t.Fatal(err)
			}
			check("one", 1)
			if !bytes.HasPrefix(s.Bytes()[2*HugePage:], []byte("mine")) {
				t.Error("the content of the block that was kept has changed")
			}
			if err := s.Take(HugePage, 2*HugePage); err != nil {
				t.Fatal(err)
			}
			if s.Bytes()[HugePage] != 0 {
				t.Error("a block shows old data after Give and Take")
			}
		})
	}
}

// Blocks without memory cost no memory when they are used, and what is written there reaches
// nobody.
func TestStandIn(t *testing.T) {
	s := newSparse(t, 8, true)
	if err := s.Take(3*HugePage, 4*HugePage); err != nil {
		t.Fatal(err)
	}
	other, err := Map(s.FD(), 8*HugePage)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for i := 0; i < len(s.Bytes()); i += 1000 {
		s.Bytes()[i] = 7
	}
	if got := resident(t, s); got != HugePage {
		t.Errorf("the file has %d bytes of memory after use of blocks without memory", got)
	}
	if other.Bytes()[5*HugePage] != 0 {
		t.Error("what was written to the dummy block is in the file")
	}
}

// Using memory that was taken causes no page faults.
func TestTakenCausesNoFaults(t *testing.T) {
	for _, huge := range []bool{false, true} {
		s := newSparse(t, 8, huge)
		if err := s.Take(0, 8*HugePage); err != nil {
			t.Fatal(err)
		}
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		before := faults(t)
		for i := 0; i < len(s.Bytes()); i += 4096 {
			s.Bytes()[i] = 1
		}
		if n := faults(t) - before; n > 20 { // some are the runtime's
			t.Errorf("huge=%v: %d page faults", huge, n)
		}
	}
}

// limited makes files that have room for only so many blocks.
func limited(t *testing.T, blocks int) {
	t.Helper()
	dir := t.TempDir()
	testutil.Require(t, "a mount", unix.Mount("tmpfs", dir, "tmpfs", 0,
		fmt.Sprintf("size=%d", blocks*HugePage)))
	was := newFile
	newFile = func(string) (int, error) {
		return unix.Open(filepath.Join(dir, "memory"), unix.O_RDWR|unix.O_CREAT|unix.O_CLOEXEC, 0o600)
	}
	t.Cleanup(func() {
		newFile = was
		unix.Unmount(dir, unix.MNT_DETACH)
	})
}

func TestNoMemoryLeft(t *testing.T) {
	for _, huge := range []bool{false, true} {
		t.Run(fmt.Sprintf("huge=%v", huge), func(t *testing.T) {
			limited(t, 4)
			s := newSparse(t, 8, huge)
			if err := s.Take(2*HugePage, 3*HugePage); err != nil {
				t.Fatal(err)
			}
			copy(s.Bytes()[2*HugePage:], "stays")
			err := s.Take(0, 8*HugePage)
			if !errors.Is(err, unix.ENOMEM) || !strings.Contains(err.Error(), "14 MiB") {
				t.Errorf("take more than there is: %v", err)
			}
			if s.Taken() != HugePage || resident(t, s) != HugePage ||
				!bytes.HasPrefix(s.Bytes()[2*HugePage:], []byte("stays")) {
				t.Errorf("%d bytes taken, %d there", s.Taken(), resident(t, s))
			}
			for i := 0; i < len(s.Bytes()); i += 4096 {
				s.Bytes()[i] = 1 // no SIGBUS
			}
			if err := s.Take(0, 4*HugePage); err != nil {
				t.Errorf("take what there is: %v", err)
			}
		})
	}
}

func TestTouchOld(t *testing.T) {
	limited(t, 2)
	s := newSparse(t, 4, false)
	b, err := reserve(2 * HugePage)
	if err != nil {
		t.Fatal(err)
	}
	defer unmap(b)
	if err := mapOver(b, s.FD(), 0); err != nil {
		t.Fatal(err)
	}
	if err := touchOld(b[:HugePage], s.FD(), 0); err != nil || resident(t, s) != HugePage {
		t.Errorf("%v, %d bytes", err, resident(t, s))
	}
	if err := touchOld(b, s.FD(), HugePage); err == nil {
		t.Error("more memory was allocated than there is")
	}
}
