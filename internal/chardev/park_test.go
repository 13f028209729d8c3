//go:build linux

package chardev

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Numbers of the threads that are clients in these tests.
const (
	anna = 101
	bert = 102
)

// message is what the worker wrote: an answer to a request, or a notification.
type message struct {
	unique uint64 // 0 for a notification
	ready  uint32 // events in the answer
}

var notification = message{}

// startPoll sends a thread's poll for POLLIN and returns the request's number. sleeps is whether
// the thread will sleep.
func (b *bench) startPoll(handle uint64, thread int, sleeps bool) uint64 {
	body := make([]byte, 24)
	le.PutUint64(body, handle)
	le.PutUint64(body[8:], 7) // the kernel's handle
	if sleeps {
		le.PutUint32(body[16:], pollWantsNotify)
	}
	le.PutUint32(body[20:], unix.POLLIN)
	r := b.request(opPoll, body)
	le.PutUint32(r[32:], uint32(thread))
	b.worker.serve(r)
	return b.unique
}

// wantMessages fails if the worker wrote anything else since the last call.
func (b *bench) wantMessages(what string, want ...message) {
	b.t.Helper()
	var got []message
	for _, a := range b.answers() {
		m := message{unique: le.Uint64(a[8:])}
		if len(a) == outHeaderSize+8 {
			m.ready = le.Uint32(a[outHeaderSize:])
		}
		if m.unique == 0 {
			if code, h := le.Uint32(a[4:]), le.Uint64(a[16:]); code != notifyPoll || h != 7 {
				b.t.Errorf("%s: notification %d for handle %d", what, code, h)
			}
			m = notification
		}
		got = append(got, m)
	}
	if !slices.Equal(got, want) {
		b.t.Fatalf("%s: messages %v, want %v", what, got, want)
	}
}

func newParkBench(t *testing.T) (*bench, *echo, uint64) {
	driver := &echo{}
	b := newBench(t, driver)
	b.worker.d.cfg.Spin = time.Hour
	return b, driver, b.open()
}

// now does what a worker does between two requests. late does what it does when every parked poll
// has waited long enough.
func (b *bench) now()  { b.worker.between() }
func (b *bench) late() { b.worker.answerParked(clock()) }

func TestParkedPollIsAnsweredWhenWoken(t *testing.T) {
	b, driver, handle := newParkBench(t)
	p := b.startPoll(handle, anna, true)
	b.now()
	b.wantMessages("nothing is there")
	driver.ready.Store(unix.POLLIN)
	driver.wake.Wake()
	b.wantMessages("woken, and the worker has not looked")
	b.now()
	b.wantMessages("looked", message{p, unix.POLLIN})
}

func TestParkedPollIsAnsweredWhenItIsLate(t *testing.T) {
	b, driver, handle := newParkBench(t)
	p := b.startPoll(handle, anna, true)
	b.late()
	b.wantMessages("late", message{p, 0})
	driver.wake.Wake()
	b.wantMessages("woken when it sleeps in the kernel", notification)
	driver.wake.Wake()
	b.wantMessages("woken again")
}

// TestParkedPollIsLateBetweenRequests tests that a worker that never lacks requests answers parked
// polls all the same, also polls that are woken in vain again and again.
func TestParkedPollIsLateBetweenRequests(t *testing.T) {
	for _, wakes := range []bool{false, true} {
		b, driver, handle := newParkBench(t)
		b.worker.d.cfg.Spin = time.Microsecond
		p := b.startPoll(handle, anna, true)
		for end := time.Now().Add(10 * time.Second); b.worker.d.parked.any(); {
			if time.Now().After(end) {
				t.Fatal("the poll is not answered")
			}
			if wakes {
				driver.wake.Wake()
			}
			b.now()
		}
		b.wantMessages("late", message{p, 0})
	}
}

func TestParkedPollIsInterrupted(t *testing.T) {
	signal := func(b *bench, unique uint64) {
		b.worker.serve(b.request(opInterrupt, le.AppendUint64(nil, unique)))
	}
	t.Run("parked", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		signal(b, 4711) // to another client
		p := b.startPoll(handle, anna, true)
		b.wantMessages("nothing is there")
		signal(b, p)
		b.wantMessages("a signal", message{p, 0})
		signal(b, p)
		driver.ready.Store(unix.POLLIN)
		q := b.startPoll(handle, anna, true)
		b.wantMessages("the next poll", message{q, unix.POLLIN})
	})
	t.Run("woken", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		p := b.startPoll(handle, anna, true)
		driver.wake.Wake()
		signal(b, p)
		b.wantMessages("a signal", message{p, 0})
		b.now()
		q := b.startPoll(handle, anna, true)
		driver.ready.Store(unix.POLLIN)
		driver.wake.Wake()
		b.now()
		b.wantMessages("the next poll", message{q, unix.POLLIN})
	})
	t.Run("about to be parked", func(t *testing.T) {
		b, _, handle := newParkBench(t)
		signal(b, b.unique+4) // to the poll below: another worker reads it first
		p := b.startPoll(handle, anna, true)
		b.wantMessages("a signal", message{p, 0})
	})
	t.Run("being looked at", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		p := b.startPoll(handle, anna, true)
		driver.wake.Wake()
		f, parked := b.worker.d.parked.due(0)
		signal(b, p)
		if ready, again := b.worker.look(f, parked, true); ready != 0 || again {
			t.Errorf("%#x, %v", ready, again)
		}
	})
}

