//go:build linux

package chardev

import (
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// spring is a driver whose files the kernel feeds: nobody calls their wakers unless they are armed.
type spring struct{ files []*fedFile }

type fedFile struct {
	echo
	armed int
}

func (s *spring) Open(_ Caller, wake *Waker) (File, syscall.Errno) {
	f := &fedFile{}
	f.wake = wake
	s.files = append(s.files, f)
	return f, 0
}

func (f *fedFile) Fed(events uint32) bool { return events&unix.POLLIN != 0 }
func (f *fedFile) Arm(uint32)             { f.armed++ }

func newFedBench(t *testing.T) (*bench, *spring) {
	s := &spring{}
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

// All parked polls of fed files are looked at in each round, and nobody has to be woken for that.
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

// Whoever is told "nothing" hears of the next news: however its poll ends.
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

// A poll that does not sleep needs nobody to wake it.
func TestFedFilesAreNotArmedForPollsThatDoNotSleep(t *testing.T) {
	b, s := newFedBench(t)
	p := b.startPoll(b.open(), anna, false)
	b.wantMessages("nothing is there", message{p, 0})
	wantArmed(t, "a poll that does not sleep", s.files[0], 0)
}

// A file to which nothing comes is not looked at for long: its polls are not parked any more.
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
