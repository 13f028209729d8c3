//go:build linux

package xsk

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ringSize is small, so that the rings of the tests wrap around often.
const ringSize = 128

// half is the number of buffers that a station receives into, and of those that it sends from.
const half = ringSize / 2

// newStations returns stations for all queues of both ends. All buffers are in one memory: those of
// different stations, and those for sending and receiving, are neighbours.
func newStations(t *testing.T, ends [2]end, queues int, mode Mode, stride int) (at [2][]*station,
	programs [2]*Program) {
	t.Helper()
	m := newMemory(t, 1+2*queues*ringSize, stride)
	next := uint32(1)
	for i, e := range ends {
		p := e.attach(t, queues, mode)
		programs[i] = p
		for q := range queues {
			s := e.open(t, Config{Queue: q, Size: ringSize, Rx: true, Tx: true, Mode: mode, Memory: m})
			put(t, p, q, s)
			st := newStation(t, s, m, next, ringSize)
			st.batch = half
			st.fill(half)
			at[i] = append(at[i], st)
			next += ringSize
		}
	}
	return at, programs
}

func TestBothWays(t *testing.T) {
	tests := []struct {
		mode   Mode
		queues int
		stride int
	}{
		{Native, 1, 2048},
		{Native, 4, 2048},
		{Native, 1, 1856}, // does not divide anything
		{Native, 1, 4096},
		{Native, 1, 8192},
		{Generic, 1, 2048},
		{Generic, 4, 2048},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v/queues=%d/stride=%d", tt.mode, tt.queues, tt.stride), func(t *testing.T) {
			testutil.CheckLeaks(t)
			at, _ := newStations(t, newVeth(t, tt.queues), tt.queues, tt.mode, tt.stride)
			for q := range tt.queues {
				from := txQueue(tt.mode, q)
				if from >= tt.queues {
					break
				}
				exchange(t, at[0][from], at[1][q], frames(uint32(2*q), 1000, 1514))
				exchange(t, at[1][from], at[0][q], frames(uint32(2*q+1), 1000, 1514))
			}
			for _, stations := range at {
				for q, st := range stations {
					if st.s.ZeroCopy() {
						t.Error("veth is zero-copy")
					}
					st.settle(t, half)
					if n := st.s.RxReady(1); n != 0 {
						t.Errorf("queue %d received frames of other queues", q)
					}
				}
			}
		})
	}
}

// TestLongFrames sends frames as long as a buffer, and longer ones, which take several, through
// interfaces that take them.
func TestLongFrames(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		for _, stride := range []int{2048, 2112, 4096, 8192} {
			t.Run(fmt.Sprintf("%v, %d", mode, stride), func(t *testing.T) {
				testutil.CheckLeaks(t)
				ends := newVeth(t, 1)
				setMTU(t, ends[0], "left", 9000)
				setMTU(t, ends[1], "right", 9000)
				at, _ := newStations(t, ends, 1, mode, stride)
				left, right := at[0][0], at[1][0]
				if !left.s.Multi() || !right.s.Multi() {
					testutil.Require(t, "packets of several buffers (Linux 6.6)", unix.EOPNOTSUPP)
				}
				var fs [][]byte
				for i, n := range []int{2047, 2048, 2049, 60, 3839, 3840, 3841, 4096, 4097, 9014, 60, 7680, 61,
					62, 9000} {
					fs = append(fs, frame(uint32(i), n))
				}
				for range 20 {
					exchange(t, left, right, fs)
					exchange(t, right, left, fs)
				}
			})
		}
	}
}

