//go:build linux

package control_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// Addresses of the CSB arrays in a client's memory.
const (
	atokAt = memBase + 0x4000
	ktoaAt = memBase + 0x5000
)

// careful is a process whose memory is accessed by atomic words, because a loop and a test use it
// at the same time.
type careful struct{ *process }

func (p careful) words(addr uint64, n int) []atomic.Uint32 {
	if m := p.at(addr, n); m != nil {
		return shm.Slice[atomic.Uint32](m, 0, n/4)
	}
	return nil
}

func (p careful) Read(addr uint64, b []byte) error {
	w := p.words(addr, len(b))
	if w == nil {
		return syscall.EFAULT
	}
	to := shm.Slice[uint32](b, 0, len(b)/4)
	for i := range to {
		to[i] = w[i].Load()
	}
	return nil
}

func (p careful) Write(addr uint64, b []byte) error {
	w := p.words(addr, len(b))
	if w == nil {
		return syscall.EFAULT
	}
	for i, v := range shm.Slice[uint32](b, 0, len(b)/4) {
		w[i].Store(v)
	}
	return nil
}

// looper is a client in CSB mode with a process of its own.
type looper struct {
	t    testing.TB
	c    *control.Client
	p    careful
	done chan syscall.Errno // of START
}

func newLooper(w *world, t testing.TB) *looper {
	p := newProcess()
	p.signal = make(chan struct{})
	return &looper{t: t, c: w.client(), p: careful{p}, done: make(chan syscall.Errno, 4)}
}

// place writes a list of options and returns the address of the first.
func (l *looper) place(options ...[]byte) uint64 {
	at, first := uint64(optionsAt), uint64(0)
	for i, o := range options {
		o := append([]byte(nil), o...)
		if i+1 < len(options) {
			abi.View[abi.Option](o).Next = at + 0x400
		}
		copy(l.p.at(at, len(o)), o)
		if i == 0 {
			first = at
		}
		at += 0x400
	}
	return first
}

func (l *looper) status(i int) syscall.Errno {
	return syscall.Errno(get[abi.Option](l.p.process, optionsAt+uint64(i)*0x400).Status)
}

// request sends a request. An empty body means no body.
func (l *looper) request(kind uint16, body []byte, options ...[]byte) syscall.Errno {
	h := header(kind, "vale0:a")
	if len(body) > 0 {
		copy(l.p.at(bodyAt, len(body)), body)
		h.Body = bodyAt
	}
	h.Options = l.place(options...)
	return l.c.Ioctl(l.p, abi.NIOCCTRL, abi.Bytes(&h))
}

func csbOption(atok, ktoa uint64) []byte {
	return abi.Bytes(&abi.OptionCSB{Option: abi.Option{Type: abi.OptCSB, Size: 40},
		Atok: atok, Ktoa: ktoa})
}

func modeOption(mode uint32) []byte {
	return abi.Bytes(&abi.OptionKloopMode{Option: abi.Option{Type: abi.OptSyncKloopMode, Size: 32},
		Mode: mode})
}

func eventfdsOption(fds ...int32) []byte {
	b := append([]byte(nil), abi.Bytes(&abi.Option{Type: abi.OptSyncKloopEventfds,
		Size: uint64(24 + 4*len(fds))})...)
	for _, fd := range fds {
		b = append(b, abi.Bytes(&fd)...)
	}
	return b
}

func sleepUs(n uint32) []byte { return abi.Bytes(&abi.SyncKloopStart{SleepUs: n}) }

// register sends REGISTER for all rings of vale0:a, with eight slots each.
func (l *looper) register(flags uint64, options ...[]byte) syscall.Errno {
	return l.request(abi.ReqRegister, abi.Bytes(&abi.Register{Mode: abi.RegAllNIC, TxSlots: 8,
		RxSlots: 8, Flags: flags}), options...)
}

