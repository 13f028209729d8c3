//go:build linux

package chardev

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/testutil"
)

const memorySize = 1 << 20

// node is a mounted device whose driver keeps the files that it opens.
type node struct {
	t      *testing.T
	path   string
	device *Device
	memory []byte // of the backing file

	mu    sync.Mutex
	files []*nodeFile
}

// nodeFile answers ioctls with each byte of the data plus one, and with an errno that the request's
// number contains.
type nodeFile struct {
	wake     *Waker
	ready    atomic.Uint32
	caller   atomic.Pointer[Caller]
	released chan struct{}
}

func (n *node) Open(caller Caller, wake *Waker) (File, syscall.Errno) {
	f := &nodeFile{wake: wake, released: make(chan struct{})}
	f.caller.Store(&caller)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.files = append(n.files, f)
	return f, 0
}

func (f *nodeFile) Ioctl(caller Caller, request uint32, data []byte) syscall.Errno {
	f.caller.Store(&caller)
	for i := range data {
		data[i]++
	}
	return syscall.Errno(request & 0xff)
}

func (f *nodeFile) Poll(_ Caller, events uint32) uint32 { return events & f.ready.Load() }
func (f *nodeFile) Release()                            { close(f.released) }

// set makes the file ready, and wakes its clients.
func (f *nodeFile) set(events uint32) {
	f.ready.Store(events)
	f.wake.Wake()
}

func backing(t *testing.T) (fd int, memory []byte) {
	t.Helper()
	fd, err := unix.MemfdCreate("backing", unix.MFD_CLOEXEC)
	if err == nil {
		err = unix.Ftruncate(fd, memorySize)
	}
	if err == nil {
		memory, err = unix.Mmap(fd, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Munmap(memory)
		unix.Close(fd)
	})
	return fd, memory
}

func mountNode(t *testing.T, change ...func(*Config)) *node {
	t.Helper()
	testutil.CheckLeaks(t)
	n := &node{t: t, path: filepath.Join(t.TempDir(), "node")}
	var cfg Config
	cfg.Backing, n.memory = backing(t)
	cfg.Path, cfg.Mode, cfg.Size, cfg.Spin = n.path, 0o600, memorySize, 20*time.Microsecond
	for _, f := range change {
		f(&cfg)
	}
	var err error
	n.device, err = Mount(cfg, n)
	testutil.Require(t, "to mount FUSE with passthrough (root, Linux 6.9)", err)
	t.Cleanup(func() { n.device.Close() })
	return n
}

// open opens the node, and also returns the driver's file.
func (n *node) open() (fd int, f *nodeFile) {
	n.t.Helper()
	fd, err := unix.Open(n.path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(sync.OnceFunc(func() { unix.Close(fd) }))
	files := n.opened()
	return fd, files[len(files)-1]
}

// opened returns the files that the driver has opened so far.
func (n *node) opened() []*nodeFile {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.files)
}

// ioc makes an ioctl's number.
func ioc(dir, size, errno uint32) uint32 { return dir<<30 | size<<16 | 'x'<<8 | errno }

const in, out = 1, 2 // the client writes, the client reads

func TestIoctl(t *testing.T) {
	n := mountNode(t)
	fd, f := n.open()
	const big = 1<<14 - 1
	for _, tt := range []struct {
		name      string
		dir, size uint32
		errno     syscall.Errno
		want      byte // the data afterwards; it is 5 before
	}{
		{"without data", 0, 0, 0, 5},
		{"without data, an error", 0, 0, unix.EBUSY, 5},
		{"in and out", in | out, 60, 0, 6},
		{"in and out, an error with an answer", in | out, 60, unix.EINVAL, 6},
		{"in only", in, 60, 0, 5},
		{"out only", out, 60, 0, 1},
		{"the largest there is", in | out, big, 0, 6},
		{"a single byte", in | out, 1, unix.ENOENT, 6},
	} {
		data := bytes.Repeat([]byte{5}, big+1)
		if e := ioctl(fd, ioc(tt.dir, tt.size, uint32(tt.errno)), data); e != tt.errno {
			t.Errorf("%s: %v, want %v", tt.name, e, tt.errno)
		}
		for i, c := range data {
			if want := tt.want; uint32(i) < tt.size && c != want || uint32(i) >= tt.size && c != 5 {
				t.Errorf("%s: byte %d of %d is %d, want %d", tt.name, i, tt.size, c, want)
				break
			}
		}
	}
	if e := ioctl(fd, ioc(in, 8, 0), nil); e != unix.EFAULT {
		t.Errorf("data at an unmapped address: %v, want EFAULT", e)
	}
	if c := *f.caller.Load(); c.PID == 0 || c.UID != uint32(os.Getuid()) {
		t.Errorf("the caller is %+v", c)
	}
}

