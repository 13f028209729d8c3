//go:build linux

package hoststack_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/seed-48afdc40/netmap"
	"github.com/seed-48afdc40/netmap/abi"
	"github.com/seed-48afdc40/netmap/internal/engine"
	"github.com/seed-48afdc40/netmap/internal/event"
	"github.com/seed-48afdc40/netmap/internal/mem"
	"github.com/seed-48afdc40/netmap/internal/session"
	"github.com/seed-48afdc40/netmap/internal/status"
	"github.com/seed-48afdc40/netmap/internal/testutil"
	"github.com/seed-48afdc40/netmap/internal/xsk"
)

const (
	hostIP, peerIP = "10.97.0.1", "10.97.0.2"
	tapName        = "netmap-host0"
)

// lab is a framework in a network namespace ("host") whose interface "v" is connected to an
// interface "v" in another one ("peer").
type lab struct {
	*testing.T
	host, peer *testutil.NS
	e          *engine.Engine
}

func newLab(t *testing.T, queues int, cfg engine.Config) *lab {
	t.Helper()
	testutil.CheckLeaks(t)
	l := &lab{T: t, host: testutil.NewNS(t), peer: testutil.NewNS(t)}
	testutil.Veth(t, l.host, "v", l.peer, "v", queues)
	l.peer.Offloads(t, "v", "tx", "off", "txvlan", "off", "gso", "off")
	l.host.AddAddr(t, "v", hostIP+"/24")
	l.peer.AddAddr(t, "v", peerIP+"/24")
	cfg.Region.Buf.Num, cfg.Region.NoHuge = 20000, true
	var err error
	if l.e, err = engine.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.e.Close()
		if u := l.e.Region().Usage(); !u.Full() {
			t.Errorf("some buffers, rings or interfaces are not back in the pools: %+v", u)
		}
	})
	return l
}

func (l *lab) open(name string, options ...netmap.Option) *netmap.Port {
	l.Helper()
	o, err := netmap.Request(name, options...)
	if err != nil {
		l.Fatal(err)
	}
	var b *engine.Binding
	var more engine.Options
	if p := o.Offsets; p != nil {
		more.Offsets = &session.Offsets{Max: p.MaxOffset, Initial: p.InitialOffset, Bits: p.OffsetBits,
			MinGap: p.MinGap}
	}
	l.host.Do(func() { b, err = l.e.RegisterWith(o.Port, o.Register, more) })
	testutil.Require(l.T, "AF_XDP and TCX", err)
	p, err := netmap.NewPort(name, b)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { p.Close() })
	return p
}

// run calls f again and again, after each frame or after 20 ms, until stop is called.
func (l *lab) run(p *netmap.Port, f func()) (stop func()) {
	ctx, cancel := context.WithCancel(l.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		for ctx.Err() == nil {
			p.Poll(ctx, netmap.In, 20*time.Millisecond)
			f()
		}
	})
	stop = func() {
		cancel()
		ended.Wait()
	}
	l.Cleanup(stop)
	return stop
}

// wantConnected fails the test unless host and peer reach each other.
func (l *lab) wantConnected(how string) {
	l.Helper()
	if lost := l.host.Ping(l.T, peerIP, 200, 1000, time.Millisecond); lost > 0 {
		l.Errorf("%s: %d of 200 pings lost", how, lost)
	}
	l.host.Transfer(l.T, l.peer, peerIP, 2<<20, 20*time.Second)
	l.peer.Transfer(l.T, l.host, hostIP, 2<<20, 20*time.Second)
	if lost := l.host.Datagrams(l.T, l.peer, peerIP, 50); lost > 0 {
		l.Errorf("%s: %d of 50 datagrams lost", how, lost)
	}
}

