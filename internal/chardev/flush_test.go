//go:build linux

package chardev

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// debtor is a driver whose file leaves something with every ioctl and poll.
type debtor struct {
	echo
	owes    bool
	flushes int
	during  func() // what happens during a flush
}

func (o *debtor) Open(_ Caller, wake *Waker) (File, syscall.Errno) {
	o.wake = wake
	return o, 0
}

func (o *debtor) Ioctl(Caller, uint32, []byte) syscall.Errno { o.owes = true; return 0 }
func (o *debtor) Owes() bool                                 { return o.owes }

func (o *debtor) Poll(c Caller, events uint32) uint32 {
	o.owes = true
	return o.echo.Poll(c, events)
}

func (o *debtor) Flush() {
	o.owes = false
	o.flushes++
	if f := o.during; f != nil {
		o.during = nil
		f()
	}
}

// another is a second worker of the same device.
func (b *bench) another() *bench {
	c := *b
	c.worker = newWorker(b.worker.d)
	c.unique += 1 << 20
	return &c
}

// startSync sends an ioctl without data, and returns its number.
func (b *bench) startSync(handle uint64) uint64 {
	body := make([]byte, 32)
	le.PutUint64(body, handle)
	b.worker.serve(b.request(opIoctl, body))
	return b.unique
}

func wantFlushes(t *testing.T, what string, o *debtor, want int) {
	t.Helper()
	if o.flushes != want || o.owes {
		t.Errorf("%s: %d flushes, want %d; something is left: %v", what, o.flushes, want, o.owes)
	}
}

// The client has its answer before its file is flushed, also one whose poll was parked.
func TestFlushFollowsTheAnswer(t *testing.T) {
	o := &debtor{}
	b := newBench(t, o)
	b.worker.d.cfg.Spin = 1 << 40
	handle := b.open()
	answered := func(want uint64) func() {
		return func() {
			if all := b.answers(); len(all) != 1 || le.Uint64(all[0][8:]) != want {
				t.Errorf("while flushing the answers are %x, want one to %d", all, want)
			}
		}
	}
	o.during = answered(b.unique + 2)
	b.startSync(handle)
	wantFlushes(t, "an ioctl", o, 1)

	o.ready.Store(unix.POLLIN)
	o.during = answered(b.unique + 2)
	b.startPoll(handle, anna, true)
	wantFlushes(t, "a poll", o, 2)

	o.ready.Store(0)
	p := b.startPoll(handle, anna, true)
	wantFlushes(t, "a parked poll", o, 3)
	o.ready.Store(unix.POLLIN)
	o.wake.Wake()
	o.during = answered(p)
	b.now()
	wantFlushes(t, "a parked poll that is answered", o, 4)
}

// A worker leaves a request to the one who flushes the file, and is free for other clients: also
// several times in a row. Of two requests at a time the second is served at once.
func TestRequestDuringFlushIsHandedOver(t *testing.T) {
	o := &debtor{}
	b := newBench(t, o)
	handle := b.open()
	second := b.another()
	var first, again, third uint64
	o.during = func() {
		first = second.startSync(handle)
		b.wantAnswers("handed over", b.unique)
		third = second.startSync(handle)
		b.wantAnswers("no room", third)
		o.during = func() {
			b.wantAnswers("served by who flushed", first)
			again = second.startSync(handle)
			b.silent()
		}
	}
	b.startSync(handle)
	b.wantAnswers("served after the second flush", again)
	if o.owes {
		t.Error("something is left")
	}
	second.startSync(handle)
	b.wantAnswers("nobody flushes", second.unique)
	if o.owes {
		t.Error("something is left in the end")
	}
}

func (b *bench) wantAnswers(what string, want ...uint64) {
	b.t.Helper()
	all := b.answers()
	for i, a := range all {
		if i >= len(want) || le.Uint64(a[8:]) != want[i] {
			b.t.Fatalf("%s: answer %d of %d is to %d, want %v", what, i, len(all), le.Uint64(a[8:]), want)
		}
	}
	if len(all) != len(want) {
		b.t.Fatalf("%s: %d answers, want %v", what, len(all), want)
	}
}

// Flushing costs no memory.
func TestFlushDoesNotAllocate(t *testing.T) {
	o := &debtor{}
	b := newBench(t, o)
	handle := b.open()
	body := make([]byte, 32)
	le.PutUint64(body, handle)
	r := b.request(opIoctl, body)
	buf := make([]byte, bufferSize)
	if n := testing.AllocsPerRun(100, func() {
		b.worker.serve(r)
		unix.Read(b.peer, buf)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