func TestMmap(t *testing.T) {
	n := mountNode(t)
	copy(n.memory[4096:], "from the device")
	var maps [2][]byte
	for i := range maps {
		fd, _ := n.open()
		m, err := unix.Mmap(fd, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Munmap(m)
		maps[i] = m
		if !bytes.HasPrefix(m[4096:], []byte("from the device")) {
			t.Errorf("mapping %d has other bytes", i)
		}
	}
	copy(maps[0][8192:], "from a client")
	if !bytes.HasPrefix(maps[1][8192:], []byte("from a client")) ||
		!bytes.HasPrefix(n.memory[8192:], []byte("from a client")) {
		t.Error("not all mappings show what a client wrote")
	}
	n.device.Close()
	if !bytes.HasPrefix(maps[0][4096:], []byte("from the device")) {
		t.Error("a mapping lost its contents with the device")
	}
}

func poll(t *testing.T, fd int, events int16, timeout time.Duration) int16 {
	t.Helper()
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		if _, err := unix.Poll(fds, int(timeout.Milliseconds())); err == unix.EINTR {
			continue
		} else if err != nil {
			t.Error(err)
		}
		return fds[0].Revents
	}
}

// long is a timeout that expires only if a wake-up is lost.
const long = 10 * time.Second

func TestPoll(t *testing.T) {
	n := mountNode(t)
	fd, f := n.open()
	start := time.Now()
	if got := poll(t, fd, unix.POLLIN, 0); got != 0 {
		t.Errorf("without waiting: %#x", got)
	}
	if got := poll(t, fd, unix.POLLIN, 30*time.Millisecond); got != 0 ||
		time.Since(start) < 30*time.Millisecond {
		t.Errorf("with a timeout of 30 ms: %#x after %v", got, time.Since(start))
	}
	f.ready.Store(unix.POLLIN | unix.POLLOUT)
	if got := poll(t, fd, unix.POLLIN, long); got != unix.POLLIN {
		t.Errorf("ready: %#x", got)
	}
	for _, delay := range []time.Duration{0, 5 * time.Microsecond, 50 * time.Microsecond,
		time.Millisecond, 10 * time.Millisecond} {
		for range 10 {
			f.ready.Store(0)
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				time.Sleep(delay)
				f.set(unix.POLLOUT)
			}()
			if got := poll(t, fd, unix.POLLIN|unix.POLLOUT, long); got != unix.POLLOUT {
				t.Fatalf("woken after %v: %#x", delay, got)
			}
			<-ended
		}
	}
}

// TestPollByMany tests that all clients that sleep on a file are woken.
func TestPollByMany(t *testing.T) {
	n := mountNode(t)
	fd, f := n.open()
	other, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(other)
	for round := range 100 {
		f.ready.Store(0)
		var all sync.WaitGroup
		for i := range 4 {
			all.Go(func() {
				time.Sleep(time.Duration(round*i) * time.Microsecond)
				if got := poll(t, []int{fd, other}[i%2], unix.POLLIN, long); got != unix.POLLIN {
					t.Errorf("sleeper %d: %#x", i, got)
				}
			})
		}
		time.Sleep(time.Duration(round*3) * time.Microsecond)
		f.set(unix.POLLIN)
		all.Wait()
		if t.Failed() {
			return
		}
	}
}

func TestEpoll(t *testing.T) {
	for name, flag := range map[string]uint32{"level": 0, "edge": unix.EPOLLET} {
		t.Run(name, func(t *testing.T) {
			n := mountNode(t)
			fd, f := n.open()
			ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(ep)
			if e := epollAdd(ep, fd, unix.EPOLLIN|flag); e != 0 {
				t.Fatal(e)
			}
			wait := func(timeout time.Duration) int {
				var e [1]unix.EpollEvent
				for {
					n, err := unix.EpollWait(ep, e[:], int(timeout.Milliseconds()))
					if err != unix.EINTR {
						return n
					}
				}
			}
			if wait(0) != 0 {
				t.Error("ready before the first event")
			}
			for i := range 50 {
				go func() {
					time.Sleep(time.Duration(i%5) * 20 * time.Microsecond)
					f.set(unix.POLLIN)
				}()
				if wait(long) != 1 {
					t.Fatalf("event %d is lost", i)
				}
				if again := wait(0); again != 1 && flag == 0 || again > 1 {
					t.Fatalf("a lasting event is reported %d times", again)
				}
				f.ready.Store(0)
				if flag == 0 && wait(0) != 0 {
					t.Fatal("still ready")
				}
			}
		})
	}
}