// swap returns a function that moves frames between the hardware rings and the host rings of a port
// with one of each.
func swap(p *netmap.Port) func() {
	move := func(from, to *netmap.Ring) {
		rx, tx := from.Window(), to.Window()
		for ; rx.Len() > 0 && tx.Len() > 0; rx.Next() {
			netmap.Swap(tx.Slot(), rx.Slot())
			tx.Next()
		}
		tx.Commit()
		rx.Commit()
	}
	return func() {
		move(p.Rx()[0], p.Tx()[1])
		move(p.Rx()[1], p.Tx()[0])
		p.TxSync()
	}
}

// In generic mode, XDP also sees the frames that the host ring sends.
func TestModes(t *testing.T) {
	for _, mode := range []xsk.Mode{xsk.Native, xsk.Generic} {
		t.Run(mode.String(), func(t *testing.T) {
			l := newLab(t, 1, engine.Config{NIC: engine.NICConfig{Mode: &mode}})
			p := l.open("netmap:v*")
			l.run(p, swap(p))
			l.wantConnected(mode.String())
			if s := l.stats("v"); s.Detail != mode.String() {
				t.Errorf("the mode is %s, want %v", s.Detail, mode)
			}
			l.host.Tag(t, "v", 7)
			l.peer.Tag(t, "v", 7)
			l.wantConnected("tagged")
		})
	}
}

func (l *lab) stats(port string) *status.Port {
	l.Helper()
	for _, s := range l.e.Status().Ports {
		if s.Name == port {
			return &s
		}
	}
	l.Fatalf("no statistics of %s", port)
	return nil
}

// A frame may be as long as the interface's MTU allows. A long one takes several slots.
func TestLongFrames(t *testing.T) {
	for _, c := range []struct {
		bufSize uint32
		mtu     int
		slots   int // of the longest frame
	}{{4096, 3400, 1}, {2048, 3400, 2}, {2048, 9000, 5}} {
		l := newLab(t, 1, engine.Config{Region: mem.Config{Buf: mem.Pool{Size: c.bufSize}}})
		l.setMTU(c.mtu)
		p := l.open("netmap:v*")
		bytes, slots, longest, most := 0, 0, 0, 0
		move := swap(p)
		seen := p.Rx()[1].Head()
		l.run(p, func() {
			r := p.Rx()[1]
			for ; seen != r.Tail(); seen = r.Next(seen) {
				s := r.Slot(seen)
				bytes, slots = bytes+int(s.Len), slots+1
				if s.Flags&abi.NSMoreFrag == 0 {
					longest, most = max(longest, bytes), max(most, slots)
					bytes, slots = 0, 0
				}
			}
			move()
		})
		l.wantConnected("long frames")
		if lost := l.host.Ping(t, peerIP, 20, c.mtu-28, time.Millisecond); lost > 0 {
			t.Errorf("MTU %d: %d of 20 long pings lost", c.mtu, lost)
		}
		if lost := l.peer.Ping(t, hostIP, 20, c.mtu-28, time.Millisecond); lost > 0 {
			t.Errorf("MTU %d: %d of 20 long pings of the peer lost", c.mtu, lost)
		}
		if longest != c.mtu+14 || most != c.slots {
			t.Errorf("the longest frame has %d bytes in %d slots, want %d in %d", longest, most,
				c.mtu+14, c.slots)
		}
	}
}

// Transparent mode forwards long frames, too.
func TestForwardLongFrames(t *testing.T) {
	l := newLab(t, 1, engine.Config{Forward: true})
	l.setMTU(9000)
	p := l.open("netmap:v*")
	l.run(p, func() {
		for _, r := range p.Rx() {
			r.SetHead(r.Tail())
		}
		p.RxSync()
	})
	l.wantConnected("long frames forwarded")
	if lost := l.host.Ping(t, peerIP, 100, 8900, time.Millisecond); lost > 0 {
		t.Errorf("%d of 100 long pings lost", lost)
	}
}

