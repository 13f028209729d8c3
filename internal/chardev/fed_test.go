//go:build linux

package chardev

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// feeder is a driver whose files get news from the kernel: their wakers are called only if they are
// armed.
type feeder struct{ files []*fedFile }

type fedFile struct {
	echo
	armed int
}

func (s *feeder) Open(_ Caller, wake *Waker) (File, syscall.Errno) {
	f := &fedFile{}
	f.wake = wake
	s.files = append(s.files, f)
	return f, 0
}

func (f *fedFile) Fed(events uint32) bool { return events&unix.POLLIN != 0 }
func (f *fedFile) Arm(uint32)             { f.armed++ }

func newFedBench(t *testing.T) (*bench, *feeder) {
	s := &feeder{}
	b := newBench(t, s)
	b.worker.d.cfg.Spin = time.Hour
	return b, s
}

func wantArmed(t *testing.T, what string, f *fedFile, want int) {
	t.Helper()
	if f.armed != want {
		t.Errorf("%s: armed %d times, want %d", what, f.armed, want)
	}
}

// TestFedFilesAreLookedAt tests that each round polls all parked fed files without a wake-up.
func TestFedFilesAreLookedAt(t *testing.T) {
	b, s := newFedBench(t)
	first := b.startPoll(b.open(), anna, true)
	second := b.startPoll(b.open(), bert, true)
	b.now()
	b.wantMessages("nothing is there")
	s.files[1].ready.Store(unix.POLLIN)
	b.now()
	b.wantMessages("something came to the second", message{second, unix.POLLIN})
	s.files[0].ready.Store(unix.POLLIN)
	b.now()
	b.wantMessages("something came to the first", message{first, unix.POLLIN})
	for _, f := range s.files {
		wantArmed(t, "found while parked", f, 0)
	}
}

// TestFedFilesAreArmedBeforeTheirClientsSleep tests that a file is armed before its poll is
// answered with nothing, however the poll ends.
func TestFedFilesAreArmedBeforeTheirClientsSleep(t *testing.T) {
	for _, c := range []struct {
		what string
		spin time.Duration
		end  func(b *bench, unique uint64)
	}{
		{"late", time.Hour, func(b *bench, _ uint64) { b.late() }},
		{"a signal", time.Hour, func(b *bench, unique uint64) {
			b.worker.serve(b.request(opInterrupt, le.AppendUint64(nil, unique)))
		}},
		{"never parked", 0, func(*bench, uint64) {}},
	} {
		t.Run(c.what, func(t *testing.T) {
			b, s := newFedBench(t)
			b.worker.d.cfg.Spin = c.spin
			p := b.startPoll(b.open(), anna, true)
			c.end(b, p)
			b.wantMessages(c.what, message{p, 0})
			wantArmed(t, c.what, s.files[0], 1)
			s.files[0].wake.Wake()
			b.wantMessages("something came", notification)
		})
	}
}

// TestFedFilesAreNotArmedForPollsThatDoNotSleep tests that a poll that does not sleep arms nothing.
func TestFedFilesAreNotArmedForPollsThatDoNotSleep(t *testing.T) {
	b, s := newFedBench(t)
	p := b.startPoll(b.open(), anna, false)
	b.wantMessages("nothing is there", message{p, 0})
	wantArmed(t, "a poll that does not sleep", s.files[0], 0)
}

// TestFedFilesThatStayEmptyAreNotParked tests that polls of a file without news soon are not parked
// any more.
func TestFedFilesThatStayEmptyAreNotParked(t *testing.T) {
	b, s := newFedBench(t)
	handle := b.open()
	for i := range mostChances {
		p := b.startPoll(handle, anna, true)
		b.now()
		b.late()
		b.wantMessages("late", message{p, 0})
		wantArmed(t, "late", s.files[0], i+1)
	}
	p := b.startPoll(handle, anna, true)
	b.wantMessages("parking does not pay", message{p, 0})
	wantArmed(t, "not parked", s.files[0], mostChances+1)
}
