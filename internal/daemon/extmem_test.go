//go:build linux

package daemon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/shm"
	"github.com/seed-48afdc40/netmap/internal/testutil"
)

// mapped maps a file.
func mapped(t testing.TB, fd int, size int) []byte {
	t.Helper()
	m, err := unix.Mmap(fd, 0, size, readWrite, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(m) })
	return m
}

// file makes a file of two pages without a name.
func file(t testing.TB, dir string) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, fmt.Sprint("netmap-test-", os.Getpid())))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	os.Remove(f.Name())
	if err := f.Truncate(8192); err != nil {
		t.Fatal(err)
	}
	return f
}

// unsealable makes a memfd that cannot be sealed.
func unsealable(t testing.TB) []byte {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	unix.Ftruncate(fd, 8192)
	return mapped(t, fd, 8192)
}

// TestExtmem tests which memory can be a region: memory that nobody can take away.
func TestExtmem(t *testing.T) {
	path, _ := serve(t)
	// package os would use epoll, which blocks in the process that serves the device
	node, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(node)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	me := &process{pid: unix.Gettid()}
	for _, tt := range []struct {
		name     string
		mem      []byte
		at, size uint64
		want     syscall.Errno
	}{
		{"sealed memfd", memfd(t, unix.F_SEAL_SHRINK, readWrite, 0), 0, 8192, 0},
		{"memfd from an offset on", memfd(t, unix.F_SEAL_SHRINK, readWrite, 8192), 4096, 4096, 0},
		{"memfd that can be sealed", memfd(t, 0, readWrite, 0), 0, 8192, 0},
		{"memfd that cannot", unsealable(t), 0, 8192, unix.EOPNOTSUPP},
		{"anonymous memory that is shared", private(t, unix.MAP_SHARED), 0, 4096, 0},
		{"private memory", private(t, unix.MAP_PRIVATE), 0, 4096, unix.EOPNOTSUPP},
		{"a file in a tmpfs", mapped(t, int(file(t, "/dev/shm").Fd()), 8192), 0, 8192, unix.EOPNOTSUPP},
		{"a file", mapped(t, int(file(t, t.TempDir()).Fd()), 8192), 0, 8192, unix.EOPNOTSUPP},
		{"the device", mapped(t, node, 8192), 0, 8192, unix.EOPNOTSUPP},
		{"read-only", memfd(t, unix.F_SEAL_SHRINK, unix.PROT_READ, 0), 0, 8192, unix.EFAULT},
		{"more than is mapped", memfd(t, 0, readWrite, 0), 0, 1 << 40, unix.EFAULT},
		{"more than there is", memfd(t, 0, readWrite, 0), 0, ^uint64(0), unix.EINVAL},
		{"nothing", memfd(t, 0, readWrite, 0), 0, 0, unix.EINVAL},
		{"not at a page", memfd(t, 0, readWrite, 0), 64, 4096, unix.EINVAL},
	} {
		x, err := me.Extmem(shm.Address(tt.mem)+tt.at, tt.size)
		if got := fault.Errno(err); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err != nil {
			continue
		}
		x.Bytes[0] = 0x77
		if uint64(len(x.Bytes)) != tt.size || tt.mem[tt.at] != 0x77 {
			t.Errorf("%s: %d bytes, or one side does not see what the other writes", tt.name, len(x.Bytes))
		}
		if y, err := me.Extmem(shm.Address(tt.mem)+tt.at, tt.size); err != nil || y.Key != x.Key {
			t.Errorf("%s: the same memory has another key the second time: %v", tt.name, err)
		} else {
			y.Free()
		}
		x.Free()
	}
	if _, err := me.Extmem(4096, 4096); fault.Errno(err) != unix.EFAULT {
		t.Errorf("unmapped memory: %v", err)
	}
	if _, err := (&process{}).Extmem(4096, 4096); fault.Errno(err) != unix.EPERM {
		t.Errorf("memory of no process: %v", err)
	}
}

// TestHelperTakesMemoryAway is a client that damages its memory in every way while others send to
// its port.
func TestHelperTakesMemoryAway(t *testing.T) {
	path := os.Getenv("NETMAP_TAKE")
	if path == "" {
		t.Skip("runs only as the client of another test")
	}
	const size = 4 << 20
	fd, err := unix.MemfdCreate("hostile", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		t.Fatal(err)
	}
	unix.Ftruncate(fd, size)
	m := mapped(t, fd, size)
	again := mapped(t, fd, size)
	pools := abi.PoolsInfo{Ring: abi.PoolInfo{ObjTotal: 8, ObjSize: 20480},
		Buf: abi.PoolInfo{ObjTotal: 1500, ObjSize: 2048}}
	p := openPort(t, path, "vale0:hostile", netmap.ExternalMemory(m, pools), netmap.Slots(256, 256))
	p.Tx()[0].Send(make([]byte, 60))
	fmt.Println("ready")
	for i := 0; ; i++ {
		switch i % 8 {
		case 0, 1:
			if err := unix.Ftruncate(fd, int64(i%2)*4096); err == nil {
				fmt.Println("the file shrinks") // no process survives that
			}
		case 2:
			unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, size)
		case 3:
			unix.Madvise(again, unix.MADV_REMOVE)
		case 4:
			for k := range again { // all indexes, offsets and slots are invalid
				again[k] = byte(k * i)
			}
		case 5:
			unix.Madvise(m, unix.MADV_DONTNEED)
		case 6:
			unix.Mprotect(again, unix.PROT_NONE)
			unix.Mprotect(again, readWrite)
		case 7:
			unix.Ftruncate(fd, size*2)
		}
		p.TxSync()
		p.RxSync()
	}
}

// TestMemoryTakenAway tests that the daemon and its other clients survive whatever a client does to
// its external memory.
func TestMemoryTakenAway(t *testing.T) {
	path, d := serve(t)
	testutil.CheckLeaks(t)
	ctx := context.Background()
	for range 3 {
		hostile := child(t, "TestHelperTakesMemoryAway", "NETMAP_TAKE="+path)
		a, b := openPort(t, path, "vale0:a"), openPort(t, path, "vale0:b")
		got := 0
		for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); {
			a.Tx()[0].Send([]byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x88\xb5 to everybody"))
			if err := a.TxSync(); err != nil {
				t.Fatal(err)
			}
			if _, err := b.Poll(ctx, netmap.In, time.Second); err != nil {
				t.Fatal(err)
			}
			for range b.Rx()[0].Frames() {
				got++
			}
		}
		if got == 0 {
			t.Error("no frames pass between the other clients")
		}
		hostile.Process.Kill()
		hostile.Wait()
		a.Close()
		b.Close()
		end := time.Now().Add(10 * time.Second)
		for ; len(d.Engine().Status().Ports) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("ports are still open")
			}
		}
	}
}