// Transparent mode forwards frames whether both rings, one, or neither have offsets.
func TestForwardBetweenOffsets(t *testing.T) {
	for _, tt := range []struct {
		name     string
		host, hw int // largest offset, -1 for none
	}{{"host ring", 64, -1}, {"hardware rings", -1, 64}, {"host ring more", 128, 64}, {"both", 64,
		64}} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLab(t, 1, engine.Config{Forward: true})
			for port, most := range map[string]int{"netmap:v^": tt.host, "netmap:v": tt.hw} {
				if most >= 0 { // the first to open a ring decides about its offset
					l.open(port, netmap.Offsets(most, most))
				}
			}
			p := l.open("netmap:v*")
			l.run(p, func() {
				for _, r := range p.Rx() {
					r.SetHead(r.Tail())
				}
				p.RxSync()
			})
			l.wantConnected(tt.name)
		})
	}
}

// The slots of a frame wait for its last slot. A frame with too many slots is dropped whole.
func TestPiecesOfFrames(t *testing.T) {
	l := newLab(t, 1, engine.Config{})
	l.setMTU(9000)
	p := l.open("netmap:v^")
	fd := l.sniff()
	tx := p.Tx()[0]
	put := func(text string, more bool) {
		w := tx.Window()
		w.SetLen(copy(w.Buf(), text))
		if more {
			w.Slot().Flags = abi.NSMoreFrag
		}
		w.Next()
		w.Commit()
		if err := p.TxSync(); err != nil {
			t.Fatal(err)
		}
	}
	const head = "\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x07\x88\xb5"
	put(head+"one ", true)
	put("two ", true)
	if free := tx.Len(); free != tx.NumSlots()-3 {
		t.Errorf("%d slots free while two wait", free)
	}
	put("three", false)
	for range 70 {
		put(head, true)
	}
	put("the end of a frame with too many slots", false)
	put(head+"four", false)
	if free := tx.Len(); free != tx.NumSlots()-1 {
		t.Errorf("%d slots free at the end", free)
	}
	for _, want := range []string{"one two three", "four"} {
		b := make([]byte, 2000)
		n, _, err := unix.Recvfrom(fd, b, 0)
		if err != nil || string(b[:n]) != head+want {
			t.Errorf("the host receives %q, %v, want %q", b[:max(n, 0)], err, want)
		}
	}
	if lost := l.stats("v").AllDrops()["too-many-fragments"]; lost != 1 {
		t.Errorf("%d packets dropped for too many slots, want 1", lost)
	}
}

// sniff is a packet socket that receives the test's frames from the host's interface.
func (l *lab) sniff() (fd int) {
	l.Helper()
	var err error
	const ours = 0xb588 // 0x88b5 in network byte order
	l.host.Do(func() {
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC,
			ours); err == nil {
			v, _ := net.InterfaceByName("v")
			err = errors.Join(unix.Bind(fd,
				&unix.SockaddrLinklayer{Protocol: ours, Ifindex: v.Index}),
				unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO,
					&unix.Timeval{Sec: 5}))
		}
	})
	testutil.Require(l.T, "packet sockets", err)
	l.Cleanup(func() { unix.Close(fd) })
	return fd
}

func (l *lab) setMTU(mtu int) {
	l.Helper()
	for _, ns := range []*testutil.NS{l.host, l.peer} {
		ns.Do(func() {
			v, err := netlink.LinkByName("v")
			if err == nil {
				err = netlink.LinkSetMTU(v, mtu)
			}
			if err != nil {
				l.Fatal(err)
			}
		})
	}
}

// With Config.Forward every frame passes; the program only has to release its slots.
func TestForwardAll(t *testing.T) {
	l := newLab(t, 1, engine.Config{Forward: true})
	p := l.open("netmap:v*")
	l.run(p, func() {
		for _, r := range p.Rx() {
			r.SetHead(r.Tail())
		}
		p.RxSync()
	})
	l.wantConnected("all forwarded")
}