// TestPieceRunsOver sends a piece that runs into the next buffer, which the kernel allows: chunks
// overlap.
func TestPieceRunsOver(t *testing.T) {
	testutil.CheckLeaks(t)
	at, _ := newStations(t, newVeth(t, 1), 1, Native, 2048)
	left, right := at[0][0], at[1][0]
	b := left.get()
	left.s.TxAt(0, b, 2000, 100, false)
	left.s.TxCommit(1)
	if _, err := left.s.KickTx(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(time.Second); len(right.receive()) == 0; {
		if time.Now().After(end) {
			t.Fatal("it does not arrive")
		}
	}
	exchange(t, left, right, [][]byte{frame(4, 60)})
}

// TestNothingElseWritten receives short frames and looks at every other byte of the receiver's
// memory: chunks overlap, so what the kernel would write before or behind a frame may belong to
// another one.
func TestNothingElseWritten(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			testutil.CheckLeaks(t)
			at, _ := newStations(t, newVeth(t, 1), 1, mode, 2048)
			left, right := at[0][0], at[1][0]
			for b := range right.mine {
				for i := range right.buffer(b) {
					right.buffer(b)[i] = 0xee
				}
			}
			exchange(t, left, right, frames(1, 10*half, 60))
			for b := range right.mine {
				if rest := right.buffer(b)[60:]; bytes.Count(rest, []byte{0xee}) != len(rest) {
					t.Errorf("buffer %d was written to behind the frame", b)
				}
			}
		})
	}
}

func setMTU(t *testing.T, e end, name string, mtu int) {
	t.Helper()
	e.ns.Do(func() {
		l, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkSetMTU(l, mtu)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// TestHostQueues checks that the host gets the frames of queues without a socket, and only those.
func TestHostQueues(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			testutil.CheckLeaks(t)
			const queues = 3 // of which the last is needed for txQueue only
			ends := newVeth(t, queues)
			at, programs := newStations(t, ends, queues, mode, 2048)
			second := at[0][txQueue(mode, 1)] // what it sends arrives at queue 1
			host := packetSocket(t, ends[1])
			p := programs[1]

			exchange(t, at[0][0], at[1][0], frames(1, 10, 100))
			if err := p.Remove(1); err != nil {
				t.Fatal(err)
			}
			second.send([][]byte{frame(2, 60)})
			if tag := hostTag(t, host); tag != 2 {
				t.Errorf("host got frame %#x, want 2: that of the queue without socket, first", tag)
			}
			if err := p.Remove(1); err != nil {
				t.Errorf("Remove of a queue without socket: %v", err)
			}
			put(t, p, 1, at[1][1].s)
			exchange(t, second, at[1][1], frames(3, 10, 100))

			at[1][0].s.Close() // takes the socket out of the program
			at[0][0].send([][]byte{frame(4, 60)})
			if tag := hostTag(t, host); tag != 4 {
				t.Errorf("host got frame %#x, want 4: that of the queue whose socket was closed", tag)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			second.send([][]byte{frame(5, 60)})
			if tag := hostTag(t, host); tag != 5 {
				t.Errorf("host got frame %#x, want 5: that of an interface without program", tag)
			}
		})
	}
}

// packetSocket sees the test's frames that the host gets on an end.
func packetSocket(t *testing.T, e end) (fd int) {
	t.Helper()
	e.ns.Do(func() {
		const proto = etherType>>8 | etherType&0xff<<8 // network byte order
		var err error
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		if err == nil {
			t.Cleanup(func() { unix.Close(fd) })
			err = errors.Join(
				unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: e.index}),
				unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 2}))
		}
		if err != nil {
			t.Fatal(err)
		}
	})
	return fd
}

// hostTag is the tag of the next frame that a packetSocket sees.
func hostTag(t *testing.T, fd int) byte {
	t.Helper()
	b := make([]byte, 2048)
	n, _, err := unix.Recvfrom(fd, b, 0)
	if err != nil || n < 18 {
		t.Fatalf("host received %d bytes, %v", n, err)
	}
	return b[17]
}

// TestReopen opens a queue again right after it was closed, when the kernel may not have released
// it yet.
func TestReopen(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	m := newMemory(t, 256, 2048)
	c := Config{Size: ringSize, Rx: true, Tx: true, Mode: Native, Memory: m, Fill: []uint32{1, 2, 3}}
	peer := ends[1].open(t, c)
	put(t, ends[1].attach(t, 1, Native), 0, peer)
	to := newStation(t, peer, m, 1, 3)
	to.batch = 2
	for _, b := range []uint32{1, 2, 3} { // posted already
		to.mine[b] = true
	}
	to.free = nil
	for i := range 50 {
		s, err := ends[0].tryOpen(c)
		if err != nil {
			t.Fatalf("open %d: %v", i, err)
		}
		exchange(t, newStation(t, s, m, 100, 10), to, frames(uint32(i), 2, 60))
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatalf("close %d: %v", i, err)
		}
	}
}

