//go:build linux

package control_test

import (
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/control"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/ifioctl"
	"github.com/seed-48afdc40/netmap/internal/kring"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/wake"
)

// memBase is where a fake client's memory starts. Other addresses are unmapped.
const memBase = 0x10000

// process is a fake client that consists of memory.
type process struct {
	mem    []byte
	writes int
	shares bool // its memory can be shared
	signal chan struct{}
	admin  bool // of the network namespace
}

func newProcess() *process { return &process{mem: make([]byte, 64<<10)} }

func (p *process) at(addr uint64, n int) []byte {
	if addr < memBase || addr > memBase+uint64(len(p.mem)) ||
		uint64(n) > memBase+uint64(len(p.mem))-addr {
		return nil
	}
	return p.mem[addr-memBase:][:n]
}

// Fetch reads the pieces that are in the memory.
func (p *process) Fetch(pieces []kring.Piece) {
	for i := range pieces {
		pieces[i].Bad = p.Read(pieces[i].Addr, pieces[i].To) != nil
	}
}

func (p *process) Read(addr uint64, b []byte) error {
	m := p.at(addr, len(b))
	if m == nil {
		return syscall.EFAULT
	}
	copy(b, m)
	return nil
}

func (p *process) Write(addr uint64, b []byte) error {
	m := p.at(addr, len(b))
	if m == nil {
		return syscall.EFAULT
	}
	p.writes++
	copy(m, b)
	return nil
}

func (p *process) InNetNS(f func() error) error { return f() }

func (p *process) Share(addr uint64, n int) ([]byte, func()) {
	if !p.shares {
		return nil, nil
	}
	return p.at(addr, n), func() {}
}

func (p *process) Extmem(addr, size uint64) (*engine.Extmem, error) {
	m := p.at(addr, int(min(size, 1<<30)))
	if m == nil {
		return nil, syscall.EFAULT
	}
	return &engine.Extmem{Bytes: m, Key: addr, Free: func() error { return nil }}, nil
}

func (p *process) Eventfd(fd int) (int, error) {
	ours, err := unix.Dup(fd)
	if err == nil && !wake.IsEventfd(ours) {
		unix.Close(ours)
		err = syscall.EINVAL
	}
	return ours, err
}

func (p *process) Interrupted() <-chan struct{} { return p.signal }

func (p *process) Arg() (uint64, error) { return bodyAt, nil }
func (p *process) Administers(int) bool { return p.admin }
func (p *process) Apart(f func(ifioctl.Memory, func() bool) error, done func()) error {
	defer done()
	return f(p, func() bool { return false })
}

// put stores a structure and returns its address.
func put[T any](p *process, addr uint64, v T) uint64 {
	copy(p.at(addr, len(abi.Bytes(&v))), abi.Bytes(&v))
	return addr
}

// get loads a structure.
func get[T any](p *process, addr uint64) (v T) {
	copy(abi.Bytes(&v), p.at(addr, len(abi.Bytes(&v))))
	return v
}

// Addresses in a client's memory.
const (
	bodyAt    = memBase + 0x100
	optionsAt = memBase + 0x1000
)

type waker struct{ woken int }

func (w *waker) Wake() { w.woken++ }

// small is a region for a few ports with a few slots.
var small = mem.Config{If: mem.Pool{Num: 16, Size: 1024}, Ring: mem.Pool{Num: 64, Size: 1024},
	Buf: mem.Pool{Num: 1024, Size: 256}, NoHuge: true}

// world is an engine with clients. At the end of a test the clients are closed, and all memory has
// to be back in the pools.
type world struct {
	t       testing.TB
	engine  *engine.Engine
	clients []*control.Client
}

func newWorld(t testing.TB) *world {
	t.Helper()
	e, err := engine.New(engine.Config{Region: small})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, engine: e}
	t.Cleanup(func() {
		w.closeAll()
		e.Close()
	})
	return w
}

func (w *world) closeAll() {
	w.t.Helper()
	for _, c := range w.clients {
		c.Close()
	}
	w.clients = nil
	if u := w.engine.Region().Usage(); !u.Full() {
		w.t.Errorf("objects are missing at the end: %+v", u)
	}
	if p := w.engine.ValePorts(); len(p) != 0 {
		w.t.Errorf("ports are left at the end: %v", p)
	}
}

func (w *world) client() *control.Client {
	c := control.New(w.engine, control.Policy{}, &waker{}, func(string, string, error) {})
	w.clients = append(w.clients, c)
	return c
}

// header returns a valid header for a request.
func header(kind uint16, name string) abi.Header {
	h := abi.Header{Version: abi.Version, Type: kind}
	copy(h.Name[:], name)
	return h
}

// ask sends a request with the body v, and returns the body of the answer. struct{} stands for no
// body.
func ask[T any](c *control.Client, p *process, kind uint16, name string, v T) (T,
	abi.Header, syscall.Errno) {
	h := header(kind, name)
	if len(abi.Bytes(&v)) > 0 {
		h.Body = put(p, bodyAt, v)
	}
	e := c.Ioctl(p, abi.NIOCCTRL, abi.Bytes(&h))
	return get[T](p, bodyAt), h, e
}

// bind binds a client to a port.
func (w *world) bind(c *control.Client, name string, change ...func(*abi.Register)) abi.Register {
	w.t.Helper()
	r := abi.Register{Mode: abi.RegAllNIC, TxSlots: 8, RxSlots: 8}
	for _, f := range change {
		f(&r)
	}
	answer, _, e := ask(c, newProcess(), abi.ReqRegister, name, r)
	if e != 0 {
		w.t.Fatalf("register %s: %v", name, e)
	}
	return answer
}

func wantErrno(t testing.TB, what string, got, want syscall.Errno) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
