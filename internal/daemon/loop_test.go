//go:build linux

package daemon

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// serve serves a device node for a test.
func serve(t testing.TB) (path string, d *Daemon) {
	t.Helper()
	testutil.CheckLeaks(t)
	path = filepath.Join(t.TempDir(), "netmap")
	d, err := Start(Config{
		Engine: engine.Config{Region: mem.Config{Buf: mem.Pool{Num: 8192}, NoHuge: true}},
		Path:   path, Mode: 0o600, Spin: 20 * time.Microsecond, Log: slog.New(slog.DiscardHandler),
	})
	testutil.Require(t, "to mount FUSE with passthrough (root, Linux 6.9)", err)
	t.Cleanup(func() { d.Close() })
	return path, d
}

func openPort(t testing.TB, path, name string, options ...netmap.Option) *netmap.Port {
	t.Helper()
	p, err := netmap.OpenDevice(path, name, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// pass sends numbered frames of 60 bytes from one port to another, and checks each of them.
func pass(t testing.TB, tx, rx *netmap.Port, batch int, frames uint64) {
	ctx := context.Background()
	var wg sync.WaitGroup
	wg.Go(func() {
		for seq := uint64(0); seq < frames; {
			if ready, err := tx.Poll(ctx, netmap.Out, 10*time.Second); ready != netmap.Out {
				t.Errorf("no room after %d frames: %v, %v", seq, ready, err)
				return
			}
			for w := tx.Tx()[0].Window(); ; w.Next() {
				if w.Len() == 0 || seq == frames || batch > 0 && w.Len() <= tx.Tx()[0].NumSlots()-1-batch {
					w.Commit()
					break
				}
				b := w.Buf()
				copy(b, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5")
				for i := 16; i < 56; i += 8 {
					binary.LittleEndian.PutUint64(b[i:], seq+uint64(i))
				}
				w.SetLen(60)
				seq++
			}
			tx.TxSync()
		}
	})
	for seq := uint64(0); seq < frames; {
		if ready, err := rx.Poll(ctx, netmap.In, 10*time.Second); ready != netmap.In {
			t.Errorf("nothing after %d frames: %v, %v", seq, ready, err)
			break
		}
		for _, b := range rx.Rx()[0].Frames() {
			for i := 16; i < 56; i += 8 {
				if got := binary.LittleEndian.Uint64(b[i:]); got != seq+uint64(i) || len(b) != 60 {
					t.Fatalf("frame %d: %d bytes, %d at %d", seq, len(b), got, i)
				}
			}
			seq++
		}
		rx.RxSync()
	}
	wg.Wait()
}

func TestLoopOverDevice(t *testing.T) {
	path, _ := serve(t)
	for _, names := range [][2]string{{"p{1", "p}1"}, {"p}1", "p{1"}, {"vale0:a", "vale0:b"}} {
		tx := openPort(t, path, names[0], netmap.SyncLoop(), netmap.Slots(128, 2048))
		rx := openPort(t, path, names[1], netmap.SyncLoop(), netmap.Slots(128, 2048))
		// Daemon and client are in one process, and each maps every file.
		maps, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(maps), "netmap-csb"); n < 2*3 { // the kernel may merge neighbours
			t.Errorf("%d mappings of CSBs, want three a port: one of the client, two of the daemon:\n%s",
				n, maps)
		}
		frames := uint64(20000)
		if strings.HasPrefix(names[0], "vale") {
			frames = 2000 // they fit in the receiver's ring: a switch drops others
		}
		pass(t, tx, rx, 0, frames)
		tx.Close()
		rx.Close()
	}
}

// TestLoopAndPoll tests that ports with a loop and ports without one exchange frames.
func TestLoopAndPoll(t *testing.T) {
	path, _ := serve(t)
	a := openPort(t, path, "p{1", netmap.SyncLoop())
	b := openPort(t, path, "p}1")
	pass(t, a, b, 32, 20000)
	pass(t, b, a, 32, 20000)
}

func TestLoopPortOfDeviceCloses(t *testing.T) {
	path, d := serve(t)
	p := openPort(t, path, "p{1", netmap.SyncLoop())
	closed := make(chan error)
	time.AfterFunc(20*time.Millisecond, func() { closed <- p.Close() })
	if ready, err := p.Poll(context.Background(), netmap.In, -1); ready != netmap.Err || err != nil {
		t.Errorf("Poll of a port that is closed = %v, %v", ready, err)
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
	// The daemon ends first.
	p = openPort(t, path, "p{1", netmap.SyncLoop())
	time.AfterFunc(20*time.Millisecond, func() { d.Close() })
	if ready, err := p.Poll(context.Background(), netmap.In, 10*time.Second); ready != netmap.Err ||
		err != nil {
		t.Errorf("Poll of a port whose daemon is gone = %v, %v", ready, err)
	}
	if p.TxSync() == nil {
		t.Error("TxSync of a port whose daemon is gone succeeds")
	}
}

// cprogram is a client without package netmap, like a C program. Its CSB may be anywhere.
type cprogram struct {
	t    testing.TB
	fd   int
	mem  []byte // with the CSB: two entries of either kind
	atok []abi.CSBAtok
	ktoa []abi.CSBKtoa
}

func newProgram(t testing.TB, path string, mem []byte) *cprogram {
	t.Helper()
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return &cprogram{t, fd, mem, shm.Slice[abi.CSBAtok](mem, 0, 2),
		shm.Slice[abi.CSBKtoa](mem, 128, 2)}
}

func (c *cprogram) register(name string) {
	c.t.Helper()
	o := abi.OptionCSB{Option: abi.Option{Type: abi.OptCSB}, Atok: shm.Address(c.mem),
		Ktoa: shm.Address(c.mem) + 128}
	r := abi.Register{Mode: abi.RegAllNIC, TxSlots: 8, RxSlots: 8, Flags: abi.NRExclusive}
	if e := request(c.fd, abi.ReqRegister, name, abi.Bytes(&r), abi.Bytes(&o)); e != 0 {
		c.t.Fatalf("REGISTER: %v", e)
	}
}

func (c *cprogram) start(sleepUs uint32, eventfds ...int) <-chan syscall.Errno {
	done := make(chan syscall.Errno, 1)
	go func() {
		var option []byte
		if len(eventfds) > 0 {
			option = append(option, abi.Bytes(&abi.Option{Type: abi.OptSyncKloopEventfds,
				Size: uint64(24 + 4*len(eventfds))})...)
			for _, fd := range eventfds {
				option = binary.LittleEndian.AppendUint32(option, uint32(int32(fd)))
			}
		}
		done <- request(c.fd, abi.ReqSyncKloopStart, "",
			abi.Bytes(&abi.SyncKloopStart{SleepUs: sleepUs}), option)
	}()
	return done
}

// advance hands slots over and waits until the loop has accepted them.
func (c *cprogram) advance(head uint32, kick int) {
	c.t.Helper()
	c.atok[0].Cur.Store(head)
	c.atok[0].Head.Store(head)
	for end := time.Now().Add(10 * time.Second); c.ktoa[0].HwCur.Load() != head; runtime.Gosched() {
		if kick >= 0 && c.ktoa[0].KernNeedKick.Load() != 0 {
			unix.Write(kick, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		}
		if time.Now().After(end) {
			c.t.Fatalf("the loop does not accept head %d: %+v, %+v", head, &c.atok[0], &c.ktoa[0])
		}
	}
}

func newEventfd(t testing.TB) int {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return fd
}

func private(t testing.TB, flags int) []byte {
	t.Helper()
	m, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	return m
}

// memfd maps a memfd, at an offset into it.
func memfd(t testing.TB, seals, protection int, offset int64) []byte {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	unix.Ftruncate(fd, offset+8192)
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(fd, offset, 8192, protection, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	return m
}

const readWrite = unix.PROT_READ | unix.PROT_WRITE

func TestShare(t *testing.T) {
	path, _ := serve(t)
	// package os would use epoll, which blocks in the process that serves the device
	node, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(node)
	region, err := unix.Mmap(node, 0, 8192, readWrite, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(region)
	readOnly := memfd(t, unix.F_SEAL_SHRINK, unix.PROT_READ, 0)
	me := &process{pid: unix.Gettid()}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me.pid = unix.Gettid()
	for _, tt := range []struct {
		name  string
		mem   []byte
		at, n int
		want  bool
	}{
		{"sealed memfd", memfd(t, unix.F_SEAL_SHRINK, readWrite, 0), 0, 128, true},
		{"inside of a page", memfd(t, unix.F_SEAL_SHRINK, readWrite, 0), 64, 192, true},
		{"over the edge of a page", memfd(t, unix.F_SEAL_SHRINK, readWrite, 0), 4032, 128, true},
		{"from an offset on", memfd(t, unix.F_SEAL_SHRINK, readWrite, 8192), 4096, 4096, true},
		{"more than is mapped", memfd(t, unix.F_SEAL_SHRINK, readWrite, 0), 8128, 128 + 1<<30, false},
		{"memfd that may shrink", memfd(t, unix.F_SEAL_GROW, readWrite, 0), 0, 128, false},
		{"read-only mapping", readOnly, 0, 128, false},
		{"private memory", private(t, unix.MAP_PRIVATE), 0, 128, false},
		{"memory shared with children", private(t, unix.MAP_SHARED), 0, 128, false},
		{"Go's memory", make([]byte, 4096), 0, 128, false},
		{"the device", region, 0, 128, false},
	} {
		m, unmap := me.Share(shm.Address(tt.mem)+uint64(tt.at), tt.n)
		if (m != nil) != tt.want {
			t.Errorf("%s: shared %v, want %v", tt.name, m != nil, tt.want)
		}
		if m == nil {
			continue
		}
		if len(m) != tt.n {
			t.Errorf("%s: %d bytes, want %d", tt.name, len(m), tt.n)
		}
		m[0], m[tt.n-1] = 1, 2
		if tt.mem[tt.at] != 1 || tt.mem[tt.at+tt.n-1] != 2 {
			t.Errorf("%s: one side does not see what the other writes", tt.name)
		}
		unmap()
	}
	if m, _ := me.Share(64, 128); m != nil {
		t.Error("memory at 64 is shared")
	}
	if m, _ := (&process{}).Share(shm.Address(readOnly), 128); m != nil {
		t.Error("memory of no process is shared")
	}
}

func TestEventfd(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me := &process{pid: unix.Gettid()}
	fd := newEventfd(t)
	ours, err := me.Eventfd(fd)
	if err != nil {
		t.Fatal(err)
	}
	unix.Write(ours, []byte{3, 0, 0, 0, 0, 0, 0, 0})
	unix.Close(ours)
	var b [8]byte
	if n, err := unix.Read(fd, b[:]); n != 8 || b[0] != 3 {
		t.Errorf("read %v, %v", b, err)
	}
	for _, tt := range []struct {
		p    *process
		fd   int
		want syscall.Errno
	}{{me, 1 << 20, unix.EBADF}, {me, 0, unix.EINVAL}, {&process{}, fd, unix.EPERM}} {
		if _, err := tt.p.Eventfd(tt.fd); !errors.Is(err, tt.want) {
			t.Errorf("descriptor %d of %d: %v, want %v", tt.fd, tt.p.pid, err, tt.want)
		}
	}
}

func TestCopyingDoesNotAllocate(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me := &process{pid: unix.Gettid()}
	m, b := private(t, unix.MAP_PRIVATE), make([]byte, 256)
	at := shm.Address(m)
	if n := testing.AllocsPerRun(100, func() { me.Read(at, b); me.Write(at, b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCopy(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me := &process{pid: unix.Gettid()}
	m, to := private(b, unix.MAP_PRIVATE), make([]byte, 128)
	at := shm.Address(m)
	b.Run("read", func(b *testing.B) {
		for b.Loop() {
			me.Read(at, to)
		}
	})
	b.Run("write", func(b *testing.B) {
		for b.Loop() {
			me.Write(at, to)
		}
	})
}

// TestLoopOfAnyMemory tests CSBs in all kinds of memory. Memory that cannot be shared is copied.
func TestLoopOfAnyMemory(t *testing.T) {
	path, d := serve(t)
	for name, mem := range map[string][]byte{
		"private": private(t, unix.MAP_PRIVATE), "shared": private(t, unix.MAP_SHARED),
		"memfd":                 memfd(t, unix.F_SEAL_SHRINK, readWrite, 0),
		"memfd that may shrink": memfd(t, unix.F_SEAL_GROW, readWrite, 0),
	} {
		c := newProgram(t, path, mem)
		c.register("vale0:" + name[:3])
		kick, irq := newEventfd(t), newEventfd(t)
		for _, fds := range [][]int{nil, {kick, irq, kick, irq}} {
			done := c.start(50, fds...)
			for head := range uint32(20) {
				if fds == nil {
					c.advance(head%8, -1)
				} else {
					c.advance(head%8, kick)
				}
			}
			if e := request(c.fd, abi.ReqSyncKloopStop, "", nil, nil); e != 0 {
				t.Errorf("%s: STOP: %v", name, e)
			}
			if e := <-done; e != 0 {
				t.Errorf("%s: START: %v", name, e)
			}
			c.advanceBack()
		}
		unix.Close(c.fd)
		end := time.Now().Add(10 * time.Second)
		for len(d.Engine().Status().Ports) > 0 && time.Now().Before(end) {
			time.Sleep(time.Millisecond)
		}
	}
}

// advanceBack puts the program's words where the loop left the ring.
func (c *cprogram) advanceBack() {
	h := c.ktoa[0].HwCur.Load()
	c.atok[0].Cur.Store(h)
	c.atok[0].Head.Store(h)
}

// TestHelperLoops is a client in another process, which runs loops until it is killed.
func TestHelperLoops(t *testing.T) {
	path := os.Getenv("NETMAP_NODE")
	if path == "" || os.Getenv("NETMAP_SEND") != "" {
		t.Skip("runs only as the client of another test")
	}
	openPort(t, path, "vale9:shared", netmap.SyncLoop())
	c := newProgram(t, path, private(t, unix.MAP_PRIVATE))
	c.register("vale9:copied")
	kick, irq := newEventfd(t), newEventfd(t)
	c.start(0, kick, irq, kick, irq)
	for head := uint32(0); ; head++ {
		if c.advance(head%8, kick); head == 20 {
			fmt.Println("ready")
		}
	}
}

// TestClientWithLoopIsKilled tests that a client that is killed leaves nothing behind.
func TestClientWithLoopIsKilled(t *testing.T) {
	path, d := serve(t)
	testutil.CheckLeaks(t) // while the daemon runs
	for range 3 {
		cmd := child(t, "TestHelperLoops", "NETMAP_NODE="+path)
		if n := len(d.Engine().Status().Ports); n != 2 {
			t.Errorf("%d ports are open, want 2", n)
		}
		cmd.Process.Kill()
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("the client was killed and still exists")
		}
		end := time.Now().Add(10 * time.Second)
		for ; len(d.Engine().Status().Ports) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("the killed client's ports still exist")
			}
		}
	}
}

// child runs one of the helpers below in another process, and waits until it prints that it is
// ready.
func child(t testing.TB, test string, environment ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	var b [64]byte
	for seen := ""; !strings.Contains(seen, "ready"); {
		n, err := out.Read(b[:])
		if seen += string(b[:n]); err != nil {
			t.Fatalf("the other process ended: %s", seen)
		}
	}
	return cmd
}

// TestHelperServes is a daemon in another process.
func TestHelperServes(t *testing.T) {
	path := os.Getenv("NETMAP_SERVE")
	if path == "" {
		t.Skip("runs only as the daemon of a benchmark")
	}
	d, err := Start(Config{Path: path, Mode: 0o600, Spin: 20 * time.Microsecond,
		Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("ready")
	d.Wait(context.Background())
}

// TestHelperSends is a sender in another process.
func TestHelperSends(t *testing.T) {
	how, batch := os.Getenv("NETMAP_SEND"), 0
	if how == "" {
		t.Skip("runs only as the sender of a benchmark")
	}
	fmt.Sscan(os.Getenv("NETMAP_BATCH"), &batch)
	p := openPort(t, os.Getenv("NETMAP_NODE"), "p{1", loopIf(how)...)
	fmt.Println("ready")
	for {
		p.Poll(context.Background(), netmap.Out, -1)
		ring := p.Tx()[0]
		first, rest := ring.Batch(batch)
		for _, slots := range [2][]abi.Slot{first, rest} {
			for i := range slots {
				binary.LittleEndian.PutUint64(ring.Buf(slots[i].BufIdx), uint64(i))
				slots[i].Len = 60
			}
		}
		ring.Advance(len(first) + len(rest))
		if p.TxSync() != nil {
			return
		}
	}
}

func loopIf(how string) []netmap.Option {
	if how == "loop" {
		return []netmap.Option{netmap.SyncLoop()}
	}
	return nil
}

// BenchmarkDevice runs daemon, sender and receiver in a process each: with a loop for each port,
// and with poll.
func BenchmarkDevice(b *testing.B) {
	for _, batch := range []int{32, 256, 1023} {
		for _, how := range []string{"poll", "loop"} {
			b.Run(fmt.Sprintf("batch=%d/%s", batch, how), func(b *testing.B) {
				path := filepath.Join(b.TempDir(), "netmap")
				if unix.Getuid() != 0 {
					testutil.Require(b, "root, to mount FUSE", unix.EPERM)
				}
				// The killed daemon leaves its mount.
				b.Cleanup(func() { unix.Unmount(path, unix.MNT_DETACH) })
				child(b, "TestHelperServes", "NETMAP_SERVE="+path)
				rx := openPort(b, path, "p}1", loopIf(how)...)
				child(b, "TestHelperSends", "NETMAP_NODE="+path, "NETMAP_SEND="+how,
					fmt.Sprint("NETMAP_BATCH=", batch))
				b.ResetTimer()
				receiveFrames(b, rx)
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds()/1e6, "Mframes/s")
			})
		}
	}
}

// receiveFrames receives at least b.N frames, and reads the start of each.
func receiveFrames(b *testing.B, p *netmap.Port) {
	b.Helper()
	ring, sum := p.Rx()[0], uint64(0)
	for n := 0; n < b.N; {
		if ready, _ := p.Poll(context.Background(), netmap.In, 10*time.Second); ready != netmap.In {
			b.Fatalf("nothing after %d frames", n)
		}
		first, rest := ring.Batch(ring.NumSlots())
		for _, slots := range [2][]abi.Slot{first, rest} {
			for i := range slots {
				sum += binary.LittleEndian.Uint64(ring.Buf(slots[i].BufIdx))
			}
		}
		ring.Advance(len(first) + len(rest))
		n += len(first) + len(rest)
	}
}

// TestPortsOfDaemonThatEnded tests that the errors of open ports say what to do when the daemon
// ends.
func TestPortsOfDaemonThatEnded(t *testing.T) {
	path, d := serve(t)
	p := openPort(t, path, "vale0:a")
	defer p.Close()
	d.Close()
	for op, err := range map[string]error{"txsync": p.TxSync(), "rxsync": p.RxSync()} {
		if err == nil || !strings.Contains(err.Error(), "start netmap serve again") {
			t.Errorf("%s: %v, want advice", op, err)
		}
	}
}
