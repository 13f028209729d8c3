//go:build linux

package xsk

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"golang.org/x/sys/unix"
)

// etherType marks the frames of these tests (Local Experimental Ethertype 1).
const etherType = 0x88b5

// newMemory is memory for so many buffers.
func newMemory(t testing.TB, buffers, stride int) *Memory {
	t.Helper()
	mem, err := unix.Mmap(-1, 0, buffers*stride, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(mem) })
	return &Memory{Mem: mem, Stride: uint32(stride)}
}

// newVeth is a veth pair of two namespaces: ends[0] can reach ends[1].
func newVeth(t testing.TB, queues int) (ends [2]end) {
	t.Helper()
	ends[0].ns, ends[1].ns = testutil.NewNS(t), testutil.NewNS(t)
	ends[0].index, ends[1].index = testutil.Veth(t, ends[0].ns, "left", ends[1].ns, "right", queues)
	return ends
}

// end is one end of a veth pair.
type end struct {
	ns    *testutil.NS
	index int
}

// attach attaches a program to the end until the test ends.
func (e end) attach(t testing.TB, queues int, mode Mode) (p *Program) {
	t.Helper()
	var err error
	e.ns.Do(func() { p, err = Attach(e.index, queues, mode) })
	testutil.Require(t, "XDP programs (root)", err)
	t.Cleanup(func() { p.Close() })
	return p
}

// open opens a socket on the end until the test ends.
func (e end) open(t testing.TB, c Config) *Socket {
	t.Helper()
	s, err := e.tryOpen(c)
	testutil.Require(t, "AF_XDP sockets (root)", err)
	t.Cleanup(func() { s.Close() })
	return s
}

func (e end) tryOpen(c Config) (s *Socket, err error) {
	c.Ifindex = e.index
	e.ns.Do(func() { s, err = Open(c) })
	return s, err
}

// put is Put that must work.
func put(t testing.TB, p *Program, queue int, s *Socket) {
	t.Helper()
	if err := p.Put(queue, s); err != nil {
		t.Fatal(err)
	}
}

// station is a socket with buffers of its own. It checks that the kernel gives each buffer back
// once.
type station struct {
	t     testing.TB
	s     *Socket
	m     *Memory
	free  []uint32
	mine  map[uint32]bool // buffers of the station; true while the kernel has them
	batch uint32
}

// newStation takes over a socket and the buffers first..first+n-1.
func newStation(t testing.TB, s *Socket, m *Memory, first, n uint32) *station {
	st := &station{t: t, s: s, m: m, mine: make(map[uint32]bool), batch: 64}
	for b := first; b < first+n; b++ {
		st.free = append(st.free, b)
		st.mine[b] = false
	}
	return st
}

func (st *station) get() uint32 {
	b := st.free[len(st.free)-1]
	st.free = st.free[:len(st.free)-1]
	st.mine[b] = true
	return b
}

// put takes a buffer back from the kernel, which must have had it.
func (st *station) put(b uint32) {
	st.t.Helper()
	if !st.mine[b] {
		st.t.Fatalf("kernel gave back buffer %d, which it did not have", b)
	}
	st.mine[b] = false
	st.free = append(st.free, b)
}

// fill posts n buffers to receive into.
func (st *station) fill(n uint32) {
	st.t.Helper()
	if got := st.s.FillRoom(n); got != n {
		st.t.Fatalf("FillRoom(%d) = %d", n, got)
	}
	for i := range n {
		st.s.FillAt(i, st.get())
	}
	st.s.FillCommit(n)
	st.s.KickRx()
}

// send commits as many of the frames as there is room for and returns how many. A frame longer than
// a buffer takes several buffers.
func (st *station) send(frames [][]byte) (sent int) {
	st.t.Helper()
	st.reap()
	room, used := st.s.TxRoom(min(uint32(len(st.free)), st.batch)), uint32(0)
	for _, f := range frames {
		if uint32((len(f)-1)/int(st.m.MaxTx())) >= room-used {
			break
		}
		for more := true; more; used++ {
			b := st.get()
			n := copy(st.buffer(b)[:st.m.MaxTx()], f)
			f = f[n:]
			more = len(f) > 0
			st.s.TxAt(used, b, 0, uint32(n), more)
		}
		sent++
	}
	st.s.TxCommit(used)
	if _, err := st.s.KickTx(); err != nil {
		st.t.Fatalf("KickTx: %v", err)
	}
	return sent
}

