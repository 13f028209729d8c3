package helper

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/latency"
)

// baton is a word in memory that two processes share. A process that has passed the baton sleeps
// until the other passes it back. This measures wake-ups without any data.
type baton struct {
	word *atomic.Uint32
	mine uint32 // the word's value while it is this process's turn
}

// The values of a baton's word.
const (
	sendersTurn   = 0
	receiversTurn = 1
)

// Linux's operations on a futex.
const (
	futexWait = 0
	futexWake = 1
)

// newBaton maps the word at the start of a file, and binds the thread to the core; a negative core
// binds it to none.
func newBaton(path string, core int, mine uint32) (*baton, error) {
	runtime.LockOSThread()
	if core >= 0 {
		if err := stayOn(core); err != nil {
			return nil, err
		}
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if err := f.Truncate(int64(os.Getpagesize())); err != nil {
		return nil, err
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &baton{(*atomic.Uint32)(unsafe.Pointer(&mem[0])), mine}, nil
}

// pass gives the baton to the other process.
func (b *baton) pass() {
	b.word.Store(b.other())
	unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(b.word)), futexWake, 1, 0, 0, 0)
}

// await sleeps until the baton is back.
func (b *baton) await() {
	for b.word.Load() != b.mine {
		unix.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(b.word)), futexWait, uintptr(b.other()),
			0, 0, 0)
	}
}

func (b *baton) other() uint32 { return sendersTurn + receiversTurn - b.mine }

// withBaton opens the baton in the file args[0], on core args[1], and calls f with it. It is an
// error if there are not want arguments.
func withBaton(args []string, want int, mine uint32, f func(*baton) error) error {
	if len(args) != want {
		return fmt.Errorf("want %d arguments, not %q", want, args)
	}
	b, err := newBaton(args[0], number(args[1]), mine)
	if err != nil {
		return err
	}
	return f(b)
}

// wakeSend wakes the receiver again and again.
func wakeSend(b *baton) error {
	for {
		b.await()
		b.pass()
	}
}

// wakeReceive counts a batch of frames for each wake-up.
func wakeReceive(b *baton, batch int) error {
	var counter atomic.Uint64
	announce(&counter)
	for {
		b.await()
		counter.Add(uint64(batch))
		b.pass()
	}
}

// wakePing measures the time from passing the baton until it is back.
func wakePing(b *baton, length time.Duration) error {
	l := latency.New()
	for i, begin := 0, time.Now(); i <= warmPings || time.Since(begin) < length; i++ {
		at := time.Now()
		b.pass()
		b.await()
		if i >= warmPings {
			l.Add(time.Since(at), 1)
		}
	}
	d, _ := l.Total()
	return printPing(d)
}