// registered returns a client that can start a loop.
func registered(w *world, t testing.TB) *looper {
	t.Helper()
	l := newLooper(w, t)
	wantErrno(t, "REGISTER", l.register(abi.NRExclusive, csbOption(atokAt, ktoaAt)), 0)
	wantErrno(t, "status", l.status(0), 0)
	return l
}

// start sends START in a goroutine.
func (l *looper) start(body []byte, options ...[]byte) {
	h := header(abi.ReqSyncKloopStart, "")
	copy(l.p.at(bodyAt, len(body)), body)
	h.Body, h.Options = bodyAt, l.place(options...)
	go func() { l.done <- l.c.Ioctl(l.p, abi.NIOCCTRL, abi.Bytes(&h)) }()
}

func (l *looper) ended(what string, want syscall.Errno) {
	l.t.Helper()
	select {
	case e := <-l.done:
		wantErrno(l.t, what, e, want)
	case <-time.After(10 * time.Second):
		l.t.Fatalf("%s: START does not return", what)
	}
}

func (l *looper) stop() syscall.Errno {
	h := header(abi.ReqSyncKloopStop, "")
	return l.c.Ioctl(l.p, abi.NIOCCTRL, abi.Bytes(&h))
}

func (l *looper) atok(i int) *abi.CSBAtok {
	return &shm.Slice[abi.CSBAtok](l.p.at(atokAt, 128), 0, 2)[i]
}

func (l *looper) ktoa(i int) *abi.CSBKtoa {
	return &shm.Slice[abi.CSBKtoa](l.p.at(ktoaAt, 128), 0, 2)[i]
}

// advance hands slots of the tx ring over, and waits until the loop has accepted them.
func (l *looper) advance(head uint32, kick func()) {
	l.t.Helper()
	a, k := l.atok(0), l.ktoa(0)
	a.Cur.Store(head)
	a.Head.Store(head)
	for end := time.Now().Add(10 * time.Second); k.HwCur.Load() != head; runtime.Gosched() {
		if k.KernNeedKick.Load() != 0 && kick != nil {
			kick()
		}
		if time.Now().After(end) {
			l.t.Fatalf("the loop does not accept head %d, hwcur is %d", head, k.HwCur.Load())
		}
	}
}

func newEventfd(t testing.TB) int32 {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return int32(fd)
}

func TestCSBErrors(t *testing.T) {
	const nowhere, edge = 0x40, memBase + 64<<10 - 64 // at edge, the second of two entries is unmapped
	tests := []struct {
		name  string
		flags uint64
		csb   []byte
		want  syscall.Errno
	}{
		{"not exclusive", 0, csbOption(atokAt, ktoaAt), syscall.EINVAL},
		{"not exclusive before not aligned", 0, csbOption(nowhere+1, nowhere+1), syscall.EINVAL},
		{"atok not aligned", abi.NRExclusive, csbOption(atokAt+32, ktoaAt), syscall.EINVAL},
		{"ktoa not aligned", abi.NRExclusive, csbOption(atokAt, ktoaAt+4), syscall.EINVAL},
		{"atok nowhere", abi.NRExclusive, csbOption(nowhere, ktoaAt), syscall.EFAULT},
		{"ktoa nowhere", abi.NRExclusive, csbOption(atokAt, nowhere), syscall.EFAULT},
		{"atok ends nowhere", abi.NRExclusive, csbOption(edge, ktoaAt), syscall.EFAULT},
		{"ktoa ends nowhere", abi.NRExclusive, csbOption(atokAt, edge), syscall.EFAULT},
		{"good", abi.NRExclusive, csbOption(atokAt, ktoaAt), 0},
		{"good, and no rings", abi.NRTxRingsOnly | abi.NRRxRingsOnly, csbOption(nowhere, nowhere), 0},
	}
	w := newWorld(t)
	for _, tt := range tests {
		t.Run(tt.name+"/REGISTER", func(t *testing.T) {
			l := newLooper(w, t)
			wantErrno(t, "REGISTER", l.register(tt.flags, tt.csb), tt.want)
			wantErrno(t, "status", l.status(0), tt.want)
			want := syscall.Errno(0) // a failure is undone
			if tt.want == 0 {
				want = syscall.EBUSY
			}
			wantErrno(t, "another REGISTER", l.register(0), want)
			l.c.Close()
		})
		t.Run(tt.name+"/CSB_ENABLE", func(t *testing.T) {
			l := newLooper(w, t)
			wantErrno(t, "REGISTER", l.register(tt.flags), 0)
			wantErrno(t, "CSB_ENABLE", l.request(abi.ReqCSBEnable, nil, tt.csb), tt.want)
			wantErrno(t, "status", l.status(0), tt.want)
			if tt.want != 0 {
				wantErrno(t, "a sync", l.c.Ioctl(l.p, abi.NIOCTXSYNC, nil), 0)
			}
			l.c.Close()
		})
	}
	l := newLooper(w, t)
	wantErrno(t, "CSB_ENABLE, unbound",
		l.request(abi.ReqCSBEnable, nil, csbOption(nowhere, nowhere)), 0)
	wantErrno(t, "status", l.status(0), 0)
	wantErrno(t, "CSB_ENABLE without its option", l.request(abi.ReqCSBEnable, nil), syscall.EINVAL)
}

