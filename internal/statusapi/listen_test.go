//go:build linux

package statusapi

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/status"
)

var mine = Access{0o640, os.Getuid(), os.Getgid()}

// abandon makes a socket at which nobody listens, as a killed process leaves it.
func abandon(t *testing.T, path string) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
}

func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// Listen replaces a socket that a killed daemon left, but neither one at which somebody listens nor
// a file.
func TestListen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "below", "sock")
	first, err := Listen(path, mine)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if _, err := Listen(path, mine); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a second one: error %v, want EADDRINUSE", err)
	}
	first.Close()
	abandon(t, path)
	second, err := Listen(path, mine)
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
	first.Close() // closing twice does not remove the second socket's file
	if all := names(t, filepath.Dir(path)); len(all) > 0 {
		t.Errorf("%q are left", all)
	}
	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("precious"), 0o600)
	if l, err := Listen(file, mine); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("in the place of a file: %v, %v", l, err)
	}
	if b, err := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("the file has %q, %v", b, err)
	}
}

// Several sockets of a process stand side by side. Announce removes the sockets of killed
// processes, and nothing else.
func TestAnnounce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "netmap")
	one, err := Announce(dir, "bridge")
	if err != nil {
		t.Fatal(err)
	}
	left := []string{"lb-1.sock", "gen-77.2.sock", "netmap.sock", ".77-1", ".78-1", "other"}
	for _, name := range left {
		abandon(t, filepath.Join(dir, name))
	}
	os.WriteFile(filepath.Join(dir, "gen-78.sock"), nil, 0o600)
	long := time.Now().Add(-time.Hour)
	os.Chtimes(filepath.Join(dir, ".77-1"), long, long)
	two, err := Announce(dir, "bridge")
	if err != nil {
		t.Fatal(err)
	}
	pid := os.Getpid()
	first, second := fmt.Sprintf("bridge-%d.sock", pid), fmt.Sprintf("bridge-%d.2.sock", pid)
	want := []string{".78-1", first, second, "gen-78.sock", "netmap.sock", "other"}
	slices.Sort(want)
	if all := names(t, dir); !slices.Equal(all, want) {
		t.Errorf("%q, want %q", all, want)
	}
	found := Sockets(dir)
	if len(found) != 3 {
		t.Errorf("found %q", found)
	}
	for _, name := range []string{first, second} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
		if !slices.Contains(found, path) {
			t.Errorf("%s is not among %q", path, found)
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	one.Close()
	two.Close()
	if all := names(t, dir); slices.Contains(all, first) || slices.Contains(all, second) {
		t.Errorf("sockets are left after Close: %q", all)
	}
}

// A directory to which another user may write, such as one in /tmp, is neither used for sockets nor
// searched for them.
func TestUntrustedDirectories(t *testing.T) {
	dir := t.TempDir()
	abandon(t, filepath.Join(dir, "netmap.sock"))
	os.Symlink(dir, filepath.Join(t.TempDir(), "link"))
	os.Chmod(dir, 0o777)
	if l, err := Announce(dir, "gen"); !errors.Is(err, syscall.EPERM) {
		t.Errorf("%v, %v; want EPERM", l, err)
	}
	if found := Sockets(dir); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	os.Chmod(dir, 0o755)
	if found := Sockets(dir); len(found) != 1 {
		t.Errorf("found %q", found)
	}
	link := filepath.Join(t.TempDir(), "link")
	os.Symlink(dir, link)
	if l, err := Announce(link, "gen"); !errors.Is(err, syscall.EPERM) {
		t.Errorf("a link: %v, %v; want EPERM", l, err)
	}
	if os.Geteuid() == 0 {
		os.Chown(dir, 65534, 65534)
		if l, err := Announce(dir, "gen"); !errors.Is(err, syscall.EPERM) {
			t.Errorf("somebody else's: %v, %v; want EPERM", l, err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	if _, err := Announce(filepath.Join(file, "netmap"), "gen"); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("below a file: %v", err)
	}
}

// answering is a socket at which answer is called for every connection.
func answering(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { answer(c); c.Close() }()
		}
	}()
	return path
}

// The process that owns the socket may answer anything, or nothing.
func TestAskOtherPrograms(t *testing.T) {
	say := func(s string) func(net.Conn) {
		return func(c net.Conn) {
			c.Read(make([]byte, 4096))
			c.Write([]byte(s))
		}
	}
	silent := func(c net.Conn) {
		c.Read(make([]byte, 4096))
		time.Sleep(time.Second)
	}
	for name, tt := range map[string]struct {
		answer func(net.Conn)
		errno  syscall.Errno
		text   string
	}{
		"closes":       {say(""), syscall.EPROTO, "is this a netmap daemon?"},
		"another tool": {say("220 mail.example ESMTP\r\n"), syscall.EPROTO, "is this a netmap daemon?"},
		"not found":    {say("HTTP/1.0 404 Not Found\r\n\r\n"), syscall.EPROTO, "404 Not Found"},
		"no headers":   {say("HTTP/1.0 200 OK\r\nrubbish\r\n\r\n{}"), syscall.EPROTO, ""},
		"no document":  {say("HTTP/1.0 200 OK\r\n\r\nhello"), syscall.EPROTO, "cannot be read"},
		"half of one":  {say("HTTP/1.0 200 OK\r\n\r\n{\"pid\": 1, "), syscall.EPROTO, "cannot be read"},
		"silent":       {silent, syscall.ETIMEDOUT, "stopped"},
		"slow": {func(c net.Conn) {
			c.Write([]byte("HTTP/1.0 200 OK\r\n\r\n"))
			for range 100 {
				c.Write([]byte(" "))
				time.Sleep(10 * time.Millisecond)
			}
		}, syscall.ETIMEDOUT, "stopped"},
	} {
		ctx, stop := context.WithTimeout(t.Context(), 300*time.Millisecond)
		s, err := status.Ask(ctx, answering(t, tt.answer))
		stop()
		if !errors.Is(err, tt.errno) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: %v, %v; want %v with %q", name, s, err, tt.errno, tt.text)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, stop)
	if _, err := status.Ask(ctx, answering(t, silent)); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	none := filepath.Join(t.TempDir(), "none")
	_, err := status.Ask(t.Context(), none)
	if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "start netmap serve") {
		t.Errorf("%s: %v", none, err)
	}
}