func TestManyFiles(t *testing.T) {
	for _, workers := range []int{1, 4} {
		n := mountNode(t, func(c *Config) { c.Workers = workers })
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for i := range 50 {
					fd, err := unix.Open(n.path, unix.O_RDWR|unix.O_CLOEXEC, 0)
					if err != nil {
						t.Error(err)
						return
					}
					data := []byte{1, 2, 3, byte(i)}
					if e := ioctl(fd, ioc(in|out, 4, 0), data); e != 0 ||
						!bytes.Equal(data, []byte{2, 3, 4, byte(i + 1)}) {
						t.Errorf("ioctl: %v, %v", e, data)
					}
					poll(t, fd, unix.POLLIN, 0)
					unix.Close(fd)
				}
			})
		}
		all.Wait()
		files := n.opened()
		if len(files) != 400 {
			t.Errorf("%d files were opened, want 400", len(files))
		}
		for _, f := range files {
			wantReleased(t, f)
		}
		n.device.Close()
	}
}

func wantReleased(t *testing.T, f *nodeFile) {
	t.Helper()
	select {
	case <-f.released:
	case <-time.After(long):
		t.Fatal("a closed file is not released")
	}
}

func wantKept(t *testing.T, f *nodeFile) {
	t.Helper()
	select {
	case <-f.released:
		t.Fatal("an open file is released")
	case <-time.After(20 * time.Millisecond):
	}
}

func TestReleaseComesWithTheLastClose(t *testing.T) {
	n := mountNode(t)
	// os.OpenFile tells the runtime's poller about the file, and during that no garbage collection
	// can start until the device has answered. The device is in the same process.
	fd, err := unix.Open(n.path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, f := os.NewFile(uintptr(fd), n.path), n.opened()[0]
	dup, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command("cat") // inherits the descriptor, and ends with its input
	child.ExtraFiles = []*os.File{file}
	input, err := child.StdinPipe()
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	wantKept(t, f)
	unix.Close(dup)
	wantKept(t, f)
	input.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	wantReleased(t, f)
}

func TestPermissions(t *testing.T) {
	n := mountNode(t, func(c *Config) { c.Mode, c.UID, c.GID = 0o640, 12, 34 })
	want := func(mode fs.FileMode, uid, gid uint32) {
		t.Helper()
		st, err := os.Stat(n.path)
		if err != nil {
			t.Fatal(err)
		}
		sys := st.Sys().(*syscall.Stat_t)
		if st.Mode() != mode || sys.Uid != uid || sys.Gid != gid || st.Size() != memorySize {
			t.Errorf("%v of %d:%d, %d bytes, want %v of %d:%d, %d", st.Mode(), sys.Uid, sys.Gid, st.Size(),
				mode, uid, gid, memorySize)
		}
	}
	nobody := func() error {
		c := exec.Command("sh", "-c", `exec 3<>"$0"`, n.path)
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		return c.Run()
	}
	want(0o640, 12, 34)
	for dir := filepath.Dir(n.path); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		os.Chmod(dir, 0o755)
	}
	if nobody() == nil {
		t.Error("another user may open the node")
	}
	if err := errors.Join(os.Chmod(n.path, 0o666), os.Chown(n.path, 56, 78)); err != nil {
		t.Fatal(err)
	}
	want(0o666, 56, 78)
	if err := nobody(); err != nil {
		t.Errorf("another user may not open a node with mode 666: %v", err)
	}
}