func TestBusyQueue(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	m := newMemory(t, 16, 2048)
	c := Config{Size: 8, Rx: true, Mode: Native, Memory: m}
	setPatience(t, 20*time.Millisecond)
	busy := func(ours bool, hint string) {
		t.Helper()
		start := time.Now()
		_, err := ends[0].tryOpen(c)
		wantError(t, err, unix.EBUSY, "left queue 0", hint)
		if d := time.Since(start); d < patience {
			t.Errorf("gave up after %v, want %v", d, patience)
		}
		if got := WillBeFree(fmt.Errorf("open: %w", err)); got != ours {
			t.Errorf("%v: will be free: %v", err, got)
		}
	}
	s := ends[0].open(t, c)
	busy(false, "this program has it open already")

	// The kernel frees a queue when the last descriptor of its socket is closed. A second descriptor
	// delays that.
	late, err := unix.Dup(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	q := s.id()
	s.Close()
	busy(true, "this program closed it")
	forget(q)
	busy(false, "in use by another program, or by one that has just ended")
	unix.Close(late)
}

// Open waits for a queue that this process has closed and the kernel frees late.
func TestQueueThatIsFreedLate(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	setPatience(t, 10*time.Second)
	c := Config{Size: 8, Rx: true, Mode: Native, Memory: newMemory(t, 16, 2048)}
	s := ends[0].open(t, c)
	late, err := unix.Dup(s.fd)
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	time.AfterFunc(50*time.Millisecond, func() { unix.Close(late) })
	if s, err = ends[0].tryOpen(c); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

// Open forgets queues that were closed long ago.
func TestHoldsAreForgotten(t *testing.T) {
	old, other := queueID{1, 2, 3}, queueID{1, 2, 4}
	took(old)
	gave(old)
	holds.closed[old] = time.Now().Add(-2 * memorable)
	if err := busy(old, "x", unix.EBUSY); WillBeFree(err) {
		t.Errorf("a queue that was closed long ago is waited for: %v", err)
	}
	took(other)
	gave(other)
	if _, ok := holds.closed[old]; ok || holds.open[old] != 0 {
		t.Error("it is still known")
	}
	forget(other)
}

func setPatience(t *testing.T, d time.Duration) {
	before := patience
	patience = d
	t.Cleanup(func() { patience = before })
}

func forget(q queueID) {
	holds.mu.Lock()
	defer holds.mu.Unlock()
	delete(holds.closed, q)
}

// wantError checks an error's number and that its text says all that it should.
func wantError(t *testing.T, err error, errno unix.Errno, texts ...string) {
	t.Helper()
	if !errors.Is(err, errno) {
		t.Errorf("error %v, want %v", err, errno)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not mention %q", err, text)
		}
	}
}

// TestOccupied attaches to an interface that has another program.
func TestOccupied(t *testing.T) {
	for _, first := range []Mode{Native, Generic} {
		for _, second := range []Mode{Native, Generic} {
			t.Run(fmt.Sprintf("%v after %v", second, first), func(t *testing.T) {
				testutil.CheckLeaks(t)
				e := newVeth(t, 1)[0]
				p := e.attach(t, 1, first)
				e.ns.Do(func() {
					_, err := Attach(e.index, 1, second)
					wantError(t, err, unix.EBUSY, "left", `"netmap_xdp" (id `, "bpftool link detach id")
				})
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
				e.attach(t, 1, second)
			})
		}
	}
}

// TestOccupiedByHand attaches to an interface whose program has no bpf_link, as after `ip link set
// dev left xdp`.
func TestOccupiedByHand(t *testing.T) {
	for mode, flags := range map[string]int{"xdpdrv": unix.XDP_FLAGS_DRV_MODE,
		"xdpgeneric": unix.XDP_FLAGS_SKB_MODE} {
		t.Run(mode, func(t *testing.T) {
			testutil.CheckLeaks(t)
			e := newVeth(t, 1)[0]
			e.ns.Do(func() {
				prog := passAll(t)
				defer prog.Close()
				l, err := netlink.LinkByName("left")
				if err == nil {
					err = netlink.LinkSetXdpFdWithFlags(l, prog.FD(), flags)
				}
				if err != nil {
					t.Fatal(err)
				}
				_, err = Attach(e.index, 1, Native)
				wantError(t, err, unix.EBUSY, `"pass_all" (id `, "ip link set dev left "+mode+" off")
			})
		})
	}
}

// TestShared uses one memory on two queues of an interface and on another interface, and moves
// frames between them without a copy.
func TestShared(t *testing.T) {
	for _, mode := range []Mode{Native, Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			testutil.CheckLeaks(t)
			testShared(t, mode)
		})
	}
}