// reap takes back what was sent.
func (st *station) reap() {
	st.t.Helper()
	n := st.s.Done(st.batch)
	for i := range n {
		st.put(st.s.DoneAt(i))
	}
	st.s.DoneRelease(n)
}

// receive returns copies of the frames that are there, and posts their buffers again.
func (st *station) receive() (frames [][]byte) {
	st.t.Helper()
	n := st.s.RxWhole(st.s.RxReady(st.batch))
	var f []byte
	for i := range n {
		b, off, length, more := st.s.RxAt(i)
		if off != 0 {
			st.t.Fatalf("frame in buffer %d at offset %d, want 0", b, off)
		}
		st.put(b)
		if f = append(f, st.buffer(b)[:length]...); !more {
			frames = append(frames, f)
			f = nil
		}
	}
	st.s.RxRelease(n)
	st.fill(n)
	return frames
}

// txQueue is the queue of one end of a veth pair whose frames arrive at queue rx of the other end.
// In generic mode it is rx+1 if rx > 0: the network stack reads the number that veth records of the
// transmit queue as the receive queue plus one.
func txQueue(mode Mode, rx int) int {
	if mode == Generic && rx > 0 {
		return rx + 1
	}
	return rx
}

// passAll is a program that passes all frames to the host.
func passAll(t *testing.T) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "pass_all", Type: ebpf.XDP, License: "MIT",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	})
	testutil.Require(t, "XDP programs (root)", err)
	return p
}

func (st *station) buffer(b uint32) []byte {
	at := uint64(b) * uint64(st.m.Stride)
	return st.m.Mem[at : at+uint64(st.m.Stride)]
}

// frame is a frame that differs from all others in its tag, with a payload that depends on it.
func frame(tag uint32, length int) []byte {
	f := make([]byte, length)
	copy(f, "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01")
	binary.BigEndian.PutUint16(f[12:], etherType)
	binary.BigEndian.PutUint32(f[14:], tag)
	for i := 18; i < length; i++ {
		f[i] = byte(tag) ^ byte(i*7)
	}
	return f
}

// frames are n frames of all lengths between 60 and longest.
func frames(tag uint32, n, longest int) [][]byte {
	fs := make([][]byte, n)
	for i := range fs {
		fs[i] = frame(tag<<16|uint32(i), 60+i*37%(longest-59))
	}
	return fs
}

// eventually waits for what the kernel may do a little later.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not after 2 s", what)
		}
	}
}

// exchange sends all frames from one station to another, which must receive them whole and in
// order.
func exchange(t *testing.T, from, to *station, want [][]byte) {
	t.Helper()
	sent, received := 0, 0
	for end := time.Now().Add(5 * time.Second); received < len(want); {
		// No more frames are sent than the receiver has buffers for.
		if on := sent - received; on < int(to.batch) {
			sent += from.send(want[sent:min(len(want), sent+int(to.batch)-on)])
		}
		for _, f := range to.receive() {
			if !bytes.Equal(f, want[received]) {
				t.Fatalf("frame %d of %d bytes is not the one of %d bytes that was sent", received, len(f),
					len(want[received]))
			}
			received++
		}
		if time.Now().After(end) {
			st, _ := to.s.Stats()
			t.Fatalf("received %d of %d frames, sent %d, receiver says %+v", received, len(want), sent, st)
		}
	}
}

// settle waits until the kernel has returned everything that was sent, and checks that it has all
// but rx buffers back.
func (st *station) settle(t *testing.T, rx int) {
	t.Helper()
	eventually(t, "all sent buffers are back", func() bool {
		if _, err := st.s.KickTx(); err != nil {
			t.Fatalf("KickTx: %v", err)
		}
		st.reap()
		return len(st.free) == len(st.mine)-rx
	})
}