// TestParkedPollsInOrder tests that parked polls are late in the order in which they came, also
// after one was woken in vain.
func TestParkedPollsInOrder(t *testing.T) {
	b, _, handle := newParkBench(t)
	handles := []uint64{handle, b.open(), b.open()}
	var polls []message
	wakes := []*Waker{}
	for _, h := range handles {
		polls = append(polls, message{b.startPoll(h, anna, true), 0})
		wakes = append(wakes, &b.worker.d.file(h).waker)
	}
	for _, w := range []int{1, 0, 2, 1} {
		wakes[w].Wake()
		b.now()
	}
	b.wantMessages("woken in vain")
	b.late()
	b.wantMessages("late", polls...)
}

// TestParkedPollGoesBack tests that a wake-up in vain leaves the poll parked.
func TestParkedPollGoesBack(t *testing.T) {
	b, driver, handle := newParkBench(t)
	p := b.startPoll(handle, anna, true)
	for range 3 {
		driver.wake.Wake()
		b.now()
		b.wantMessages("woken in vain")
	}
	driver.ready.Store(unix.POLLIN)
	driver.wake.Wake()
	b.now()
	b.wantMessages("woken", message{p, unix.POLLIN})
}

// TestPollThatDoesNotSleep tests that a poll that does not sleep gets its answer, and no wake-up
// later.
func TestPollThatDoesNotSleep(t *testing.T) {
	b, driver, handle := newParkBench(t)
	p := b.startPoll(handle, anna, false)
	b.wantMessages("nothing is there", message{p, 0})
	driver.wake.Wake()
	b.wantMessages("woken")
	driver.ready.Store(unix.POLLIN)
	p = b.startPoll(handle, anna, false)
	b.wantMessages("something is there", message{p, unix.POLLIN})
}

func TestTwoSleepersAreBothWoken(t *testing.T) {
	t.Run("one parked, one in the kernel", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		a := b.startPoll(handle, anna, true)
		c := b.startPoll(handle, bert, true)
		b.wantMessages("nothing is there", message{c, 0})
		driver.ready.Store(unix.POLLIN)
		driver.wake.Wake()
		b.now()
		b.wantMessages("woken", notification, message{a, unix.POLLIN})
	})
	t.Run("the second comes when the first has been woken", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		a := b.startPoll(handle, anna, true)
		driver.wake.Wake()
		c := b.startPoll(handle, bert, true)
		b.wantMessages("nothing is there", message{c, 0})
		b.now() // is parked again
		driver.ready.Store(unix.POLLIN)
		driver.wake.Wake()
		b.now()
		b.wantMessages("woken", notification, message{a, unix.POLLIN})
	})
	t.Run("the second comes when the first is being answered", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		a := b.startPoll(handle, anna, true)
		driver.wake.Wake()
		f, p := b.worker.d.parked.due(0)
		c := b.startPoll(handle, bert, true)
		driver.ready.Store(unix.POLLIN)
		if ready, again := b.worker.look(f, p, true); ready != unix.POLLIN || again {
			t.Fatalf("the first gets %#x, %v", ready, again)
		}
		driver.wake.Wake()
		b.now()
		b.wantMessages("woken", notification, message{c, unix.POLLIN})
		_ = a
	})
	t.Run("both in the kernel", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		a := b.startPoll(handle, anna, true)
		b.late()
		c := b.startPoll(handle, bert, true)
		b.late()
		b.wantMessages("late", message{a, 0}, message{c, 0})
		driver.wake.Wake()
		b.wantMessages("woken", notification) // the kernel wakes all clients that sleep on the file
	})
	t.Run("one in the kernel, one parked", func(t *testing.T) {
		b, driver, handle := newParkBench(t)
		a := b.startPoll(handle, anna, true)
		b.late()
		c := b.startPoll(handle, bert, true)
		b.wantMessages("late", message{a, 0})
		driver.ready.Store(unix.POLLIN)
		driver.wake.Wake()
		b.now()
		b.wantMessages("woken", notification, message{c, unix.POLLIN})
	})
}

// TestEdges tests that a client that was told of an event is told of the next one without another
// poll, as epoll with EPOLLET expects. A client that does poll again is not notified in addition.
func TestEdges(t *testing.T) {
	b, driver, handle := newParkBench(t)
	driver.ready.Store(unix.POLLIN)
	p := b.startPoll(handle, anna, true)
	b.wantMessages("something is there", message{p, unix.POLLIN})
	driver.wake.Wake()
	b.wantMessages("the next event", notification)

	p = b.startPoll(handle, anna, true)
	b.wantMessages("something is there", message{p, unix.POLLIN})
	driver.ready.Store(0)
	p = b.startPoll(handle, anna, true)
	b.wantMessages("nothing is there")
	driver.ready.Store(unix.POLLIN)
	driver.wake.Wake()
	b.now()
	b.wantMessages("the next event", message{p, unix.POLLIN})
}

// TestParkingThatDoesNotPay tests that parking is suspended for a file whose polls are always late.
func TestParkingThatDoesNotPay(t *testing.T) {
	b, _, handle := newParkBench(t)
	parked := 0
	const polls = 4 * retry
	for range polls {
		p := b.startPoll(handle, anna, true)
		if b.worker.d.parked.any() {
			parked++
		}
		b.late()
		b.wantMessages("late", message{p, 0})
	}
	if want := mostChances + (polls-mostChances)/retry; parked != want {
		t.Errorf("%d of %d polls were parked, want %d", parked, polls, want)
	}
}