func testShared(t *testing.T, mode Mode) {
	// left(a) === right(a) and left(b) === right(b) of two veth pairs; the right ends bridge. Both are
	// in the namespace of the first right end, as sockets of different namespaces cannot share.
	const queues = 3 // of which the last is needed for txQueue only
	a := newVeth(t, queues)
	b := [2]end{{ns: testutil.NewNS(t)}, {ns: a[1].ns}}
	b[0].index, b[1].index = testutil.Veth(t, b[0].ns, "left", b[1].ns, "other", 1)

	m := newMemory(t, 1024, 2048)
	c := Config{Size: ringSize, Rx: true, Tx: true, Mode: mode, Memory: m}
	first := a[1].open(t, c)
	share := c
	share.Share, share.Memory = first, nil
	second := a[1].open(t, with(share, 1))
	third := b[1].open(t, with(share, 0))
	pa, pb := a[1].attach(t, queues, mode), b[1].attach(t, 1, mode)
	put(t, pa, 0, first)
	put(t, pa, 1, second)
	put(t, pb, 0, third)

	send := newMemory(t, 1024, 2048)
	c.Memory = send
	from := []*station{
		newStation(t, a[0].open(t, with(c, 0)), send, 1, 10),
		newStation(t, a[0].open(t, with(c, txQueue(mode, 1))), send, 20, 10),
	}
	to := newStation(t, b[0].open(t, with(c, 0)), send, 40, 10)
	put(t, b[0].attach(t, 1, mode), 0, to.s)
	a[0].attach(t, queues, mode)
	to.fill(10)
	for i, rx := range []*Socket{first, second} {
		in := newStation(t, rx, m, uint32(1+10*i), 10)
		in.fill(10)
		want := frames(uint32(i), 10, 1514)
		from[i].send(want)
		bridge(t, rx, third, len(want))
		eventually(t, "all frames are bridged",
			func() bool { return int(to.s.RxReady(ringSize)) == len(want) })
		got := to.receive()
		if len(got) != len(want) {
			t.Fatalf("received %d of %d frames over the bridge", len(got), len(want))
		}
		for k := range want {
			if string(got[k]) != string(want[k]) {
				t.Errorf("frame %d is not what was sent", k)
			}
		}
	}
	first.Close() // the memory stays with the others
	in := newStation(t, second, m, 100, 10)
	in.fill(10)
	exchange(t, from[1], in, frames(9, 5, 100))
	_, err := a[1].tryOpen(with(share, 0))
	wantError(t, err, unix.EINVAL, "is closed")
}

func with(c Config, queue int) Config {
	c.Queue = queue
	return c
}

// bridge sends n received frames on from the buffers that they were received into.
func bridge(t *testing.T, rx, tx *Socket, n int) {
	t.Helper()
	got := uint32(n)
	eventually(t, "all frames are there to bridge", func() bool { return rx.RxReady(ringSize) == got })
	if room := tx.TxRoom(got); room != got {
		t.Fatalf("room for %d frames, want %d", room, got)
	}
	for i := range got {
		buf, off, length, _ := rx.RxAt(i)
		tx.TxAt(i, buf, off, length, false)
	}
	tx.TxCommit(got)
	if _, err := tx.KickTx(); err != nil {
		t.Fatal(err)
	}
	rx.RxRelease(got)
}