// TestCSBAndUnknownOption tests that an unknown option undoes a REGISTER that is otherwise valid.
func TestCSBAndUnknownOption(t *testing.T) {
	w := newWorld(t)
	l := newLooper(w, t)
	wantErrno(t, "REGISTER", l.register(abi.NRExclusive, csbOption(atokAt, ktoaAt),
		abi.Bytes(&abi.Option{Type: noOption})), syscall.EOPNOTSUPP)
	wantErrno(t, "status", l.status(0), 0)
	wantErrno(t, "status of the stranger", l.status(1), syscall.EOPNOTSUPP)
	wantErrno(t, "a sync", l.c.Ioctl(l.p, abi.NIOCTXSYNC, nil), syscall.ENXIO)
	wantErrno(t, "REGISTER", l.register(abi.NRExclusive, csbOption(atokAt, ktoaAt)), 0)
}

func TestCSBMode(t *testing.T) {
	w := newWorld(t)
	l := newLooper(w, t)
	for _, at := range []uint64{atokAt, ktoaAt} {
		for i := range l.p.at(at, 128+64) {
			l.p.at(at, 192)[i] = 0xee
		}
	}
	wantErrno(t, "REGISTER", l.register(abi.NRExclusive, csbOption(atokAt, ktoaAt)), 0)
	for i, hwtail := range []uint32{7, 0} {
		a, k := l.atok(i), l.ktoa(i)
		if a.Head.Load()|a.Cur.Load() != 0 || a.ApplNeedKick.Load() != 1 || a.SyncFlags.Load() != 1 {
			t.Errorf("atok %d: %+v", i, a)
		}
		if k.HwCur.Load() != 0 || k.HwTail.Load() != hwtail || k.KernNeedKick.Load() != 1 {
			t.Errorf("ktoa %d: %+v", i, k)
		}
		if l.p.at(atokAt+uint64(i)*64, 64)[16] != 0xee || l.p.at(ktoaAt+uint64(i)*64, 64)[63] != 0 {
			t.Error("bytes after a program's words were changed, or those after the framework's not cleared")
		}
	}
	if l.p.at(atokAt+128, 1)[0] != 0xee || l.p.at(ktoaAt+128, 1)[0] != 0xee {
		t.Error("more than the entries was written")
	}
	wantErrno(t, "TXSYNC", l.c.Ioctl(l.p, abi.NIOCTXSYNC, nil), syscall.EBUSY)
	wantErrno(t, "RXSYNC", l.c.Ioctl(l.p, abi.NIOCRXSYNC, nil), syscall.EBUSY)
	if got := l.c.Poll(l.p, 5); got != 8 {
		t.Errorf("poll returns %#x, want POLLERR", got)
	}
}

