//go:build linux

package daemon

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// TestFetch fetches pieces of all kinds from three pages, of which the middle one cannot be read.
// They are more than one system call copies.
func TestFetch(t *testing.T) {
	m, err := unix.Mmap(-1, 0, 3*4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(m)
	for i := range m {
		m[i] = byte(i * 7)
	}
	if err := unix.Mprotect(m[4096:8192], unix.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	base := addressOf(m)
	var pieces []kring.Piece
	var want []bool
	for i := range 300 {
		at, n := (i*1237)%(3*4096), i%129
		n = min(n, len(m)-at)
		pieces = append(pieces, kring.Piece{Addr: base + uint64(at), To: make([]byte, n)})
		want = append(want, n > 0 && at+n > 4096 && at < 8192)
	}
	p := &process{pid: os.Getpid()}
	testutil.Require(t, "process_vm_readv", p.Read(base, make([]byte, 1)))
	p.Fetch(pieces)
	for i, got := range pieces {
		if got.Bad != want[i] {
			t.Errorf("piece %d of %d bytes at %#x: bad %v, want %v", i, len(got.To),
				got.Addr-base, got.Bad, want[i])
		}
		if at := got.Addr - base; !got.Bad && !bytes.Equal(got.To, m[at:at+uint64(len(got.To))]) {
			t.Errorf("piece %d is wrong", i)
		}
	}
	gone := []kring.Piece{{Addr: base, To: make([]byte, 1)}}
	if (&process{}).Fetch(gone); !gone[0].Bad {
		t.Error("read the memory of no process")
	}
}
