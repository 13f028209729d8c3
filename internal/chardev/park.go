//go:build linux

package chardev

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// parkedPolls are polls that found nothing and have no answer yet.
//
// A client that is told "nothing yet" sleeps, is woken by a notification, and polls again. This
// costs two switches between processes more than an answer. So while a worker looks for requests
// anyway, it leaves such a poll unanswered. What the client waits for often comes from the very
// next request.
//
// A parked poll ends when it is woken and finds something, after a limited time, by a signal to its
// client, and when the device is closed. None of these waits for idle workers, because the client
// cannot be killed before.
type parkedPolls struct {
	mu     sync.Mutex
	files  []*file      // with parked polls, in the order of the polls
	oldest atomic.Int64 // when the first poll came, 0 if there is none: read after every request
	woken  atomic.Int32 // how many of the polls have been woken
	fed    atomic.Int32 // how many of the polls are fed
}

// parking is a parked poll. It is zero if there is none.
type parking struct {
	unique uint64
	caller Caller
	events uint32
	since  int64 // by clock
	woken  bool
	alone  bool // no other thread waits for a wake-up of the file
	fed    bool // the kernel may bring the news: it is polled, not woken
}

const (
	// busyLimit is how long a poll stays parked while workers have other requests to answer. That
	// costs nothing, but delays the client's own timeout by as much.
	busyLimit = time.Millisecond
	// mostChances is how many polls of a file may be parked in vain before parking is suspended.
	mostChances = 8
	// retry is the number of polls after which parking is tried again.
	retry = 32
)

// epoch is the start of clock.
var epoch = time.Now()

// clock returns the time in nanoseconds. It is never 0.
func clock() int64 { return int64(time.Since(epoch)) + 1 }

// worthParking reports whether parking has paid for this file lately, or is to be tried again. f.mu
// is held.
func (f *file) worthParking() bool {
	if f.chances > 0 {
		return true
	}
	f.skipped++
	if f.skipped < retry {
		return false
	}
	f.skipped, f.chances = 0, 1
	return true
}

// park leaves a poll unanswered. It returns false if the file has been woken since it was armed,
// has a parked poll, or if a signal for the client has come.
func (d *Device) park(f *file, p parking) bool {
	s := &d.parked
	s.mu.Lock()
	defer s.mu.Unlock()
	if !f.waker.armed.Load() || f.parking.unique != 0 || d.interrupts.came(p.unique) {
		return false
	}
	f.parking = p
	if p.fed {
		s.fed.Add(1)
	}
	i := len(s.files)
	// A poll that was woken in vain returns to its place.
	for i > 0 && s.files[i-1].parking.since > p.since {
		i--
	}
	s.files = slices.Insert(s.files, i, f)
	s.oldest.Store(s.files[0].parking.since)
	return true
}

// take removes a parked poll, which the caller has to answer. s.mu is held.
func (s *parkedPolls) take(i int) (*file, parking) {
	f := s.files[i]
	p := f.parking
	if p.woken {
		s.woken.Add(-1)
	}
	if p.fed {
		s.fed.Add(-1)
	}
	f.parking = parking{}
	if s.files = slices.Delete(s.files, i, i+1); len(s.files) > 0 {
		s.oldest.Store(s.files[0].parking.since)
	} else {
		s.oldest.Store(0)
	}
	return f, p
}

// any reports whether there are parked polls.
func (s *parkedPolls) any() bool { return s.oldest.Load() != 0 }

// late reports whether the oldest poll came before a time.
func (s *parkedPolls) late(before int64) bool {
	t := s.oldest.Load()
	return t != 0 && t <= before
}

// number returns how many polls are parked.
func (s *parkedPolls) number() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.files)
}

// due removes and returns a poll that came before a time, or else one that has been woken.
func (s *parkedPolls) due(before int64) (*file, parking) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.late(before) {
		return s.take(0)
	}
	if s.woken.Load() > 0 {
		return s.take(slices.IndexFunc(s.files, func(f *file) bool { return f.parking.woken }))
	}
	return nil, parking{}
}

// wakeParked marks a parked poll to be looked at again, and reports whether no other client waits
// for the file. While polls are parked, a worker is awake.
func (d *Device) wakeParked(f *file) bool {
	s := &d.parked
	s.mu.Lock()
	defer s.mu.Unlock()
	if f.parking.unique == 0 {
		return false
	}
	s.mark(f)
	return f.parking.alone
}

// mark marks a parked poll to be looked at again. s.mu is held.
func (s *parkedPolls) mark(f *file) {
	if !f.parking.woken {
		f.parking.woken = true
		s.woken.Add(1)
	}
}

// markFed marks all parked polls for which no waker is called.
func (s *parkedPolls) markFed() {
	if s.fed.Load() == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.files {
		if f.parking.fed {
			s.mark(f)
		}
	}
}

// answerParked answers the parked polls that have been woken and find something, and those that
// came before a time. It looks at each about once: a poll that is woken in vain again and again
// must not keep the worker busy.
func (w *worker) answerParked(before int64) {
	s := &w.d.parked
	s.markFed()
	if s.woken.Load() == 0 && !s.late(before) {
		return
	}
	for range s.number() {
		f, p := s.due(before)
		if f == nil {
			return
		}
		ready, again := w.look(f, p, p.since > before)
		if again {
			continue
		}
		n := answerPoll(w.out[outHeaderSize:], ready)
		w.d.reply(header{unique: p.unique}, w.out, n, 0)
	}
}

// look polls for a client whose poll is not parked any more. A poll that was woken in vain is
// parked again if mayWait permits.
func (w *worker) look(f *file, p parking, mayWait bool) (ready uint32, again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	paid := p.woken && !p.fed
	if p.woken {
		p.woken, p.alone = false, w.d.arm(f, p.caller.PID)
		if ready = f.Poll(p.caller, p.events); ready == 0 && mayWait && w.d.park(f, p) {
			return 0, true
		}
	}
	if paid || ready != 0 {
		f.chances = mostChances
	} else {
		f.chances--
	}
	if ready == 0 {
		f.arm(p)
	}
	return ready, false
}

// interruptParked answers a poll that a signal interrupts. It returns no events and no errno: the
// kernel knows of the signal, and would turn an errno into POLLERR.
func (d *Device) interruptParked(unique uint64) {
	s := &d.parked
	s.mu.Lock()
	i := slices.IndexFunc(s.files, func(f *file) bool { return f.parking.unique == unique })
	if i < 0 {
		s.mu.Unlock()
		return
	}
	f, p := s.take(i)
	s.mu.Unlock()
	f.arm(p)
	d.endPoll(unique, 0)
}

// endParked answers all parked polls of a device that is being closed.
func (d *Device) endParked() {
	for {
		f, p := d.parked.due(clock())
		if f == nil {
			return
		}
		d.endPoll(p.unique, unix.POLLERR)
	}
}

func (d *Device) endPoll(unique uint64, ready uint32) {
	out := make([]byte, outHeaderSize+8)
	d.reply(header{unique: unique}, out, answerPoll(out[outHeaderSize:], ready), 0)
}