func TestStartErrors(t *testing.T) {
	testutil.CheckLeaks(t)
	good, bad := newEventfd(t), int32(1<<20)
	file, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(file)
	noFD := int32(file)
	w := newWorld(t)

	l := newLooper(w, t)
	wantErrno(t, "unbound", l.request(abi.ReqSyncKloopStart, sleepUs(1)), syscall.ENXIO)
	wantErrno(t, "unbound, sleeps too long",
		l.request(abi.ReqSyncKloopStart, sleepUs(1000001)), syscall.EINVAL)
	wantErrno(t, "unbound STOP", l.stop(), syscall.ENXIO)
	wantErrno(t, "REGISTER", l.register(abi.NRExclusive), 0)
	wantErrno(t, "without CSB", l.request(abi.ReqSyncKloopStart, sleepUs(1), modeOption(8)),
		syscall.EINVAL)
	wantErrno(t, "status", l.status(0), syscall.EOPNOTSUPP)
	l.c.Close()

	l = registered(w, t)
	for _, tt := range []struct {
		name    string
		options [][]byte
		want    syscall.Errno
		status  []syscall.Errno
	}{
		{"mode 4", [][]byte{modeOption(4)}, syscall.EINVAL, []syscall.Errno{syscall.EINVAL}},
		{"mode 4, before eventfds", [][]byte{eventfdsOption(good), modeOption(4 | 1)}, syscall.EINVAL,
			[]syscall.Errno{syscall.EOPNOTSUPP, syscall.EINVAL}},
		{"direct without eventfds", [][]byte{modeOption(1)}, syscall.EINVAL,
			[]syscall.Errno{syscall.EINVAL}},
		{"too few eventfds", [][]byte{eventfdsOption(good, good)}, syscall.EINVAL,
			[]syscall.Errno{syscall.EINVAL}},
		{"too many eventfds", [][]byte{eventfdsOption(good, good, good, good, good, good)},
			syscall.EINVAL, []syscall.Errno{syscall.EINVAL}},
		{"no eventfds", [][]byte{eventfdsOption()}, syscall.EINVAL, []syscall.Errno{syscall.EINVAL}},
		{"direct and sleeping", [][]byte{eventfdsOption(good, good, -1, good), modeOption(2)},
			syscall.EINVAL, []syscall.Errno{syscall.EINVAL, 0}},
		{"irqfd is no descriptor", [][]byte{eventfdsOption(good, bad, good, good)},
			syscall.EBADF, []syscall.Errno{0}},
		{"irqfd is no eventfd", [][]byte{eventfdsOption(good, good, good, noFD)},
			syscall.EINVAL, []syscall.Errno{0}},
		{"ioeventfd is no descriptor", [][]byte{eventfdsOption(bad, good, good, good)},
			syscall.EBADF, []syscall.Errno{0}},
		{"ioeventfd is no eventfd", [][]byte{eventfdsOption(good, good, noFD, good)},
			syscall.EINVAL, []syscall.Errno{0}},
		{"irqfd is no descriptor, sleeping", [][]byte{eventfdsOption(-1, bad, noFD, good)},
			syscall.EBADF, []syscall.Errno{0}},
	} {
		wantErrno(t, tt.name, l.request(abi.ReqSyncKloopStart, sleepUs(1), tt.options...), tt.want)
		for i, want := range tt.status {
			wantErrno(t, tt.name+", status", l.status(i), want)
		}
	}

	// The failures have left nothing behind: a loop starts, and is the only one.
	l.start(sleepUs(1000))
	l.advance(1, nil)
	other := newLooper(w, t)
	other.c = l.c
	wantErrno(t, "a second START", other.request(abi.ReqSyncKloopStart, sleepUs(1), modeOption(4)),
		syscall.EBUSY)
	wantErrno(t, "CSB_ENABLE under a loop",
		other.request(abi.ReqCSBEnable, nil, csbOption(1, 1)), syscall.EBUSY)
	wantErrno(t, "STOP", l.stop(), 0)
	l.ended("START", 0)
}

