//go:build linux

package daemon

import (
	"fmt"
	"os"
	"syscall"

	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/internal/chardev"
	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/ns"
)

// process is a client, known by the thread that makes a request. The thread waits in the kernel for
// the answer, even when it is killed, and a process cannot execute another program while one of its
// threads waits. So during the request, and no longer, the memory is that of the client.
type process struct {
	pid         int
	interrupted <-chan struct{} // of this request
	call        *chardev.Caller // nil for a request that must not take long
	apart       *apart
}

// Read copies from the client's memory.
func (p *process) Read(addr uint64, b []byte) error {
	return p.copy(unix.SYS_PROCESS_VM_READV, addr, b)
}

// Write copies to the client's memory.
func (p *process) Write(addr uint64, b []byte) error {
	return p.copy(unix.SYS_PROCESS_VM_WRITEV, addr, b)
}

func (p *process) copy(call uintptr, addr uint64, b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if p.pid == 0 {
		return fault.New(syscall.EPERM, "reach the memory of", "client",
			"its process is not visible from the daemon's pid namespace")
	}
	n, e := copyMemory(call, p.pid, addr, b)
	switch {
	case e != 0:
		return e
	case n != len(b):
		return syscall.EFAULT
	}
	return nil
}

// most is how many pieces one system call fetches.
const most = 64

// Fetch copies pieces of the client's memory. It continues after a piece that cannot be read.
func (p *process) Fetch(pieces []kring.Piece) {
	for len(pieces) > 0 {
		n := min(len(pieces), most)
		pieces = pieces[p.fetch(pieces[:n]):]
	}
}

// fetch copies pieces up to one that cannot be read, which it marks. It returns how many are
// finished.
func (p *process) fetch(pieces []kring.Piece) int {
	var local [most]unix.Iovec
	var remote [most]unix.RemoteIovec
	k := 0
	for _, piece := range pieces {
		if len(piece.To) > 0 {
			local[k].Base = &piece.To[0]
			local[k].SetLen(len(piece.To))
			remote[k] = unix.RemoteIovec{Base: uintptr(piece.Addr), Len: len(piece.To)}
			k++
		}
	}
	got := 0
	if k > 0 && p.pid > 0 {
		if n, err := unix.ProcessVMReadv(p.pid, local[:k], remote[:k], 0); err == nil {
			got = n
		}
	}
	for i := range pieces {
		if got < len(pieces[i].To) {
			pieces[i].Bad = true
			return i + 1
		}
		got -= len(pieces[i].To)
	}
	return len(pieces)
}

// Interrupted is closed when the client has a pending signal and needs its answer.
func (p *process) Interrupted() <-chan struct{} { return p.interrupted }

// InNetNS calls f in the client's network namespace.
func (p *process) InNetNS(f func() error) error {
	who := fmt.Sprint("process ", p.pid)
	theirs, err := netns.GetFromPath(fmt.Sprintf("/proc/%d/ns/net", p.pid))
	if err != nil {
		return fault.Wrap(err, "find network namespace of", who, "the daemon needs CAP_SYS_PTRACE")
	}
	defer theirs.Close()
	return ns.Do(theirs, who, f)
}

// commandOf returns the name of a client's program, for logs.
func commandOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil || len(b) == 0 {
		return "?"
	}
	return string(b[:len(b)-1])
}
