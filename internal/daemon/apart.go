//go:build linux

package daemon

import (
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed-48afdc40/netmap/internal/fault"
	"github.com/seed-48afdc40/netmap/internal/ifioctl"
)

// apart runs calls that may sleep on a client's memory for as long as the client likes: the memory
// may be a file of a file system that the client serves, or a userfaultfd may fetch it and never
// answer. Only the daemon's end ends such a sleep. So each call has a thread of its own, and each
// user may have a few of them.
type apart struct {
	mu    sync.Mutex
	users map[uint32]int // number of threads, by user id
}

const (
	// threadsPerUser is how many calls may sleep on the memory of one user's processes at once.
	threadsPerUser = 8
	// apartLimit is how long a request waits for a thread and the end of its call.
	apartLimit = 5 * time.Second
)

// take takes one of the user's threads. It returns false if all are in use.
func (a *apart) take(uid uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users == nil {
		a.users = map[uint32]int{}
	}
	if a.users[uid] >= threadsPerUser {
		return false
	}
	a.users[uid]++
	return true
}

func (a *apart) give(uid uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.users[uid]--; a.users[uid] == 0 {
		delete(a.users, uid)
	}
}

// Apart implements control.Process.
func (p *process) Apart(f func(m ifioctl.Memory, ended func() bool) error, done func()) error {
	over := time.NewTimer(apartLimit)
	defer over.Stop()
	m, err := p.addressSpace()
	if err == nil {
		err = p.awaitThread(over.C)
	}
	if err != nil {
		m.close()
		done()
		return err
	}
	answer := make(chan error, 1)
	go func() {
		defer p.apart.give(p.call.UID)
		defer done()
		defer m.close()
		answer <- f(m, m.left.Load)
	}()
	select {
	case err = <-answer:
	case <-p.interrupted:
		err = syscall.EINTR
	case <-over.C:
		err = p.noAnswer()
	}
	m.left.Store(true)
	return err
}

// awaitThread waits for a free thread.
func (p *process) awaitThread(over <-chan time.Time) error {
	for !p.apart.take(p.call.UID) {
		select {
		case <-p.interrupted:
			return syscall.EINTR
		case <-over:
			return p.noAnswer()
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (p *process) noAnswer() error {
	return fault.New(syscall.ETIMEDOUT, "reach the memory of", p.who(), "it does not answer")
}

func (p *process) who() string { return fmt.Sprint("process ", p.pid) }

// addressSpace is the memory of a process during a request, and afterwards. After the answer, the
// process may end and another one get its number, or it may execute another program. What is read
// then is ignored. Writes use the file, which refers to the memory at the time of the request.
// Reads do not use the file, because it returns nothing where a userfaultfd has to be asked.
type addressSpace struct {
	process *process
	file    *os.File
	left    atomic.Bool // the request has been answered
}

func (p *process) addressSpace() (*addressSpace, error) {
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", p.pid), os.O_RDWR, 0)
	if err != nil {
		return nil, fault.Wrap(err, "reach the memory of", p.who(),
			"the daemon needs CAP_SYS_PTRACE, and to see the client's process")
	}
	return &addressSpace{process: p, file: f}, nil
}

func (m *addressSpace) close() {
	if m != nil {
		m.file.Close()
	}
}

// Read implements ifioctl.Memory.
func (m *addressSpace) Read(addr uint64, b []byte) error {
	err := m.process.Read(addr, b)
	if m.left.Load() {
		return syscall.EINTR
	}
	return err
}

// Write implements ifioctl.Memory.
func (m *addressSpace) Write(addr uint64, b []byte) error {
	if int64(addr) < 0 || int64(addr)+int64(len(b)) < 0 {
		return syscall.EFAULT
	}
	if n, _ := m.file.WriteAt(b, int64(addr)); n != len(b) {
		return syscall.EFAULT
	}
	return nil
}

// Arg implements control.Process.
func (p *process) Arg() (uint64, error) {
	if p.call == nil || p.call.Narrow {
		return 0, syscall.EOPNOTSUPP
	}
	return p.call.Arg, nil
}
