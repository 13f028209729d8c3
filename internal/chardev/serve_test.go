//go:build linux

package chardev

import (
	"math/rand/v2"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// bench is a worker without a kernel. Its device writes answers to a socket that keeps them apart.
type bench struct {
	t      testing.TB
	worker *worker
	peer   int
	unique uint64
}

// echo is a driver that answers ioctls with each byte of the data plus one. All events are ready.
type echo struct {
	open, released atomic.Int32
	wake           *Waker
	ready          atomic.Uint32
	errno          syscall.Errno
}

func (e *echo) Open(_ Caller, wake *Waker) (File, syscall.Errno) {
	e.open.Add(1)
	e.wake = wake
	return e, 0
}

func (e *echo) Ioctl(_ Caller, _ uint32, data []byte) syscall.Errno {
	for i := range data {
		data[i]++
	}
	return e.errno
}

func (e *echo) Poll(_ Caller, events uint32) uint32 { return events & e.ready.Load() }
func (e *echo) Release()                            { e.released.Add(1) }

func newBench(t testing.TB, driver Driver) *bench {
	t.Helper()
	var fds [2]int
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC,
		0)
	if err != nil {
		t.Fatal(err)
	}
	d := newDevice(Config{Path: "nowhere", Mode: 0o600, Size: 1 << 20}, driver)
	d.fd = fds[0]
	d.closed.Store(true) // openBackingFile does not wait
	close(d.backed)
	b := &bench{t: t, worker: newWorker(d), peer: fds[1], unique: 1}
	t.Cleanup(func() {
		d.slow.Wait()
		d.releaseAll()
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return b
}

// request makes a request.
func (b *bench) request(opcode uint32, body []byte) []byte {
	b.unique += 2
	r := make([]byte, inHeaderSize, inHeaderSize+len(body))
	le.PutUint32(r, uint32(inHeaderSize+len(body)))
	le.PutUint32(r[4:], opcode)
	le.PutUint64(r[8:], b.unique)
	le.PutUint64(r[16:], rootID)
	return append(r, body...)
}

// answer returns errno and body of the only answer. It fails if there is another one, or if the
// answer is to another request.
func (b *bench) answer() (syscall.Errno, []byte) {
	b.t.Helper()
	b.worker.d.slow.Wait()
	buf := make([]byte, bufferSize)
	n, err := unix.Read(b.peer, buf)
	if err != nil || n < outHeaderSize || int(le.Uint32(buf)) != n || le.Uint64(buf[8:]) != b.unique {
		b.t.Fatalf("the answer is %d bytes, %v: %x, to request %d", n, err, buf[:min(max(n, 0), 64)],
			b.unique)
	}
	return syscall.Errno(-int32(le.Uint32(buf[4:]))), buf[outHeaderSize:n]
}

// answers returns all answers.
func (b *bench) answers() (all [][]byte) {
	for {
		buf := make([]byte, bufferSize)
		n, err := unix.Read(b.peer, buf)
		if err != nil {
			return all
		}
		all = append(all, buf[:n])
	}
}

// silent fails if there is an answer.
func (b *bench) silent() {
	b.t.Helper()
	b.worker.d.slow.Wait()
	if all := b.answers(); len(all) > 0 {
		b.t.Fatalf("there is an answer: %x", all)
	}
}

func (b *bench) ask(opcode uint32, body []byte) (syscall.Errno, []byte) {
	b.t.Helper()
	b.worker.serve(b.request(opcode, body))
	return b.answer()
}

// open opens a file and returns its handle.
func (b *bench) open() uint64 {
	b.t.Helper()
	e, answer := b.ask(opOpen, make([]byte, 8))
	if e != 0 || len(answer) != 16 || le.Uint32(answer[8:]) != openDirectIO|openPassthrough {
		b.t.Fatalf("open: %v, %x", e, answer)
	}
	return le.Uint64(answer)
}

// bodies returns a valid body of each request that is answered, for a file with that handle.
func bodies(handle uint64) map[uint32][]byte {
	body := func(size int, fill func([]byte)) []byte {
		b := make([]byte, size)
		fill(b)
		return b
	}
	file := func(b []byte) { le.PutUint64(b, handle) }
	return map[uint32][]byte{
		opInit: body(64, func(b []byte) {
			le.PutUint32(b, protocolMajor)
			le.PutUint32(b[4:], protocolMinor)
			le.PutUint32(b[12:], initExt)
			le.PutUint32(b[16:], passthrough>>32)
		}),
		opGetattr: make([]byte, 16),
		opSetattr: make([]byte, 88),
		opStatfs:  nil,
		opOpen:    make([]byte, 8),
		opRead:    body(40, file),
		opWrite:   body(40, file),
		opFlush:   body(24, file),
		opIoctl: body(32+8, func(b []byte) {
			file(b)
			le.PutUint32(b[24:], 8)
			le.PutUint32(b[28:], 8)
		}),
		opPoll:    body(24, file),
		opRelease: body(24, file),
	}
}

func TestServeGoodRequests(t *testing.T) {
	testutil.CheckLeaks(t)
	b := newBench(t, &echo{})
	handle := b.open()
	for opcode, body := range bodies(handle) {
		if opcode == opRelease {
			continue
		}
		want := syscall.Errno(0)
		if opcode == opRead || opcode == opWrite {
			want = unix.EINVAL
		}
		if e, _ := b.ask(opcode, body); e != want {
			t.Errorf("opcode %d: %v, want %v", opcode, e, want)
		}
	}
	if e, _ := b.ask(opRelease, bodies(handle)[opRelease]); e != 0 {
		t.Errorf("release: %v", e)
	}
	for _, opcode := range []uint32{opIoctl, opPoll, opRelease} {
		if e, _ := b.ask(opcode, bodies(handle)[opcode]); e != unix.EBADF {
			t.Errorf("opcode %d for a closed file: %v, want EBADF", opcode, e)
		}
	}
}

// TestServeShortRequests sends every request cut off at every length, with a header that states
// that length. The answer is EINVAL, or ENOSYS for operations that are not served. Requests that
// get no answer get none.
func TestServeShortRequests(t *testing.T) {
	b := newBench(t, &echo{})
	mute := map[uint32]bool{opForget: true, opBatchForget: true, opInterrupt: true}
	for opcode := range uint32(64) {
		good := bodies(b.open())
		body := good[opcode]
		for n := range len(body) + 1 {
			b.worker.serve(b.request(opcode, body[:n]))
			if mute[opcode] {
				b.silent()
				continue
			}
			e, _ := b.answer()
			_, known := good[opcode]
			switch {
			case !known && e != unix.ENOSYS:
				t.Fatalf("opcode %d: %v, want ENOSYS", opcode, e)
			case known && n < operations[opcode].size && e != unix.EINVAL:
				t.Fatalf("opcode %d with %d bytes: %v, want EINVAL", opcode, n, e)
			case opcode == opIoctl && n < len(body) && e != unix.EINVAL:
				t.Fatalf("ioctl with %d bytes of data: %v, want EINVAL", n-32, e)
			}
		}
	}
}

// TestServeWrongLength tests that a request that states a wrong length gets EINVAL, and one shorter
// than a header no answer.
func TestServeWrongLength(t *testing.T) {
	b := newBench(t, &echo{})
	for _, length := range []uint32{0, 1, inHeaderSize, inHeaderSize + 15, inHeaderSize + 17, 1 << 31,
		1<<32 - 1} {
		r := b.request(opGetattr, make([]byte, 16))
		le.PutUint32(r, length)
		b.worker.serve(r)
		if e, _ := b.answer(); e != unix.EINVAL {
			t.Errorf("length %d: %v, want EINVAL", length, e)
		}
	}
	r := b.request(opGetattr, nil)
	for n := range inHeaderSize {
		b.worker.serve(r[:n])
		b.silent()
	}
}

func TestServeIoctlSizes(t *testing.T) {
	driver := &echo{errno: unix.EBUSY}
	b := newBench(t, driver)
	handle := b.open()
	for _, tt := range []struct {
		in, out, data uint32
		want          syscall.Errno
	}{
		{0, 0, 0, 0},
		{4, 4, 4, 0},
		{4, 8, 4, 0},
		{8, 4, 8, 0},
		{0, maxIoctl, 0, 0},
		{5, 5, 4, unix.EINVAL},
		{0, maxIoctl + 1, 0, unix.EINVAL},
		{1<<32 - 1, 0, 0, unix.EINVAL},
		{0, 1<<32 - 1, 0, unix.EINVAL},
	} {
		body := make([]byte, 32+tt.data)
		le.PutUint64(body, handle)
		le.PutUint32(body[24:], tt.in)
		le.PutUint32(body[28:], tt.out)
		e, answer := b.ask(opIoctl, body)
		if e != tt.want {
			t.Errorf("%+v: %v", tt, e)
			continue
		}
		if e != 0 {
			continue
		}
		if got := syscall.Errno(-int32(le.Uint32(answer))); got != driver.errno ||
			len(answer) != 16+int(tt.out) {
			t.Errorf("%+v: the driver's answer is %v with %d bytes", tt, got, len(answer)-16)
		}
		for i, c := range answer[16:] {
			if c != 1 {
				t.Fatalf("%+v: byte %d is %d", tt, i, c)
			}
		}
	}
}

// argument is a driver that stores the caller of the last ioctl.
type argument struct {
	echo
	caller chan Caller
}

func (a *argument) Open(Caller, *Waker) (File, syscall.Errno) { return a, 0 }

func (a *argument) Ioctl(caller Caller, _ uint32, _ []byte) syscall.Errno {
	a.caller <- caller
	return 0
}

// TestServeArguments tests that ioctls without data carry their argument, and that a goroutine
// answers those that may take long.
func TestServeArguments(t *testing.T) {
	driver := &argument{caller: make(chan Caller, 1)}
	b := newBench(t, driver)
	const slow = 0x8913
	b.worker.d.cfg.Slow = func(request uint32) bool { return request == slow }
	handle := b.open()
	for _, request := range []uint32{slow, slow + 1} {
		for _, flags := range []uint32{0, narrowIoctl} {
			body := make([]byte, 32)
			le.PutUint64(body, handle)
			le.PutUint32(body[8:], flags)
			le.PutUint32(body[12:], request)
			le.PutUint64(body[16:], 1<<47-1)
			if e, _ := b.ask(opIoctl, body); e != 0 {
				t.Fatal(e)
			}
			c := <-driver.caller
			if c.Arg != 1<<47-1 || c.Narrow != (flags != 0) || (c.Interrupted != nil) != (request == slow) {
				t.Errorf("request %#x, flags %#x: %+v", request, flags, c)
			}
		}
	}
}

// TestReleaseBeforeLaterRequests tests that requests after a release are answered after it.
func TestReleaseBeforeLaterRequests(t *testing.T) {
	driver := &slowRelease{}
	b := newBench(t, driver)
	for range 20 {
		handle := b.open()
		driver.held.Store(true)
		b.worker.serve(b.request(opRelease, bodies(handle)[opRelease]))
		b.worker.serve(b.request(opOpen, make([]byte, 8)))
		b.worker.d.slow.Wait()
		b.answers()
	}
	if driver.early.Load() {
		t.Error("an open was answered before the release")
	}
}

type slowRelease struct {
	echo
	held, early atomic.Bool
}

func (s *slowRelease) Open(Caller, *Waker) (File, syscall.Errno) {
	if s.held.Load() {
		s.early.Store(true)
	}
	return s, 0
}

func (s *slowRelease) Release() {
	time.Sleep(time.Millisecond)
	s.held.Store(false)
}

// FuzzServe feeds a worker arbitrary requests. It must not crash, and may send one answer at most:
// to the request, and of the length that it states.
func FuzzServe(f *testing.F) {
	b := newBench(f, &echo{})
	b.worker.d.cfg.Spin = time.Microsecond
	handle := b.open()
	for opcode, body := range bodies(handle) {
		if opcode != opRelease {
			f.Add(b.request(opcode, body))
		}
	}
	for _, opcode := range []uint32{opForget, opBatchForget, opInterrupt, 0, 1, 4095} {
		f.Add(b.request(opcode, make([]byte, 16)))
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		r := b.request(uint32(random.IntN(50)), make([]byte, random.IntN(200)))
		for i := inHeaderSize; i < len(r); i++ {
			r[i] = byte(random.Uint32())
		}
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, r []byte) {
		b.t = t
		if len(r) > bufferSize {
			return
		}
		if len(r) >= inHeaderSize && le.Uint32(r[4:])&0xff == opRelease {
			return // the file is needed later
		}
		b.worker.serve(r)
		b.worker.d.slow.Wait()
		b.worker.answerParked(clock()) // a poll that was parked
		all := b.answers()
		for _, a := range all {
			if len(a) < outHeaderSize || int(le.Uint32(a)) != len(a) || len(r) < inHeaderSize ||
				le.Uint64(a[8:]) != le.Uint64(r[8:]) {
				t.Fatalf("answer %x to %x", a, r)
			}
		}
		if len(all) > 1 {
			t.Fatalf("%d answers to %x", len(all), r)
		}
		b.worker.d.mu.Lock()
		for h := range b.worker.d.files {
			if h != handle {
				delete(b.worker.d.files, h)
			}
		}
		b.worker.d.mu.Unlock()
	})
}