// TestUnsupportedCalls tests system calls for files that are of no use for a device.
func TestUnsupportedCalls(t *testing.T) {
	n := mountNode(t)
	copy(n.memory, "kept")
	fd, err := unix.Open(n.path, unix.O_RDWR|unix.O_TRUNC|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC,
		0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	b := make([]byte, 10)
	for name, f := range map[string]func() (int, error){
		"read":   func() (int, error) { return unix.Read(fd, b) },
		"pread":  func() (int, error) { return unix.Pread(fd, b, 0) },
		"write":  func() (int, error) { return unix.Write(fd, b) },
		"pwrite": func() (int, error) { return unix.Pwrite(fd, b, 100) },
	} {
		if n, err := f(); err != unix.EINVAL {
			t.Errorf("%s: %d, %v, want EINVAL", name, n, err)
		}
	}
	unix.Ftruncate(fd, 0)
	unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
	if !bytes.HasPrefix(n.memory, []byte("kept")) {
		t.Error("the memory has been changed")
	}
	if st, err := os.Stat(n.path); err != nil || st.Size() != memorySize {
		t.Errorf("%v, %v, want %d bytes", st, err, memorySize)
	}
}

func TestPathsThatCannotBeServed(t *testing.T) {
	n := mountNode(t)
	dir := t.TempDir()
	for path, want := range map[string]syscall.Errno{
		n.path:                         unix.EBUSY,
		dir:                            unix.EINVAL,
		"/dev/null":                    unix.EBUSY,
		filepath.Join(dir, "no", "no"): unix.ENOENT,
	} {
		d, err := Mount(Config{Path: path, Size: memorySize}, n)
		if !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
		if err == nil {
			d.Close()
		}
	}
	if fd, _ := n.open(); ioctl(fd, ioc(0, 0, 0), nil) != 0 {
		t.Error("the first device does not work any more")
	}
}

func TestCloseLeavesExistingFiles(t *testing.T) {
	for name, before := range map[string]bool{"a new file": false, "an existing file": true} {
		n := mountNode(t, func(c *Config) {
			if before {
				if err := os.WriteFile(c.Path, []byte("mine"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		})
		_, f := n.open()
		n.device.Close()
		n.device.Close()
		wantReleased(t, f)
		if b, err := os.ReadFile(n.path); before != (err == nil) || before && string(b) != "mine" {
			t.Errorf("%s: %q, %v", name, b, err)
		}
	}
}

// TestAfterClose tests the errors of descriptors whose device is closed.
func TestAfterClose(t *testing.T) {
	n := mountNode(t)
	fd, _ := n.open()
	slept := make(chan int16)
	go func() { slept <- poll(t, fd, unix.POLLIN, long) }()
	time.Sleep(5 * time.Millisecond)
	n.device.Close()
	if e := ioctl(fd, ioc(0, 0, 0), nil); e != unix.ENOTCONN && e != unix.ECONNABORTED {
		t.Errorf("ioctl: %v", e)
	}
	if got := <-slept; got&unix.POLLERR == 0 {
		t.Errorf("the sleeping client gets %#x, want POLLERR", got)
	}
}

// TestStaleMount tests that a path whose daemon died without unmounting is unusable until a device
// is mounted there again.
func TestStaleMount(t *testing.T) {
	n := mountNode(t)
	fd, _ := n.open()
	old := n.device
	unix.Write(old.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0}) // as after a kill
	old.workers.Wait()
	old.slow.Wait()
	unix.Close(old.stop)
	unix.Close(old.fd)
	old.stop, old.fd = -1, -1
	var sf unix.Statfs_t
	err := unix.Statfs(n.path, &sf)
	if err != unix.ENOTCONN && err != unix.ECONNABORTED {
		t.Fatalf("the mount is not stale: %v", err)
	}
	if n.device, err = Mount(old.cfg, n); err != nil {
		t.Fatal(err)
	}
	if fd, _ := n.open(); ioctl(fd, ioc(0, 0, 0), nil) != 0 {
		t.Error("the new device does not work")
	}
	old.Close()
	if e := ioctl(fd, ioc(0, 0, 0), nil); e == 0 {
		t.Error("a descriptor of the old device works")
	}
	if _, err := os.Stat(n.path); err != nil {
		t.Errorf("the old device unmounted the new one: %v", err)
	}
}

func TestUnmountedByOthers(t *testing.T) {
	n := mountNode(t)
	if err := unix.Unmount(n.path, 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-n.device.Dead():
	case <-time.After(long):
		t.Fatal("the device does not notice")
	}
}

// TestSuccessorOnTheSamePath tests that an unmounted device lives as long as it is open, and that
// it leaves the next device on the path alone when it ends.
func TestSuccessorOnTheSamePath(t *testing.T) {
	n := mountNode(t)
	fd, _ := n.open()
	if err := unix.Unmount(n.path, unix.MNT_DETACH); err != nil {
		t.Fatal(err)
	}
	if e := ioctl(fd, ioc(0, 0, 0), nil); e != 0 {
		t.Errorf("a client that has it open cannot use it: %v", e)
	}
	old := n.device
	var err error
	if n.device, err = Mount(old.cfg, n); err != nil {
		t.Fatal(err)
	}
	old.Close()
	if _, f := n.open(); f == nil {
		t.Error("the next device does not work")
	}
}

func TestOldKernels(t *testing.T) {
	for name, change := range map[string]func([]byte){
		"no passthrough":     func(b []byte) { le.PutUint32(b[16:], 0) },
		"no second word":     func(b []byte) { le.PutUint32(b[12:], 0) },
		"an older protocol":  func(b []byte) { le.PutUint32(b[4:], protocolMinor-1) },
		"another protocol":   func(b []byte) { le.PutUint32(b, protocolMajor+1) },
		"none of everything": func(b []byte) { clear(b) },
	} {
		b := newBench(t, &echo{})
		body := bodies(0)[opInit]
		change(body)
		if e, _ := b.ask(opInit, body); e != unix.EOPNOTSUPP {
			t.Errorf("%s: %v, want EOPNOTSUPP", name, e)
		}
		if err := <-b.worker.d.ready; !errors.Is(err, unix.EOPNOTSUPP) {
			t.Errorf("%s: Mount fails with %v, want EOPNOTSUPP", name, err)
		}
	}
}