func TestStats(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	m := newMemory(t, 256, 2048)
	left := newStation(t, ends[0].open(t, Config{Size: 64, Tx: true, Mode: Native, Memory: m}), m, 1,
		64)
	right := newStation(t, ends[1].open(t, Config{Size: 16, Rx: true, Mode: Native, Memory: m}), m,
		100, 32)
	put(t, ends[1].attach(t, 1, Native), 0, right.s)

	// The receiver takes no frame. The first 10 find a buffer, the next 3 do not.
	right.fill(10)
	left.send(frames(1, 13, 60))
	want := Stats{RxDropped: 3, FillRingEmpty: 3}
	eventually(t, fmt.Sprintf("without buffers %+v", want), func() bool {
		return stats(t,
			right.s) == want
	})
	// Now there are buffers enough, but after 6 more the RX ring is full.
	right.fill(20)
	left.send(frames(2, 11, 60))
	want.RxRingFull = 5
	eventually(t, fmt.Sprintf("with a full ring %+v", want), func() bool {
		return stats(t,
			right.s) == want
	})

	// Too long, empty, and outside of the memory. Whether their buffers come back depends on the
	// kernel.
	left.settle(t, 0)
	left.s.TxAt(0, 1, 0, 3000, false)
	left.s.TxAt(1, 1, 0, 0, false)
	left.s.TxAt(2, 1<<20, 0, 60, false)
	left.s.TxCommit(3)
	for range 4 { // each call may stop at the first invalid descriptor
		if _, err := left.s.KickTx(); err != nil {
			t.Fatal(err)
		}
	}
	if st := stats(t, left.s); st.TxInvalid != 3 || st.TxRingEmpty == 0 {
		t.Errorf("after invalid descriptors: %+v, want 3 invalid", st)
	}
	if n := left.s.TxPending(); n != 0 {
		t.Errorf("%d invalid descriptors are pending, want none", n)
	}
}