func TestLoops(t *testing.T) {
	for _, shares := range []bool{true, false} {
		for _, tt := range []struct {
			name   string
			kicked bool
			mode   uint32
		}{
			{"sleeping", false, 0},
			{"kicked", true, 0},
			{"direct", true, 3},
		} {
			name := tt.name + "/shared"
			if !shares {
				name = tt.name + "/copied"
			}
			t.Run(name, func(t *testing.T) {
				testutil.CheckLeaks(t)
				w := newWorld(t)
				l := registered(w, t)
				l.p.shares = shares
				kick, irq := newEventfd(t), newEventfd(t)
				ring := func() { unix.Write(int(kick), []byte{1, 0, 0, 0, 0, 0, 0, 0}) }
				if tt.kicked {
					l.start(sleepUs(0), eventfdsOption(kick, irq, kick, -1), modeOption(tt.mode))
				} else {
					l.start(sleepUs(100), eventfdsOption(-1, irq, 77, -1))
				}
				for head := uint32(1); head < 20; head++ {
					l.advance(head%8, ring)
				}
				if tail := l.ktoa(0).HwTail.Load(); tail != 2 { // head is 3
					t.Errorf("hwtail is %d", tail)
				}
				var b [8]byte
				for end := time.Now().Add(10 * time.Second); ; {
					if n, _ := unix.Read(int(irq), b[:]); n == 8 {
						break
					}
					if time.Now().After(end) {
						t.Error("the program was not woken for room")
						break
					}
				}
				wantErrno(t, "STOP", l.stop(), 0)
				l.ended("START", 0)
				wantErrno(t, "status", l.status(0), 0)
			})
		}
	}
}

// TestLoopEnds tests everything that ends a loop.
func TestLoopEnds(t *testing.T) {
	for _, kicked := range []bool{false, true} {
		testutil.CheckLeaks(t)
		w := newWorld(t)
		var options [][]byte
		if kicked {
			options = append(options, eventfdsOption(newEventfd(t), -1, newEventfd(t), -1))
		}
		l := registered(w, t)
		l.start(sleepUs(1000000), options...)
		time.Sleep(5 * time.Millisecond)
		close(l.p.signal)
		l.ended("interrupted", syscall.EINTR)

		l.start(sleepUs(1000000), options...)
		l.ended("interrupted before it began", syscall.EINTR)

		l.p.signal = nil
		l.start(sleepUs(1000000), options...)
		time.Sleep(5 * time.Millisecond)
		l.c.Close()
		l.ended("closed", syscall.ENXIO)
	}
}

// TestStopBeforeStart tests that a STOP that has returned does not end a later START. A STOP at the
// same time does.
func TestStopBeforeStart(t *testing.T) {
	testutil.CheckLeaks(t)
	w := newWorld(t)
	l := registered(w, t)
	wantErrno(t, "STOP", l.stop(), 0)
	l.start(sleepUs(10))
	l.advance(1, nil)
	wantErrno(t, "STOP", l.stop(), 0)
	l.ended("START", 0)

	var stopped sync.WaitGroup
	stopped.Go(func() { wantErrno(t, "STOP", l.stop(), 0) })
	time.Sleep(10 * time.Millisecond)
	l.start(sleepUs(10))
	l.ended("a START that STOP overtook", 0)
	stopped.Wait()
}

func TestStartAndStopRace(t *testing.T) {
	testutil.CheckLeaks(t)
	w := newWorld(t)
	l := registered(w, t)
	var wg sync.WaitGroup
	for range 100 {
		l.start(sleepUs(10), eventfdsOption(newEventfd(t), newEventfd(t), newEventfd(t), -1))
		wg.Go(func() { wantErrno(t, "STOP", l.stop(), 0) })
		l.ended("START", 0)
		wg.Wait()
	}
}