// Frames from the host that find no room are counted.
func TestLossIsCounted(t *testing.T) {
	l := newLab(t, 1, engine.Config{})
	l.wantConnected("before")
	p := l.open("netmap:v")
	var c net.Conn
	var err error
	l.host.Do(func() { c, err = net.Dial("udp", peerIP+":9") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 3000 {
		c.Write([]byte("lost"))
	}
	if lost := l.stats("v").AllDrops()["host-queue-full"]; lost < 3000-1100 || lost > 3000 {
		t.Errorf("%d frames counted as lost, want nearly %d", lost, 3000-1024)
	}
	p.Close()
}

// If no TAP can be made, the host is cut off all the same, and the frames that it sends are
// counted. Only host rings are refused.
func TestWithoutTUN(t *testing.T) {
	told := make(chan error, 8)
	l := newLab(t, 1, engine.Config{NIC: engine.NICConfig{OnEvent: func(e event.Event) {
		if e.Kind == event.HostTrouble {
			told <- e.Err
		}
	}}})
	l.wantConnected("before")
	t.Run("hidden", func(t *testing.T) {
		runtime.LockOSThread() // never unlocked: the thread ends with its mounts
		err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS)
		testutil.Require(t, "a mount namespace (root)", err)
		if err := errors.Join(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""),
			unix.Mount("none", "/dev/net", "tmpfs", 0, "")); err != nil {
			t.Fatal(err)
		}
		p := l.open("netmap:v")
		if lost := l.host.Ping(t, peerIP, 5, 100, 0); lost != 5 {
			t.Errorf("%d of 5 pings lost, want all: the interface is netmap's", lost)
		}
		if lost := l.stats("v").AllDrops()["host-queue-full"]; lost < 5 {
			t.Errorf("%d frames counted, at least 5 were sent", lost)
		}
		l.host.Do(func() {
			_, err = l.e.Register("v", abi.Register{Mode: abi.RegSW})
		})
		if !errors.Is(err, syscall.ENOENT) || !strings.Contains(err.Error(), "/dev/net/tun") {
			t.Errorf("host rings: %v", err)
		}
		p.Close()
	})
	if err := <-told; !errors.Is(err, syscall.ENOENT) {
		t.Errorf("reported: %v", err)
	}
	l.wantConnected("after")
}

// If somebody deletes the TAP, the port fails with a clear error, and works again after it was
// opened again.
func TestTAPIsDeleted(t *testing.T) {
	l := newLab(t, 1, engine.Config{})
	p := l.open("netmap:v*")
	l.del(tapName)
	ready, err := p.Poll(t.Context(), netmap.In, 5*time.Second)
	if ready&netmap.Err == 0 || err != nil {
		t.Fatalf("poll says %v, %v", ready, err)
	}
	if err := p.RxSync(); !errors.Is(err, syscall.EIO) ||
		!strings.Contains(err.Error(), "open the port again") {
		t.Fatalf("rxsync says %v", err)
	}
	p.Close()
	p = l.open("netmap:v*")
	l.run(p, swap(p))
	l.wantConnected("opened again")
}

func (l *lab) del(name string) {
	l.Helper()
	l.host.Do(func() {
		n, err := netlink.LinkByName(name)
		if err == nil {
			err = netlink.LinkDel(n)
		}
		if err != nil {
			l.Fatal(err)
		}
	})
}

// While the interface is down, its host rings return EIO.
func TestInterfaceGoesDown(t *testing.T) {
	l := newLab(t, 1, engine.Config{})
	p := l.open("netmap:v^")
	l.host.Do(func() {
		v, _ := netlink.LinkByName("v")
		netlink.LinkSetDown(v)
	})
	ready, err := p.Poll(t.Context(), netmap.In, 5*time.Second)
	if ready&netmap.Err == 0 || err != nil || !errors.Is(p.TxSync(), syscall.EIO) {
		t.Fatalf("poll says %v, %v, and txsync %v", ready, err, p.TxSync())
	}
	l.del("v")
	p.Close()
}

