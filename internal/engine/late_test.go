package engine_test

import (
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// holdSockets makes the kernel keep the AF_XDP sockets of this process that are open now, until
// release is called: it frees a queue with the last descriptor of its socket.
func holdSockets(t *testing.T) (release func()) {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var held []int
	for _, f := range list {
		fd, _ := strconv.Atoi(f.Name())
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil || domain != unix.AF_XDP {
			continue
		}
		if fd, err = unix.Dup(fd); err != nil {
			t.Fatal(err)
		}
		held = append(held, fd)
	}
	if len(held) == 0 {
		t.Fatal("no AF_XDP socket is open")
	}
	return func() {
		for _, fd := range held {
			unix.Close(fd)
		}
	}
}

// If the kernel frees a queue late, only the program that opens the queue waits.
func TestQueueThatIsFreedLate(t *testing.T) {
	o := newOffice(t, 1, 1)
	for name, again := range map[string]func() error{
		"open": func() error {
			b, err := o.open("v0")
			if err == nil {
				b.Close()
			}
			return err
		},
		"attach": func() error {
			_, err := o.attach("vale0:v0")
			if err == nil {
				_, err = o.e.Detach(engine.Here, "vale0:v0")
			}
			return err
		},
	} {
		b, err := o.open("v0")
		testutil.Require(t, "AF_XDP", err)
		release := holdSockets(t)
		b.Close()
		opened := make(chan error, 1)
		go func() { opened <- again() }()
		time.Sleep(100 * time.Millisecond) // it has begun to wait
		var other *engine.Binding
		if other, err = o.open("vale1:a"); err != nil {
			t.Fatal(err)
		}
		other.Close()
		select {
		case err := <-opened:
			t.Errorf("%s: %v, before the queue was free", name, err)
			release()
			continue
		default:
		}
		release()
		if err := <-opened; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
