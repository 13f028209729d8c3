package capfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A live file is refused at its first packet of another link type, because Ethernet frames might
// never follow. It can be opened before it has any packet.
func TestLive(t *testing.T) {
	open := func(parts ...[]byte) error {
		from, to := io.Pipe()
		defer to.Close()
		go to.Write(join(parts...))
		done := make(chan error, 1)
		go func() {
			_, err := newReader(from, true)
			done <- err
		}()
		select {
		case err := <-done:
			return err
		case <-time.After(10 * time.Second):
			t.Fatal("it waits for more")
			return nil
		}
	}
	raw := join(section(little), describe(little, 101, 0))
	if err := open(raw, enhanced(little, 0, 5, 20, 20, payload(20))); err == nil ||
		!strings.Contains(err.Error(), "Raw") {
		t.Errorf("other packets: %v", err)
	}
	for name, parts := range map[string][]byte{"pcap": usual(), "pcapng": start(big),
		"two interfaces": join(raw, describe(little, 1, 0))} {
		if err := open(parts); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Errors of the system keep their errno, and name the file.
func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, syscall.EISDIR) || !strings.Contains(err.Error(), dir) {
		t.Errorf("a directory: %v", err)
	}
	name := filepath.Join(dir, "empty")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(name); err == nil || err.Error() != "read "+name+": the file is empty" {
		t.Errorf("an empty file: %v", err)
	}
	if _, err := Open("/"); err == nil || err.Error() != "read /: is a directory" {
		t.Errorf("a directory: %v", err)
	}
}

// Exactly the bytes in memory can be read without waiting.
func TestBuffered(t *testing.T) {
	r, err := NewReader(strings.NewReader(string(usual(plain(60), plain(61)))))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{16 + 60 + 16 + 61, 16 + 61, 0} {
		if got := r.Buffered(); got != want {
			t.Errorf("%d bytes, want %d", got, want)
		}
		r.Next()
	}
}

// Reading a packet allocates nothing.
func TestReadingAllocatesNothing(t *testing.T) {
	for _, f := range []Format{Pcapng, Pcap} {
		b := f.AppendHeader(nil, Interface{Name: "x", Program: "test", Snap: 1000})
		for range 200 {
			b = f.AppendRecord(b, 1, payload(60), 60)
		}
		r, err := NewReader(strings.NewReader(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(100, func() {
			if _, err := r.Next(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("format %d: %v allocations a packet", f, n)
		}
	}
}
