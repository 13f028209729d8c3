//go:build linux

package chardev

import (
	"sync"
	"sync/atomic"
	"time"
)

// lot is where polls wait that found nothing.
//
// A client that is told "nothing yet" sleeps, is woken by a notification, and polls again: two switches between
// processes more than an answer costs. So while a worker looks for requests anyway, it keeps such a poll unanswered for
// as long as it looks. What the client waits for often comes from the very next request.
type lot struct {
	mu     sync.Mutex
	parked []*file      // in the order in which they came
	count  atomic.Int32 // how many there are: those who look for requests look here again and again
	ripe   atomic.Int32 // how many of them have been woken
}

// parking is a poll that waits in the lot; zero when there is none.
type parking struct {
	unique uint64
	caller Caller
	events uint32
	since  time.Time
	ripe   bool // woken
	alone  bool // no other thread waits for a wake-up of the file
}

// How often a file's polls were worth parking lately.
const (
	mostLuck = 8
	retry    = 32 // polls after which parking is tried again
)

// worthParking says whether waiting has paid for this file, or may again. f.mu is held.
func (f *file) worthParking() bool {
	if f.luck > 0 {
		return true
	}
	f.skipped++
	if f.skipped < retry {
		return false
	}
	f.skipped, f.luck = 0, 1
	return true
}

// park puts the poll in the lot, unless the file has been woken since it was armed or has one there.
func (d *Device) park(f *file, p parking) bool {
	p.since = time.Now()
	d.lot.mu.Lock()
	defer d.lot.mu.Unlock()
	if !f.waker.armed.Load() || f.parking.unique != 0 {
		return false
	}
	f.parking = p
	d.lot.parked = append(d.lot.parked, f)
	d.lot.count.Add(1)
	return true
}

// wakeParked marks a parked poll to be looked at again, and says whether that is all who wait for the file. The worker
// that looks after the lot is awake as long as there are any.
func (d *Device) wakeParked(f *file) bool {
	d.lot.mu.Lock()
	defer d.lot.mu.Unlock()
	if f.parking.unique == 0 {
		return false
	}
	if !f.parking.ripe {
		f.parking.ripe = true
		d.lot.ripe.Add(1)
	}
	return f.parking.alone
}

// tend answers parked polls that have been woken and have something, and those that have waited long enough. Now is zero
// when only the former matter.
func (w *worker) tend(now time.Time) {
	d := w.d
	for d.lot.ripe.Load() > 0 || !now.IsZero() && d.parkedAny() {
		f, p := d.due(now)
		if f == nil {
			return
		}
		ready, again := w.look(f, p, now.IsZero())
		if again {
			continue
		}
		n := answerPoll(w.out[outHeaderSize:], ready)
		d.reply(header{unique: p.unique}, w.out, n, 0)
	}
}

// look polls for a client whose poll is out of the lot. A poll that was woken in vain goes back if it may.
func (w *worker) look(f *file, p parking, mayWait bool) (ready uint32, again bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !p.ripe {
		f.luck--
		return 0, false
	}
	f.luck = mostLuck
	p.ripe, p.alone = false, w.d.arm(f, p.caller.PID)
	if ready = f.Poll(p.caller, p.events); ready == 0 {
		return 0, mayWait && w.d.park(f, p)
	}
	return ready, false
}

// due takes a poll out of the lot that has been woken, or one that came more than the time to spin ago.
func (d *Device) due(now time.Time) (*file, parking) {
	d.lot.mu.Lock()
	defer d.lot.mu.Unlock()
	for i, f := range d.lot.parked {
		p := f.parking
		if !p.ripe && (now.IsZero() || now.Sub(p.since) < d.cfg.Spin) {
			continue
		}
		if p.ripe {
			d.lot.ripe.Add(-1)
		}
		d.lot.parked = append(d.lot.parked[:i], d.lot.parked[i+1:]...)
		d.lot.count.Add(-1)
		f.parking = parking{}
		return f, p
	}
	return nil, parking{}
}

// parkedAny says whether the lot needs to be looked after.
func (d *Device) parkedAny() bool { return d.lot.count.Load() > 0 }