// What the host sends on the TAP itself reaches neither the program nor the wire.
func TestSendingOnTheTAP(t *testing.T) {
	l := newLab(t, 1, engine.Config{})
	p := l.open("netmap:v*")
	l.host.AddAddr(t, tapName, "10.96.0.1/24")
	l.host.AddAddr(t, tapName, "fd96::1/64")
	l.host.Do(func() {
		for _, to := range []string{"10.96.0.255", "10.96.0.2", "fd96::2", "ff02::1%" + tapName} {
			if c, err := net.Dial("udp", net.JoinHostPort(to, "9")); err == nil {
				c.Write([]byte("astray"))
				c.Close()
			}
		}
	})
	ready, err := p.Poll(t.Context(), netmap.In, 300*time.Millisecond)
	if ready != 0 || err != nil {
		t.Errorf("poll says %v, %v", ready, err)
		for slot, b := range p.Rx()[1].Frames() {
			t.Errorf("%d bytes: %x", slot.Len, b)
		}
	}
}

// Closing a port restores the interface's state exactly.
func TestNothingIsLeft(t *testing.T) {
	l := newLab(t, 2, engine.Config{})
	before := l.dump()
	for _, name := range []string{"netmap:v", "netmap:v^", "netmap:v*", "netmap:v-1",
		"netmap:v*@conf:host-rings=4"} {
		p := l.open(name)
		if during := l.dump(); slices.Equal(during, before) {
			t.Errorf("%s changes nothing", name)
		}
		p.Close()
		after := l.dump()
		for end := time.Now().Add(2 * time.Second); !slices.Equal(after, before) &&
			time.Now().Before(end); after = l.dump() {
		} // the kernel removes some things a moment later
		if !slices.Equal(after, before) {
			t.Errorf("%s: before\n%s\nafter\n%s", name, strings.Join(before, "\n"),
				strings.Join(after, "\n"))
		}
	}
	l.wantConnected("after all")
}

// dump is what ip, tc and ethtool print about the host's interfaces, and which of our programs and
// links exist.
func (l *lab) dump() (all []string) {
	l.Helper()
	l.host.Do(func() {
		for _, line := range []string{"ip -d link", "ip addr show dev v", "tc qdisc show dev v",
			"tc filter show dev v egress", "ethtool -k v", "ethtool -l v"} {
			words := strings.Fields(line)
			path, err := exec.LookPath(words[0])
			testutil.Require(l.T, words[0], err)
			out, err := exec.Command(path, words[1:]...).CombinedOutput()
			if err != nil {
				l.Fatalf("%s: %v: %s", line, err, out)
			}
			all = append(all, line, string(out))
		}
		v, err := netlink.LinkByName("v")
		if err != nil {
			l.Fatal(err)
		}
		for _, where := range []ebpf.AttachType{ebpf.AttachTCXEgress, ebpf.AttachTCXIngress} {
			r, err := link.QueryPrograms(link.QueryOptions{Target: v.Attrs().Index, Attach: where})
			testutil.Require(l.T, "TCX (Linux 6.6)", err)
			all = append(all, fmt.Sprintf("%v: %d programs", where, len(r.Programs)))
		}
	})
	return all
}

// Syncs allocate nothing.
func TestSyncAllocatesNothing(t *testing.T) {
	l := newLab(t, 1, engine.Config{})
	p := l.open("netmap:v*")
	var c net.Conn
	var err error
	l.host.Do(func() { c, err = net.Dial("udp", peerIP+":9") })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stack := swap(p)
	fd, b := udpFD(t, c), []byte("some text")
	if n := testing.AllocsPerRun(1000, func() {
		unix.Write(fd, b)
		p.RxSync()
		stack()
	}); n >= 1 {
		t.Errorf("%v allocations a frame", n)
	}
}

func udpFD(t *testing.T, c net.Conn) (fd int) {
	t.Helper()
	raw, err := c.(*net.UDPConn).SyscallConn()
	if err == nil {
		err = raw.Control(func(n uintptr) { fd = int(n) })
	}
	if err != nil {
		t.Fatal(err)
	}
	return fd
}