func stats(t *testing.T, s *Socket) Stats {
	t.Helper()
	st, err := s.Stats()
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// TestOneSided opens sockets that only send, and only receive.
func TestOneSided(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	m := newMemory(t, 256, 2048)
	tx := newStation(t, ends[0].open(t, Config{Size: 16, Tx: true, Mode: Native, Memory: m}), m, 1, 16)
	rx := newStation(t, ends[1].open(t, Config{Size: 16, Rx: true, Mode: Native, Memory: m}), m, 100,
		16)
	put(t, ends[1].attach(t, 1, Native), 0, rx.s)
	rx.fill(16)
	rx.batch = 16
	exchange(t, tx, rx, frames(1, 200, 1514))
	if n := rx.s.TxRoom(1) + rx.s.TxPending() + rx.s.Done(1) + tx.s.RxReady(1); n != 0 {
		t.Errorf("a side that was not asked for has %d entries", n)
	}
	if _, err := rx.s.KickTx(); err != nil {
		t.Errorf("KickTx of a side that was not asked for: %v", err)
	}
	tx.s.KickRx()
}

func TestNoAllocs(t *testing.T) {
	testutil.CheckLeaks(t)
	at, _ := newStations(t, newVeth(t, 1), 1, Native, 2048)
	tx, rx := at[0][0].s, at[1][0].s
	free := at[0][0].free[:half]
	moved := uint32(0)
	allocs := testing.AllocsPerRun(1000, func() {
		n := tx.TxRoom(8)
		for i := range n {
			tx.TxAt(i, free[i], 0, 60, false)
		}
		tx.TxCommit(n)
		if _, err := tx.KickTx(); err != nil {
			t.Fatal(err)
		}
		n = rx.FillRoom(rx.RxReady(8))
		for i := range n {
			buf, _, _, _ := rx.RxAt(i)
			rx.FillAt(i, buf)
		}
		rx.RxRelease(n)
		rx.FillCommit(n)
		rx.KickRx()
		moved += n
		n = tx.Done(8)
		for i := range n {
			free[i] = tx.DoneAt(i)
		}
		tx.DoneRelease(n)
	})
	if allocs != 0 || moved == 0 {
		t.Errorf("%v allocations for a batch, %d frames moved", allocs, moved)
	}
}

// TestInterfaceGone sets the interface down, and removes it, under an open socket.
func TestInterfaceGone(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 1)
	at, _ := newStations(t, ends, 1, Native, 2048)
	st := at[0][0]
	kick := func() error {
		st.s.TxAt(0, st.get(), 0, 60, false)
		st.s.TxCommit(1)
		_, err := st.s.KickTx()
		return err
	}
	ends[0].ns.Do(func() {
		l, err := netlink.LinkByName("left")
		if err == nil {
			err = netlink.LinkSetDown(l)
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := kick(); err != unix.ENETDOWN {
			t.Errorf("KickTx on an interface that is down: %v, want ENETDOWN", err)
		}
		if err := netlink.LinkDel(l); err != nil {
			t.Fatal(err)
		}
	})
	if err := kick(); err != unix.ENXIO {
		t.Errorf("KickTx on an interface that is gone: %v, want ENXIO", err)
	}
	st.s.KickRx()
	if err := st.s.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpenErrors(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newVeth(t, 2)[0]
	m := newMemory(t, 16, 2048)
	other := newMemory(t, 16, 2048)
	contiguous := &Memory{Mem: m.Mem, Stride: 2048, Contiguous: true}
	good := Config{Size: 8, Rx: true, Tx: true, Mode: Native, Memory: m}
	base := e.open(t, with(good, 1))
	tests := []struct {
		name   string
		change func(c *Config)
		errno  unix.Errno
		text   string
	}{
		{"size 0", func(c *Config) { c.Size = 0 }, unix.EINVAL, "not a power of two"},
		{"size 12", func(c *Config) { c.Size = 12 }, unix.EINVAL, "not a power of two"},
		{"size 2^17", func(c *Config) { c.Size = 1 << 17 }, unix.EINVAL, "up to 65536"},
		{"no side", func(c *Config) { c.Rx, c.Tx = false, false }, unix.EINVAL, "neither side"},
		{"no memory", func(c *Config) { c.Memory = nil }, unix.EINVAL, "no memory"},
		{"small buffers", func(c *Config) { c.Memory = &Memory{Mem: m.Mem, Stride: 1024} }, unix.EINVAL,
			"use 1792 or more"},
		{"large buffers", func(c *Config) { c.Memory = &Memory{Mem: m.Mem, Stride: 1 << 16} },
			unix.EINVAL, "too large"},
		{"one buffer", func(c *Config) { c.Memory = &Memory{Mem: m.Mem[:4095], Stride: 2048} },
			unix.EINVAL, "too few"},
		{"crooked memory", func(c *Config) { c.Memory = &Memory{Mem: m.Mem[64:], Stride: 2048} },
			unix.EINVAL, "page boundary"},
		{"other memory", func(c *Config) { c.Share, c.Memory = base, other }, unix.EINVAL,
			"has other memory"},
		{"mixed modes", func(c *Config) { c.Share, c.Mode = base, ZeroCopy }, unix.EINVAL,
			"all zero-copy or none"},
		{"fill of no buffers", func(c *Config) {
			c.Fill, c.Memory = []uint32{1}, &Memory{Mem: m.Mem}
		}, unix.EINVAL, "use 1792 or more"},
		{"fill without rx", func(c *Config) { c.Rx, c.Fill = false, []uint32{1} }, unix.EINVAL,
			"no receive side"},
		{"fill buffer 0", func(c *Config) { c.Fill = []uint32{1, 0} }, unix.EINVAL,
			"buffer 0 cannot be received into"},
		{"fill beyond the end", func(c *Config) { c.Fill = []uint32{16} }, unix.EINVAL,
			"buffer 16 cannot be received into"},
		{"fill too many", func(c *Config) { c.Fill = make([]uint32, 9) }, unix.EINVAL, "too many"},
		{"no such interface", func(c *Config) { c.Ifindex = 12345 }, unix.ENODEV, "interface #12345"},
		{"no such queue", func(c *Config) { c.Queue = 7 }, unix.EINVAL, "left queue 7"},
		{"fragmented zero-copy", func(c *Config) { c.Mode = ZeroCopy }, unix.EOPNOTSUPP, "contiguous"},
		{"driver without zero-copy", func(c *Config) { c.Mode, c.Memory = ZeroCopy, contiguous },
			unix.EOPNOTSUPP, "native copy"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := good
			c.Ifindex = e.index
			tt.change(&c)
			e.ns.Do(func() {
				_, err := Open(c)
				wantError(t, err, tt.errno, tt.text)
			})
		})
	}
}

func TestAttachErrors(t *testing.T) {
	testutil.CheckLeaks(t)
	ends := newVeth(t, 2)
	p := ends[0].attach(t, 2, Generic)
	s := ends[0].open(t, Config{Queue: 1, Size: 8, Rx: true, Mode: Native,
		Memory: newMemory(t, 16, 2048)})
	wantError(t, p.Put(0, s), unix.EINVAL, "left queue 0", "bound to left queue 1")
	wantError(t, p.Remove(2), unix.EINVAL, "left queue 2", "for 2 queues")
	s.Close()
	wantError(t, p.Put(1, s), unix.EBADF, "closed")

	setMTU(t, ends[1], "right", 9000)
	setMTU(t, ends[0], "left", 9000)
	ends[1].ns.Do(func() {
		p, err := Attach(ends[1].index, 2, Native) // a program that takes frames of several pages
		if err != nil {
			t.Fatal(err)
		}
		p.Close()
		_, err = Attach(ends[1].index, 0, Native)
		wantError(t, err, unix.EINVAL, "right", "0 queues")
		_, err = Attach(12345, 1, Native)
		wantError(t, err, unix.ENODEV, "interface #12345", "network namespace")
	})
	ends[0].ns.Do(func() { // loopback has no XDP in the driver, but generic XDP works everywhere
		_, err := Attach(1, 1, Native)
		wantError(t, err, unix.EOPNOTSUPP, "lo", "generic")
		p, err := Attach(1, 1, Generic)
		if err != nil {
			t.Error(err)
			return
		}
		p.Close()
	})
}

// TestPrivileges checks that errors say which capability is missing.
func TestPrivileges(t *testing.T) {
	testutil.CheckLeaks(t)
	e := newVeth(t, 1)[0]
	c := Config{Ifindex: e.index, Size: 8, Rx: true, Mode: Native, Memory: newMemory(t, 16, 2048)}
	e.ns.Do(func() {
		without(t, unix.CAP_NET_RAW, func() {
			_, err := Open(c)
			wantError(t, err, unix.EPERM, "CAP_NET_RAW")
		})
		without(t, unix.CAP_NET_ADMIN, func() {
			without(t, unix.CAP_SYS_ADMIN, func() {
				_, err := Attach(e.index, 1, Native)
				wantError(t, err, unix.EPERM, "CAP_NET_ADMIN", "CAP_BPF")
			})
		})
		var limit unix.Rlimit
		if err := unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &unix.Rlimit{Max: 8 << 20}, &limit); err != nil {
			t.Fatal(err)
		}
		defer unix.Prlimit(0, unix.RLIMIT_MEMLOCK, &limit, nil)
		without(t, unix.CAP_IPC_LOCK, func() {
			_, err := Open(c)
			wantError(t, err, unix.ENOBUFS, "ulimit -l", "CAP_IPC_LOCK")
		})
	})
}

// without runs f while the thread lacks a capability.
func without(t *testing.T, capability int, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var all [2]unix.CapUserData
	if err := unix.Capget(&header, &all[0]); err != nil {
		t.Fatal(err)
	}
	less := all
	less[capability/32].Effective &^= 1 << (capability % 32)
	if err := unix.Capset(&header, &less[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&header, &all[0]); err != nil {
			panic(err) // the thread must not run other tests
		}
	}()
	f()
}
